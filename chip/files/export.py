"""A plan as YAML that ZigZag reads."""

from __future__ import annotations

from crossgrid.kernels.errors import ConfigError

from ..cost.cost import peak
from ..cost.parts import energy_by_part, estimates
from ..description.events import Events
from ..description.spec import Chip
from ..plan.graph import source_numbers
from ..plan.layer_shape import LayerShape
from ..plan.plan import MappingPlan


def zigzag_yaml(plan: MappingPlan, chip: Chip) -> str:
    """ZigZag's three inputs (Mei et al., IEEE Trans. Comput. 70, 2021) under one heading each.

    What each part is: ``zigzag_files``. Figures that ZigZag has no key for stand in comments.
    """
    best = peak(chip)
    notes = [
        f"{chip.name}: {chip.tiles} tiles a chip, of which one is described; at most {best.tops:.4g} TOPS, "
        f"{best.watts:.4g} W, {best.area_mm2:.4g} mm2",
        *(f"estimate: {text}" for text in estimates(chip)),
    ]
    head = "".join(f"# {' '.join(note.split())}\n" for note in notes)
    return head + _yaml(_zigzag_parts(plan, chip))


def zigzag_files(plan: MappingPlan, chip: Chip) -> dict[str, str]:
    """Names and texts of the three files that ZigZag reads.

    ``workload.yaml`` has a loop nest a layer: B vectors, K outputs, C inputs (B, G, K, OY, OX, C, FY, FX for
    convolutions). ``accelerator.yaml`` is one tile as an analog in-memory array, ``mapping.yaml`` how each
    layer is unrolled over it: outputs along D1, inputs (of a convolution its window, too) along D2.
    """
    return {f"{name}.yaml": _yaml(part) for name, part in _zigzag_parts(plan, chip).items()}


def _yaml(data: object) -> str:
    import yaml

    text: str = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=110)
    return text


def _zigzag_parts(plan: MappingPlan, chip: Chip) -> dict[str, object]:
    if chip.kinds:
        raise ConfigError(
            f"ZigZag's files describe one kind of tile, chip '{chip.name}' has {len(chip.kinds) + 1}; write "
            "them for a chip of one of these kinds"
        )
    layers = zip(plan.layers, source_numbers(plan.layers), strict=True)
    default = {"name": "default", "memory_operand_links": dict(_OPERANDS)}
    return {
        "workload": [_zigzag_layer(k, layer, chip, read[0]) for k, (layer, read) in enumerate(layers)],
        "accelerator": _zigzag_hardware(chip),
        "mapping": [default, *(_zigzag_mapping(layer, chip) for layer in plan.layers)],
    }


#: ZigZag's names for outputs, weights and inputs where they are kept
_OPERANDS = {"O": "O", "W": "I2", "I": "I1"}


def _zigzag_layer(k: int, layer: LayerShape, chip: Chip, source: int) -> dict[str, object]:
    precision = {
        "O": max(2 * chip.operation_bits, chip.output_bits),
        "O_final": chip.output_bits,
        "W": chip.operation_bits,
        "I": chip.operation_bits,
    }
    common = {"id": k, "name": layer.name, "operand_precision": precision}
    operands = {"operand_source": {"I": k if source < 0 else source, "W": k}}
    shape = layer.convolution
    if shape is None:
        dims = {"B": layer.reuse, "G": layer.groups, **_per_group(layer)}
        equation = "O[b][g][k]+=W[g][k][c]*I[b][g][c]"
        relations = []
    else:
        relations = [
            f"i{axis}={shape.stride[n]}*o{axis}+{shape.dilation[n]}*f{axis}" for n, axis in enumerate("yx")
        ]
        dims = {
            "B": 1, "G": layer.groups, "K": layer.out // layer.groups, "OY": shape.size_out[0],
            "OX": shape.size_out[1], "C": shape.channels_in // layer.groups, "FY": shape.kernel[0],
            "FX": shape.kernel[1],
        }  # fmt: skip
        equation = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"
    if layer.groups == 1:
        del dims["G"]
        equation = equation.replace("[g]", "")
    return {
        **common, "operator_type": "Gemm" if shape is None else "Conv", "equation": equation,
        "dimension_relations": relations, "loop_dims": list(dims), "loop_sizes": list(dims.values()),
        **operands,
    }  # fmt: skip


def _per_group(layer: LayerShape) -> dict[str, int]:
    return {"K": layer.out // layer.groups, "C": layer.in_ // layer.groups}


def _zigzag_hardware(chip: Chip) -> dict[str, object]:
    """ZigZag takes widths of digital values that are powers of two."""
    act = _power_of_two(chip.operation_bits)
    streamed = chip.dac.bits if chip.dac else chip.operation_bits
    return {
        "name": chip.name,
        "memories": _zigzag_memories(chip, act),
        "operational_array": {
            "is_imc": True,
            "imc_type": "analog",
            "bit_serial_precision": min(_power_of_two(streamed), act),
            "adc_resolution": chip.adc.bits if chip.adc else 0,
            "input_precision": [act, act],
            "dimensions": ["D1", "D2"],
            "sizes": [chip.tile_out, chip.tile_in],
        },
    }


def _power_of_two(bits: int) -> int:
    return 1 << (bits - 1).bit_length()


def _zigzag_memories(chip: Chip, act: int) -> dict[str, object]:
    """Cells, registers of a tile's lines, its buffer, and what is beyond its link; costs are pJ an access."""
    of = {
        event: sum(energy_by_part(chip, Events(**{event: 1.0}), 1).values())
        for event in ("program_weight", "buffer_bit", "hop_bit")
    }
    wide = 2 * act
    buffered = 8 * -(-(chip.tile_in * act + chip.tile_out * wide) // 8)
    row, column = chip.tile_in * act, chip.tile_out * wide
    link = chip.links.width_bits
    return {
        "cells": _memory(act, (0.0, of["program_weight"]), 0, ["I2"], act, []),
        "row_registers": _memory(act, (0.0, 0.0), 1, ["I1"], act, ["D1"]),
        "column_registers": _memory(wide, (0.0, 0.0), 1, ["O"], wide, ["D2"]),
        "buffer": _memory(
            2 * buffered, (of["buffer_bit"] * (row + column),) * 2, 1, ["I1", "O"], row + column, ["D1", "D2"]
        ),
        "network": _memory(
            1 << 40, (of["hop_bit"] * link,) * 2, 1, ["I1", "I2", "O"], link, ["D1", "D2"]
        ),
    }  # fmt: skip


def _memory(
    size: int, cost: tuple[float, float], latency: int, operands: list[str], width: int, served: list[str]
) -> dict[str, object]:
    """One memory, every transfer of every operand through one port of ``width`` bits."""
    ways = [f"{operand}, {way}" for operand in operands for way in _WAYS[operand]]
    port = {
        "name": "rw_port_1", "type": "read_write", "bandwidth_min": width, "bandwidth_max": width,
        "allocation": ways,
    }  # fmt: skip
    return {
        "size": size, "r_cost": cost[0], "w_cost": cost[1], "area": 0.0, "latency": latency,
        "operands": operands, "ports": [port], "served_dimensions": served,
    }  # fmt: skip


#: ways of operands at a memory: filled from above, read to below; results also from below and to above
_WAYS = {"I1": ("fh", "tl"), "I2": ("fh", "tl"), "O": ("fh", "tl", "fl", "th")}


def _zigzag_mapping(layer: LayerShape, chip: Chip) -> dict[str, object]:
    """As much of a group as one tile holds: a window whole where it fits, then channels."""
    shape, height = layer.convolution, min(layer.out // layer.groups, chip.tile_out)
    along = {"C": min(layer.in_ // layer.groups, chip.tile_in)}
    if shape is not None:
        window = {"FX": min(shape.kernel[1], chip.tile_in)}
        window["FY"] = max(min(shape.kernel[0], chip.tile_in // window["FX"]), 1)
        fit = max(chip.tile_in // (window["FX"] * window["FY"]), 1)
        along = {"C": min(shape.channels_in // layer.groups, fit), **window}
    return {
        "name": layer.name,
        "spatial_mapping": {"D1": [f"K, {height}"], "D2": [f"{dim}, {size}" for dim, size in along.items()]},
        "memory_operand_links": dict(_OPERANDS),
    }
