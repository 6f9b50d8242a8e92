"""Chip files: presets hold what they promise, and every mistake is named with its place and way out."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from crossgrid.chip import converted_by, load_chip, presets
from crossgrid.chip.cost.parts import estimates
from crossgrid.chip.description.events import Events
from crossgrid.chip.description.load import PRESETS, parse_chip
from crossgrid.chip.description.spec import EVENTS
from crossgrid.kernels.analog_mvm import IOParameters
from crossgrid.kernels.errors import ConfigError, UnknownNameError

NAMES = {"demo-128", "hermes-64", "isaac", "neurosim-128", "neurosim-one-cell", "speech-34", "ideal"}


def described() -> dict:
    return yaml.safe_load((PRESETS / "demo-128.yaml").read_text())


def test_all_promised_presets_exist() -> None:
    assert set(presets()) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_preset_is_named_referenced_and_every_figure_has_a_source_or_is_an_estimate(name: str) -> None:
    chip = load_chip(name)
    assert chip.name == name
    assert chip.reference
    for part in chip.parts:
        for figure in (part.area_mm2, part.energy_pj, part.power_mw, part.time_ns):
            assert figure is None or not figure.value or figure.source
    between = chip.links.chip_gbit_per_s  # without it what crosses from chip to chip takes no time
    assert chip.ideal or (between.value and between.source)
    # what is plain in the file is published in the reference, or named here and reported
    listed = estimates(chip)
    assert set(chip.estimated) <= set(listed)
    assert all("(" in text for text in chip.estimated), "an estimate says why"


def test_demo_128_has_ten_by_ten_tiles_and_the_converters_of_ioparameters() -> None:
    chip = load_chip("demo-128")
    assert (chip.chips, chip.grid.rows, chip.grid.columns) == (1, 10, 10)
    assert (chip.tile_out, chip.tile_in) == (128, 128)
    io = converted_by(chip, IOParameters(inp_res=0.5, out_res=0.5, out_bound=3.0))
    # aihwkit's IOParameters: inp_res 1 / (2^7 - 2), out_res 1 / (2^9 - 2), inp_bound 1, out_bound 12
    assert io.inp_res == pytest.approx(1 / 126)
    assert io.out_res == pytest.approx(1 / 510)
    assert (io.inp_bound, io.out_bound) == (1.0, 12.0)


@pytest.mark.parametrize(
    ("name", "tiles", "out", "in_"),
    [
        ("hermes-64", 64, 256, 256),  # 64 cores of 256 x 256 unit cells
        ("isaac", 168 * 12 * 8, 16, 128),  # 128 columns of 2 bits hold 16 weights of 16 bits
        ("speech-34", 34, 512, 512),  # 2048 columns, four devices a weight
        ("neurosim-128", 9216, 16, 128),  # eight cells of one bit a weight
        ("neurosim-one-cell", 1024, 128, 128),
    ],
)
def test_published_sizes(name: str, tiles: int, out: int, in_: int) -> None:
    chip = load_chip(name)
    assert (chip.tiles, chip.tile_out, chip.tile_in) == (tiles, out, in_)


def test_chip_is_frozen() -> None:
    chip = load_chip("demo-128")
    with pytest.raises(dataclasses.FrozenInstanceError):
        chip.chips = 2  # type: ignore[misc]


def test_load_chip_takes_a_path_and_a_chip(tmp_path) -> None:
    data = described()
    data["name"] = "mine"
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    chip = load_chip(path)
    assert chip.name == "mine"
    assert load_chip(chip) is chip
    assert load_chip(str(path)) == chip


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'hermes-64'"):
        load_chip("hermes64")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("gird",), {"rows": 1, "columns": 1}, "unknown key in chip.yaml 'gird': did you mean 'grid'"),
        (("adc", "time_us"), 3, "unknown key in chip.yaml.adc 'time_us': did you mean 'time_ns'"),
        (("adc", "bits"), "nine", "chip.yaml.adc.bits = 'nine' is text"),
        (("adc", "bits"), -9, "chip.yaml.adc.bits = -9 must be at least 1"),
        (("adc", "bits"), 9.5, "must be of type int"),
        (("adc", "bound"), float("nan"), "finite"),
        (("adc", "time_ns"), "5 us", "its unit is ns, write the number alone: 5000"),
        (("adc", "time_ns"), "5 pJ", "'pJ' is no unit of time; give a number in ns"),
        (("adc", "time_ns"), {"value": -1, "source": "x"}, "not negative"),
        (("adc", "time_ns"), {"source": "x"}, "has no 'value'"),
        (("adc", "time_ns"), {"value": 1, "sauce": "x"}, "did you mean 'source'"),
        (("grid", "rows"), 0, "chip.yaml.grid.rows = 0 must be at least 1"),
        (("grid",), [10, 10], "must be a mapping"),
        (("links", "kind"), "mash", "did you mean 'mesh'"),
        (("crossbar", "sign"), "column pair", "did you mean 'column-pair'"),
        (("crossbar", "cells_per_weight"), 3, "must be even"),
        (("crossbar", "columns"), 255, "no multiple of the 2 cells_per_weight; give 254 or 256"),
        (("crossbar", "sign"), "in-cell", "an analog cell holds a whole weight; give 1, sign 'column-pair'"),
        (("crossbar", "rows"), 10**9, "must be at most 65536"),
        (("crossbar", "rows"), True, "must be of type int"),
        (("crossbar", "rows_at_once"), 129, "is more than the 128 rows"),
        (("crossbar", "rows_at_once"), 0, "must be at least 1"),
        (("crossbar", "phases"), 3, "must be 1, 2 .* or 4"),
        (("links", "clock_ghz"), 0, "links that never tick carry nothing; give a clock above 0"),
        (("links", "clock_ghz"), float("nan"), "finite number"),
        (("links", "clock_ghz"), {"value": float("nan"), "source": "x"}, "finite number"),
        (
            ("links", "clock_ghz"),
            {"value": 1, "at_bits": 3},
            "unknown key in chip.yaml.links.clock_ghz 'at_bits'",
        ),
        (("links", "clock_ghz"), -1, "not negative"),
        (("links", "clock_ghz"), 10**400, "finite number"),
        (("links", "width_bits"), 0, "must be at least 1"),
        (("adc", "bits"), 90, "chip.yaml.adc.bits = 90 must be at most 24"),
        (("adc", "bits"), 1, "sums have a sign, and one bit tells nothing else"),
        (("adc", "bits"), None, "must be of type int"),
        (("adc", "bound"), 1e-6, "every result would clip"),
        (("adc", "columns"), 1000, "a tile has 128 lines to convert; give at most 128"),
        (("adc", "kind"), "sra", "is none of sar, flash, counter: did you mean 'sar'"),
        (("adc", "time_ns"), {"value": 5, "at_bits": "nine"}, "must be a whole number of bits"),
        (("adc", "time_ns"), {"value": 5, "source": ["a", "b"]}, "must be text: where the figure is from"),
        (("dac", "bits"), 90, "must be at most 16"),
        (("dac", "bits"), 1, "an input of 1 bit is a sign alone"),
        (("dac", "kind"), "pwm", "is none of voltage, pulse-width"),
        (("grid",), {"rows": 8192, "columns": 8192}, None),
        (("chips",), 1_000_000_000, "must be at most 1e"),
        (("node_nm",), "28 nm", "its unit is nm, write the number alone: 28"),
        (("clusters",), [{"name": "pe", "tiles": 1000}], "'pe' has 1000 tiles, the chip 100"),
        (("crossbar", "cells_per_weight"), 300, "hold no weight"),
        (("crossbar", "bits_per_cell"), 1, "hold fewer than the 8 weight_bits"),
        (("adc",), None, "'dac' and 'adc' are missing"),
        (("parts",), {"name": "x"}, "must be a list"),
        (("parts",), [{"name": "x", "event": "adc_conversions"}], "did you mean 'adc_conversion'"),
        (("parts",), [{"name": "x", "per": "tiel"}], "did you mean 'tile'"),
        (("parts",), [{"name": "x", "event": "add", "power_mw": 1}], "has power_mw but no time_ns"),
        (("parts",), [{"name": "x", "event": "add", "power_mw": 1, "energy_pj": 1}], "give one"),
        (("parts",), [{"name": "x", "energy_pj": 1}], "has energy_pj but no event"),
        (("parts",), [{"name": "x", "model": "arry"}], "did you mean 'array'"),
        (("parts",), [{"name": "x", "model": "adc", "at": {"bist": 3}}], "did you mean 'bits'"),
        (
            ("parts",),
            [{"name": "x", "model": "adc", "at": {"rows": 3}}],
            "its model 'adc' reads bits, kind, time_ns",
        ),
        (("parts",), [{"name": "x", "at": {"bits": 3}}], "the figures follow nothing"),
        (("parts",), [{"name": "x", "model": "adc", "at": {"bits": -3}}], "must be at least 1"),
        (
            ("parts",),
            [{"name": "x", "event": "adc_conversion", "count": 15}],
            "cannot serve a tile's 128 lines with 8 a converter: it needs 16",
        ),
        (
            ("parts",),
            [{"name": "x", "event": "dac_conversion", "count": 64}],
            "cannot serve a tile's 128 rows: it needs 128",
        ),
        (("parts",), [{"name": "x", "count": 0}], "must be at least 1e-09"),
        (("parts",), [{"name": "x", "count": float("inf")}], "must be a finite number"),
        (("parts",), ["ADC"], "must be a mapping"),
        (("reference",), "a paper", "must be a list"),
        (("parts",), [{"count": 2}], r"parts\[0\].name is missing"),
        (("clusters",), [{"name": "chip", "tiles": 2}], "is taken"),
    ],
)
def test_mistakes_are_named(place: tuple[str, ...], value: object, words: str | None) -> None:
    data = described()
    owner = data
    for key in place[:-1]:
        owner = owner[key]
    owner[place[-1]] = value
    if words is None:  # unusual, and possible
        parse_chip(data, "chip.yaml")
        return
    with pytest.raises(ConfigError, match=words) as caught:
        parse_chip(data, "chip.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["name", "grid", "crossbar"])
def test_a_missing_key_is_named(missing: str) -> None:
    data = described()
    del data[missing]
    with pytest.raises(ConfigError, match=f"chip.yaml.{missing} is missing"):
        parse_chip(data, "chip.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "", "- 1\n- 2\n", "a: [1", "\x00", "text", "3", "? [a, b]\n: 1\n", "a: 2020-99-99\n", "a: &x [*x]\n",
        "[" * 100_000, "name: !!python/object:os.system x\n", "a: 1\n---\nb: 2\n", "<<: 3\n", "a: *b\n",
        "name: x\ngrid: {rows: 1, columns: 1}\ncrossbar: &c {rows: 1, columns: 1, more: *c}\n",
        "{}", "null: 1",
    ],
)  # fmt: skip
def test_a_file_that_is_no_chip_is_an_error_of_one_line(tmp_path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_chip(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", ["", "  "])
def test_a_key_given_twice_is_refused_with_its_line(tmp_path, depth: str) -> None:
    """YAML's first key would be lost without a word; merged keys may be overridden, as YAML means it."""
    path = tmp_path / "twice.yaml"
    text = f"name: mine\nadc:\n{depth or '  '}bits: 9\n" + ("  bits: 4\n" if depth else "name: yours\n")
    path.write_text(text)
    key = "bits" if depth else "name"
    with pytest.raises(ConfigError, match=f"twice.yaml': key '{key}' is given twice, again in line 4"):
        load_chip(path)
    merged = tmp_path / "merged.yaml"
    sizes = "&side {rows: 2, columns: 4}"
    merged.write_text(f"name: m\nideal: true\ngrid: {sizes}\ncrossbar: {{<<: *side, rows: 8}}\n")
    assert load_chip(merged).crossbar.rows == 8


def test_a_folder_and_an_unreadable_file_are_errors_of_one_line(tmp_path) -> None:
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    with pytest.raises(ConfigError, match="is a folder; give a YAML file in it"):
        load_chip(folder)
    with pytest.raises(ConfigError, match="is a folder"):
        load_chip(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(ConfigError, match="is no readable YAML"):
        load_chip(tmp_path / "latin.yaml")
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_chip(tmp_path / "loop.yaml")


def test_more_tiles_than_a_plan_can_number_are_refused() -> None:
    data = described() | {"grid": {"rows": 8192, "columns": 8192}, "chips": 1000}
    with pytest.raises(ConfigError, match="are more than 2147483647 tiles"):
        parse_chip(data, "chip.yaml")


def test_times_of_nothing_are_refused() -> None:
    data = described()
    data["adc"]["time_ns"] = data["dac"]["time_ns"] = 0
    with pytest.raises(ConfigError, match="a read would take no time"):
        parse_chip(data, "chip.yaml")


def test_a_part_names_the_events_that_are_counted() -> None:
    """One list: what can be counted is what a part can be counted by; times are powers' own."""
    counted = [spec.name for spec in dataclasses.fields(Events)]
    assert ["none", *counted] == list(EVENTS)
    for event in counted:
        data = described() | {"parts": [{"name": "x", "event": event, "power_mw": 1}]}
        if event in ("busy_ns", "static_ns"):
            assert parse_chip(data, "chip.yaml").parts[0].draws_power
        else:
            with pytest.raises(ConfigError, match="has power_mw but no time_ns"):
                parse_chip(data, "chip.yaml")


def test_a_missing_file_lists_the_presets() -> None:
    with pytest.raises(ConfigError, match=r"does not exist.*demo-128"):
        load_chip("nowhere.yaml")


def test_a_number_without_a_source_is_an_estimate() -> None:
    data = described()
    data["adc"]["time_ns"] = 7
    chip = parse_chip(data, "chip.yaml")
    assert chip.adc is not None
    assert chip.adc.time_ns.estimate
    data["adc"]["time_ns"] = {"value": 7, "source": "a paper"}
    chip = parse_chip(data, "chip.yaml")
    assert chip.adc is not None
    assert not chip.adc.time_ns.estimate
