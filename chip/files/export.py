"""A plan for other tools: NeuroSim's NetWork.csv, and YAML as ZigZag reads it."""

from __future__ import annotations

from collections.abc import Sequence

from ..cost.cost import peak
from ..cost.parts import estimates
from ..description.spec import Chip
from ..plan.graph import source_numbers
from ..plan.plan import LayerShape, MappingPlan


def neurosim_csv(layers: Sequence[LayerShape]) -> str:
    """NeuroSim's NetWork.csv, a row a layer (DNN+NeuroSim manual, "network structure").

    Columns: input height, width and depth, kernel height and width, output depth, whether pooling
    follows, stride. A linear layer is a 1 x 1 convolution of a 1 x 1 image; one that many vectors pass
    through an input (a transformer's) is one over an image of that many positions. NeuroSim knows no
    groups: of a grouped convolution the depth is that of one group, so that its weights are right.
    """
    rows = []
    for layer in layers:
        shape = layer.convolution
        if shape is None:
            rows.append((1, layer.reuse, layer.in_, 1, 1, layer.out, 0, 1))
            continue
        (height, width), (kernel_height, kernel_width) = shape.size_in, shape.kernel
        rows.append(
            (
                height,
                width,
                shape.channels_in // layer.groups,
                kernel_height,
                kernel_width,
                layer.out,
                int(shape.pooled),
                shape.stride[0],
            )
        )
    return "".join(",".join(str(value) for value in row) + "\n" for row in rows)


def zigzag_yaml(plan: MappingPlan, chip: Chip) -> str:
    """Workload, accelerator and mapping in one document, keys as in ZigZag's inputs (zigzag/inputs).

    ``workload`` has a loop nest a layer: B vectors, K outputs, C inputs (B, K, OY, OX, C, FY, FX for
    convolutions). ``accelerator`` describes one tile as an analog in-memory array.
    """
    import yaml

    document = {
        "workload": [
            _zigzag_layer(k, layer, chip, sources[0])
            for k, (layer, sources) in enumerate(zip(plan.layers, source_numbers(plan.layers), strict=True))
        ],
        "accelerator": _zigzag_hardware(chip),
        "mapping": [_zigzag_mapping(plan, k) for k in range(len(plan.layers))],
    }
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=110)


def _zigzag_layer(k: int, layer: LayerShape, chip: Chip, source: int) -> dict[str, object]:
    precision = {
        "O": 2 * chip.operation_bits,
        "O_final": chip.output_bits,
        "W": chip.operation_bits,
        "I": chip.operation_bits,
    }
    common = {"id": k, "name": layer.name, "operand_precision": precision}
    operands = {"operand_source": {"I": k if source < 0 else source, "W": k}}
    shape = layer.convolution
    if shape is None:
        return {
            **common, "operator_type": "Gemm", "equation": "O[b][k]+=W[k][c]*I[b][c]",
            "loop_dims": ["B", "K", "C"], "loop_sizes": [layer.reuse, layer.out, layer.in_], **operands,
        }  # fmt: skip
    relations = [f"iy={shape.stride[0]}*oy+1*fy", f"ix={shape.stride[1]}*ox+1*fx"]
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
        **common, "operator_type": "Conv", "equation": equation, "dimension_relations": relations,
        "loop_dims": list(dims), "loop_sizes": list(dims.values()), **operands,
    }  # fmt: skip


def _zigzag_hardware(chip: Chip) -> dict[str, object]:
    best = peak(chip)
    return {
        "name": chip.name,
        "operational_array": {
            "is_imc": True,
            "imc_type": "analog",
            "bit_serial_precision": chip.dac.bits if chip.dac else chip.operation_bits,
            "adc_resolution": chip.adc.bits if chip.adc else 0,
            "input_precision": [chip.operation_bits, chip.operation_bits],
            "dimensions": ["D1", "D2"],
            "sizes": [chip.tile_out, chip.tile_in],
        },
        "tiles": chip.tiles,
        "peak": {
            "tops": round(best.tops, 4),
            "watts": round(best.watts, 4),
            "area_mm2": round(best.area_mm2, 4),
        },
        "estimates": estimates(chip),
    }


def _zigzag_mapping(plan: MappingPlan, k: int) -> dict[str, object]:
    layer = plan.layers[k]
    return {
        "name": layer.name,
        "spatial_mapping": {
            "D1": [f"K, {min(layer.out, plan.tile_out)}"],
            "D2": [f"C, {min(layer.in_, plan.tile_in)}"],
        },
        "tiles": int(plan.layer_tiles[k]),
        "copies": int(plan.copies[k]),
    }
