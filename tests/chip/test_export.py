"""Exports: the rows that NeuroSim publishes for ResNet-18, and YAML that reads back."""

from __future__ import annotations

import yaml

from crossgrid.chip import LayerShape, load_chip, map_layers
from crossgrid.chip.files.export import neurosim_csv, zigzag_yaml
from crossgrid.emulator.shapes.zoo import zoo_layers

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


def test_zigzag_yaml_reads_back_and_has_every_multiplication() -> None:
    layers = zoo_layers("resnet18")
    chip = load_chip("hermes-64")
    document = yaml.safe_load(zigzag_yaml(map_layers(layers, chip), chip))
    for layer, entry in zip(layers, document["workload"], strict=True):
        count = 1
        for size in entry["loop_sizes"]:
            count *= size
        assert count == layer.out * layer.in_ * layer.reuse
        assert len(entry["loop_dims"]) == len(entry["loop_sizes"])
    array = document["accelerator"]["operational_array"]
    assert array["sizes"] == [256, 256]
    assert array["adc_resolution"] == 8
    assert [entry["tiles"] for entry in document["mapping"]][-1] == 8
