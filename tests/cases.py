"""Cases of use: what users of such tools did to models, and once got a wrong number or a traceback.

A test names its cases by ``@pytest.mark.case("F01")``; ``pytest -k cases`` prints one line for each. A case
stands for its whole kind: the right value of the script that found it, and at least two variants.
"""

from __future__ import annotations

CASES = {
    "F01": "a network converted in evaluation mode stays in it: programming and drift act",
    "F02": "an input range has no gradient where nothing is clipped, and its formula's elsewhere",
    "F03": "a step is torch's, whatever scale or remapping stands between weight and tiles",
    "F04": "gradients of inputs alone leave no pulses behind",
    "F05": "frozen parameters stay frozen, to analog and back",
    "F06": "tied weights stay tied, or it is said that they do not",
    "F07": "a step in micro-batches is the step of the batch, or is refused",
    "F08": "a modifier draws once for a mini-batch, not for a read",
    "F11": "devices that learn by pulses drift: a tile, a layer, a model",
    "F13": "packed sequences are read as torch reads them",
    "F15": "layer.weight is there: encoder layers in evaluation, functions of the weight",
    "F16": "a model computes in its own type",
    "F17": "copies inside an emulation are their own, wherever the tiles are",
    "F18": "layers and models are pickled",
    "F19": "flatten_parameters does nothing",
    "F20": "state_dict holds tensors, and loads with the same bits",
    "F21": "a run of any type is saved and goes on",
    "F22": "torch.compile leaves analog layers out of its graphs",
    "F23": "an empty batch passes through",
    "F24": "infer and train_step take outputs in any wrapping",
    "F26": "what stays digital is named with the reason",
    "F27": "what is costed is what is emulated",
    "F28": "memory does not grow where nobody asks for an update",
    "F29": "infer leaves every module in its mode",
    "F31": "programming survives a pass in training mode",
    "F32": "crossgrid map says in one line what is wrong with a file",
    "F33": "crossgrid compare leaves out the rows that do not fit, and says so",
    "S1": "an input of complex numbers is refused",
    "S2": "set_weights takes arrays, and a bias as it is or not at all",
    "S3": "exclude_modules takes one name",
    "S4": "the matrices of a recurrent root have names",
    "S5": "a validation pass between steps leaves a run reproducible",
    "S6": "a programmed model goes back to digital with its trained weights",
    "S7": "transforms, tracers and second derivatives are refused with a way out",
    "P1": "beside aihwkit: a weight's step is -lr d x^T under every scale",
    "P2": "beside aihwkit: a learned output scale is a factor of its own that starts at 1",
    "P3": "beside aihwkit: the gradient of an input range",
    "P4": "a weight's step is -lr d x^T with an input range too",
    "P7": "beside aihwkit: no gradient where an output stands at the ADC's bound",
    "P15": "torch.manual_seed and a layer: the initial weights of its torch twin",
}
