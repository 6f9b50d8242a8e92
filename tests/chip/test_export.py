"""Exports: the rows that NeuroSim publishes for ResNet-18, and YAML that reads back."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest
import yaml

from crossgrid.chip import Convolution, LayerShape, load_chip, map_layers, presets
from crossgrid.chip.files.export import zigzag_files, zigzag_yaml
from crossgrid.chip.files.neurosim import neurosim_csv, read_neurosim_csv
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError

#: the rows of NeuroSim V1.3's NetWork_ResNet18.csv, sorted; the last column is the stride
PUBLISHED_RESNET18 = sorted(
    """224,224,3,7,7,64,2
56,56,64,3,3,64,1
56,56,64,3,3,64,1
56,56,64,3,3,64,1
56,56,64,3,3,64,1
56,56,64,3,3,128,2
28,28,128,3,3,128,1
56,56,64,1,1,128,2
28,28,128,3,3,128,1
28,28,128,3,3,128,1
28,28,128,3,3,256,2
14,14,256,3,3,256,1
28,28,128,1,1,256,2
14,14,256,3,3,256,1
14,14,256,3,3,256,1
14,14,256,3,3,512,2
7,7,512,3,3,512,1
14,14,256,1,1,512,2
7,7,512,3,3,512,1
7,7,512,3,3,512,1
1,1,512,1,1,1000,1""".splitlines()
)


def test_neurosim_rows_of_resnet18_are_the_published_ones() -> None:
    rows = [line.split(",") for line in neurosim_csv(zoo_layers("resnet18")).splitlines()]
    assert all(len(row) == 8 for row in rows)
    assert {row[6] for row in rows} == {"0", "1"}
    assert sorted(",".join((*row[:6], row[7])) for row in rows) == PUBLISHED_RESNET18


def test_neurosim_row_of_a_layer_that_many_vectors_pass() -> None:
    assert neurosim_csv([LayerShape("a", 30, 20, 128)]) == "1,128,20,1,1,30,0,1\n"


def shapes() -> list[LayerShape]:
    """A chain of every kind: an image's, a grouped one, one that more than a tile holds, a sequence's."""
    image = Convolution(3, (7, 7), (2, 2), (32, 32), (16, 16))
    apart = Convolution(64, (3, 3), (1, 1), (16, 16), (12, 12), dilation=(2, 2))
    return [
        LayerShape("a", 64, 3 * 49, 256, image), LayerShape("b", 64, 64 * 9, 144, apart, groups=64),
        LayerShape("c", 1000, 64 * 144, 1), LayerShape("d", 20, 1000, 7, groups=2),
    ]  # fmt: skip


@pytest.mark.parametrize("layers", [zoo_layers("resnet18"), shapes()], ids=["resnet18", "kinds"])
def test_zigzag_yaml_reads_back_and_has_every_multiplication(layers: list[LayerShape]) -> None:
    chip = load_chip("hermes-64")
    document = yaml.safe_load(zigzag_yaml(map_layers(layers, chip), chip))
    for layer, entry in zip(layers, document["workload"], strict=True):
        assert math.prod(entry["loop_sizes"]) == layer.weights * layer.reuse
        assert len(entry["loop_dims"]) == len(entry["loop_sizes"])
    array = document["accelerator"]["operational_array"]
    assert array["sizes"] == [256, 256]
    assert array["adc_resolution"] == 8


@pytest.mark.parametrize("name", [name for name in presets() if name != "ideal"])
def test_zigzag_maps_no_more_than_a_tile_holds(name: str) -> None:
    """Rows of a convolution are windows of channels: of 3 channels and 7 x 7 pixels not C = 147."""
    chip = load_chip(name)
    document = yaml.safe_load(zigzag_yaml(map_layers(shapes(), chip), chip))
    default, *mappings = document["mapping"]
    assert default["name"] == "default"
    for entry, layer, work in zip(mappings, shapes(), document["workload"], strict=True):
        assert entry["name"] == layer.name
        loops = dict(zip(work["loop_dims"], work["loop_sizes"], strict=True))
        for axis, most in (("D1", chip.tile_out), ("D2", chip.tile_in)):
            unrolled = {
                dim: int(size) for dim, size in (u.split(", ") for u in entry["spatial_mapping"][axis])
            }
            assert math.prod(unrolled.values()) <= most
            assert all(1 <= size <= loops[dim] for dim, size in unrolled.items())


def test_files_are_the_document_s_parts() -> None:
    chip = load_chip("demo-128")
    plan = map_layers(shapes(), chip)
    files = {name: yaml.safe_load(text) for name, text in zigzag_files(plan, chip).items()}
    whole = yaml.safe_load(zigzag_yaml(plan, chip))
    assert files == {f"{name}.yaml": part for name, part in whole.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in presets() if name != "ideal"])
@pytest.mark.parametrize("layers", [zoo_layers("resnet18"), shapes()], ids=["resnet18", "kinds"])
def test_zigzag_loads_what_is_exported(name: str, layers: list[LayerShape], tmp_path: Path) -> None:
    """Its own parsers: accelerator, mapping and workload become its objects."""
    pytest.importorskip("zigzag", reason="needs ZigZag's own parsers: pip install zigzag-dse six")
    accelerators, workloads = (
        importlib.import_module(f"zigzag.stages.parser.{part}_parser") for part in ("accelerator", "workload")
    )
    chip = load_chip(name)
    plan = map_layers(layers, chip)
    for file, text in zigzag_files(plan, chip).items():
        (tmp_path / file).write_text(text)
    tile = accelerators.AcceleratorParserStage.parse_accelerator(str(tmp_path / "accelerator.yaml"))
    sizes = sorted(tile.operational_array.dimension_sizes.values())
    assert sizes == sorted([chip.tile_out, chip.tile_in])
    stage = workloads.WorkloadParserStage(
        [None], workload=str(tmp_path / "workload.yaml"), mapping=str(tmp_path / "mapping.yaml")
    )
    nodes = list(stage.parse_workload().node_list)
    assert [node.total_mac_count for node in nodes] == [layer.weights * layer.reuse for layer in layers]


@pytest.mark.parametrize("model", ["lenet5", "vgg8", "vgg16", "resnet18", "resnet50"])
def test_a_network_csv_comes_back(model: str, tmp_path: Path) -> None:
    """Sizes, vectors and geometry of every layer; and of a chain who reads whom."""
    layers = zoo_layers(model)
    (tmp_path / "NetWork.csv").write_text(neurosim_csv(layers))
    found = read_neurosim_csv(tmp_path / "NetWork.csv")
    assert [(s.out, s.in_, s.reuse, s.convolution) for s in found] == [
        (s.out, s.in_, s.reuse, s.convolution) for s in layers
    ]
    assert neurosim_csv(found) == neurosim_csv(layers)
    if model == "resnet50":  # its shortcuts read images that look like others
        return
    names = {shape.name: f"layer{k + 1}" for k, shape in enumerate(layers)}
    read = [shape.sources for shape in layers]
    before = [(layers[k - 1].name,) if k and r is None else r for k, r in enumerate(read)]
    assert [shape.sources for shape in found[1:]] == [tuple(names[n] for n in r or ()) for r in before[1:]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no row"),
        ("1,2,3\n", "line 1 has 3 values; a row of NetWork.csv has 8"),
        ("28,28,1,5,5,16,1,1\n12,12,x,5,5,32,1,1\n", "line 2: depth = 'x' must be a whole number"),
        ("28,28,1,5,5,16,2,1\n", "pooled = 2 must be 0 or 1"),
        ("28,28,0,5,5,16,1,1\n", "depth = '0' must be a whole number of at least 1"),
        ("28,28,1,5,5,16,1,-1\n", "stride = '-1'"),
        (f"28,28,{10**17},5,5,16,1,1\n", "must be at most 2147483647"),
    ],
)
def test_a_csv_that_is_none_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ConfigError, match=words) as error:
        read_neurosim_csv(tmp_path / "x.csv")
    assert "\n" not in str(error.value)
