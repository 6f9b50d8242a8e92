"""Write timed_ir_drop.json: reads of pulses through wires as aihwkit 1.1.0 computes them.

Run it where aihwkit 1.1.0 is installed: ``python make_timed_ir_drop.py``. aihwkit compares the lengths of
pulses with times in float32, and so takes some of them for one step longer; the inputs here are of those
codes whose lengths it finds in every pass.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

sys.modules.setdefault("torchvision", ModuleType("torchvision"))  # aihwkit imports it and needs none of it

import torch  # noqa: E402
from aihwkit.inference.converter.conductance import NPairConductanceConverter, SinglePairConductanceConverter  # noqa: E402
from aihwkit.simulator.parameters.enums import AnalogMVType, BoundManagementType, NoiseManagementType  # noqa: E402
from aihwkit.simulator.parameters.io import IOParametersIRDropT  # noqa: E402
from aihwkit.simulator.tiles.analog_mvm_irdrop_t import AnalogMVMIRDropT  # noqa: E402

ROWS, INPUTS, OUTPUTS, BATCH = 16, 13, 6, 4
PAIR = {"g_min": 0.5, "g_max": 15.0}
CASES = {
    "one pass": {},
    "ideal wires": {"ir_drop": 0.0},
    "wires of 15 ohm": {"ir_drop": 100.0},
    "a node a crossing": {"ir_drop": 100.0, "ir_drop_segments": 16},
    "sum": {"ir_drop": 10.0, "ir_drop_integration_sum": True},
    "no ticks": {"ir_drop": 10.0, "adc_quantization": False},
    "held at 0.41 V": {"ir_drop_v_read": 0.41},
    "62 levels": {"ir_drop": 10.0, "inp_res": 62.0},
    "split": {"ir_drop": 10.0, "mv_type": "SPLIT_MODE"},
    "split at 5": {"mv_type": "SPLIT_MODE", "split_mode_bit_shift": 5, "adc_quantization": False},
    "bit by bit": {"ir_drop": 10.0, "mv_type": "BIT_WISE"},
    "bit by bit, no ticks": {"ir_drop": 10.0, "mv_type": "BIT_WISE", "adc_quantization": False},
    "ADC": {"ir_drop": 10.0, "out_bound": 1.0, "out_res": 30.0, "mv_type": "SPLIT_MODE"},
    "two pairs": {"ir_drop": 10.0, "f_lst": [1.0, 3.0]},
}  # fmt: skip


def counted(code: int, longest: int, res: float) -> bool:
    """Whether a pulse of ``code`` steps is found to be so long."""
    times = torch.linspace(0.0, 2 * res * longest, longest + 1)
    return int((torch.tensor(code * 2 * res) > times).sum()) == code


def settings(given: dict) -> IOParametersIRDropT:
    io = IOParametersIRDropT()
    plain = {
        "bound_management": BoundManagementType.NONE, "noise_management": NoiseManagementType.NONE,
        "out_noise": 0.0, "out_bound": -1.0, "out_res": -1.0, "inp_res": 254.0, "ir_drop_segments": 4,
    }  # fmt: skip
    for name, value in {**plain, **given}.items():
        if name != "f_lst":
            setattr(io, name, AnalogMVType[value] if name == "mv_type" else value)
    return io


def codes(io: IOParametersIRDropT) -> list[int]:
    """The codes whose pulses are counted well in every pass."""
    res = 1.0 / io.inp_res
    levels = round(io.inp_res / 2)
    shift = io.split_mode_bit_shift
    if io.mv_type is AnalogMVType.ONE_PASS:
        return [m for m in range(levels + 1) if counted(m, levels, res)]
    if io.mv_type is AnalogMVType.BIT_WISE:
        return list(range(levels + 1))
    high = (levels + 1) // 2**shift - 1
    return [
        m for m in range(levels + 1)
        if counted(m % 2**shift, 2**shift - 1, res) and counted(m // 2**shift, high, res)
    ]  # fmt: skip


def main() -> None:
    torch.manual_seed(0)
    table = {}
    for name, given in CASES.items():
        io, weights = settings(given), torch.randn(OUTPUTS, INPUTS).clamp(-2, 2) / 2
        found = torch.tensor(codes(io))
        code = found[torch.randint(len(found), (BATCH, INPUTS))] * torch.randint(-1, 2, (BATCH, INPUTS))
        x = code / (io.inp_res / 2)
        pairs = (
            NPairConductanceConverter(given["f_lst"], **PAIR)
            if "f_lst" in given
            else SinglePairConductanceConverter(**PAIR)
        )
        y = AnalogMVMIRDropT.matmul(
            weights, x, io, False, is_test=True, phys_input_size=ROWS, g_converter=pairs
        )
        table[name] = {
            "given": given, "rows": ROWS, "pair": PAIR, "weights": weights.tolist(), "code": code.tolist(),
            "codes_counted": len(found), "y": y.tolist(),
        }  # fmt: skip
        print(name, len(found), float((y - x @ weights.T).abs().max()))
    target = Path(__file__).parent / "timed_ir_drop.json"
    target.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
