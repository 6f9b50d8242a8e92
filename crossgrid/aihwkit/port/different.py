"""What a name of aihwkit means here where it means something else: shown for scripts that use it."""

from __future__ import annotations

#: an identifier, an attribute or a keyword of a script -> what differs, and the way out
DIFFERENT: dict[str, str] = {
    "AnalogSGD": "zero_grad() between backward and step drops the pulses that waited; step before it",
    "AnalogAdam": "tiles are pulsed at the rate itself, without moments, as in aihwkit",
    "clip_grad_norm_": "pulses have no gradient to clip: an error for layers that learn by pulses; clip "
    "the digital parameters, or take an InferenceRPUConfig",
    "clip_grad_value_": "pulses have no gradient to clip: an error for layers that learn by pulses; clip "
    "the digital parameters, or take an InferenceRPUConfig",
    "load_state_dict": "a checkpoint that aihwkit wrote is read by "
    "crossgrid.aihwkit.utils.checkpoint.load_checkpoint, not by torch.load",
    "cuda": "layers stay where they are: cg.emulate(model, device='cuda') puts their tiles on a card",
    "prepare_for_ddp": "not supported: cg.emulate(model, chip=..., backend='ray') spans nodes",
    "DataParallel": "not supported for tiles: cg.emulate(model, chip=..., backend='ray')",
    "DistributedDataParallel": "not supported for tiles: cg.emulate(model, chip=..., backend='ray')",
    "analog_ctx": "a view of the weight's parameter; read with get_weights(), write with set_weights()",
    "TorchInferenceRPUConfig": "computed as InferenceRPUConfig is; autograd sees no inside of a read",
    "TorchInferenceRPUConfigIRDropT": "its wires act in training too (train with forward.ir_drop = 0), and a "
    "read is one product, not a step at a time: equal to rounding but for what IOParametersIRDropT changes",
    "IOParametersIRDropT": "every code of an input lasts as long as it says (aihwkit takes 6 of 128 for a "
    "step longer), and each vector has read noise of its own (aihwkit draws one for a batch)",
    "ir_drop_time_step_resolution_scale": "a coarser integral keeps the scale of results; "
    "aihwkit's shrink with it",
    "WeightProgrammingOptimizer": "tries all strategies on the same drawn devices, so that a search repeats; "
    "losses are reported on other ones, and workers are threads",
    "weight_scaling_lr_compensation": "without effect: a step moves W by the rate whatever the scales are",
    "on_the_fly_bindings": "without effect: tiles keep their configuration; see replace_rpu_config",
    "offload_input": "without effect: inputs wait in the host's memory anyway",
    "offload_gradient": "without effect: gradients wait in the host's memory anyway",
    "construction_seed": "devices follow from torch.manual_seed anyway; above 0 all tiles have the same",
    "fast_lr": "times the optimizer's rate in TransferCompound and BufferedTransferCompound; set "
    "scale_fast_lr=False for aihwkit 1.1.0's meaning",
    "no_self_transfer": "False is refused; leave it out",
    "decay_weights": "decay follows every step by the devices' lifetime; there is no call for it",
    "diffuse_weights": "diffusion follows every step by the devices' diffusion; there is no call for it",
    "DifferenceUnitCell": "is OneSidedUnitCell",
}  # fmt: skip
