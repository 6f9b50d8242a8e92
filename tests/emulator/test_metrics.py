"""The metrics that a run serves, read as Prometheus reads them, and by a real Prometheus."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import make_server

import pytest
import torch
import yaml
from prometheus_client.parser import text_string_to_metric_families
from torch import nn

import crossgrid as cg
from crossgrid.emulator.run.metrics.server import MetricsServer
from crossgrid.emulator.tiles.bank import TileBank

ROOT = Path(__file__).parent.parent.parent


def scrape(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def small_model() -> tuple[nn.Module, cg.AnalogSGD]:
    torch.manual_seed(0)
    mapping = cg.MappingParameter(max_output_size=8, max_input_size=16)
    model = cg.convert_to_analog(nn.Linear(16, 16), cg.SingleRPUConfig(mapping=mapping))
    return model, cg.AnalogSGD(model.parameters(), lr=0.5)


def step(model: nn.Module, optimizer: cg.AnalogSGD) -> torch.Tensor:
    optimizer.zero_grad()
    loss = model(torch.linspace(-1, 1, 5 * 16).reshape(5, 16)).square().sum()
    loss.backward()
    optimizer.step()
    return loss


def test_a_run_counts_what_its_tiles_do(capsys: pytest.CaptureFixture[str]) -> None:
    model, optimizer = small_model()
    with cg.emulate(model) as running:
        printed = capsys.readouterr().out.strip().splitlines()
        assert printed[-1] == f"metrics: {running.metrics_url}"
        assert running.metrics_url.startswith("http://localhost:")
        for _ in range(3):
            running.record(step(model, optimizer).item())
        values = scrape(running.metrics_url)
    for tile in ("AnalogLinear/0,0", "AnalogLinear/1,0"):
        labels = (("layer", "AnalogLinear"), ("tile", tile))
        assert values["crossgrid_tile_forward_vectors_total", labels] == 15
        assert (
            values["crossgrid_tile_backward_vectors_total", labels] == 0
        )  # nobody needs the data's gradient
        assert values["crossgrid_tile_update_vectors_total", labels] == 15
        assert values["crossgrid_tile_update_seconds_total", labels] > 0
        assert values["crossgrid_tile_pulses_total", labels] > 0
        assert values["crossgrid_tile_adc_clips_total", labels] == 0
        assert 0 <= values["crossgrid_tile_saturated_crosspoints", labels] <= 128
    assert values["crossgrid_samples_total", ()] == 15
    assert values["crossgrid_tiles", ()] == 2
    assert values["crossgrid_loss", ()] > 0


def test_the_port_is_free_afterwards() -> None:
    model, _ = small_model()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for _ in range(2):
        with cg.emulate(model, metrics_port=port) as running:
            assert running.metrics_url == f"http://localhost:{port}/metrics"
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_leaving_wakes_the_server() -> None:
    """One that looks once an hour whether it shall stop: it is called, and stops at once."""
    server = make_server("127.0.0.1", 0, lambda environ, start: [])
    serving = threading.Thread(target=server.serve_forever, args=(3600,), daemon=True)
    serving.start()
    closing = threading.Thread(target=MetricsServer(server.server_port, server, serving).close, daemon=True)
    closing.start()
    closing.join(300)
    assert not closing.is_alive()
    assert not serving.is_alive()


def test_runs_that_start_at_once_get_ports_of_their_own() -> None:
    """Also more of them than there are usual ports, which each of them asks for first."""
    runs = [cg.emulate(small_model()[0]) for _ in range(14)]
    with ThreadPoolExecutor(len(runs)) as pool:
        urls = [running.metrics_url for running in pool.map(lambda run: run.__enter__(), runs)]
        list(pool.map(lambda run: run.__exit__(None, None, None), runs))
    assert len({*urls}) == len(runs)


def test_clips_are_counted() -> None:
    """Weights of 0.5 over 16 inputs of 1 reach 8: an ADC bound of 2 clips all 4 lines of 3 vectors."""
    config = cg.SingleRPUConfig(
        device=cg.ConstantStepDevice(w_max_dtod=0.0, w_min_dtod=0.0),
        forward=cg.IOParameters(out_bound=2.0, out_noise=0.0, bound_management="none"),
    )
    model = cg.AnalogLinear(16, 4, rpu_config=config)
    model.set_weights(torch.full((4, 16), 0.5))
    with cg.emulate(model) as running:
        model(torch.ones(3, 16))
        ((_, counters),) = running.tile_samples()
    assert counters["adc_clips"] == 12


@pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is not installed (apt install prometheus)"
)
def test_a_real_prometheus_scrapes_a_run(tmp_path: Path) -> None:
    settings = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    targets = settings["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == [f"localhost:{port}" for port in range(9464, 9474)]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        web = probe.getsockname()[1]
    model, optimizer = small_model()
    with cg.emulate(model) as running:
        assert running.metrics_url is not None
        own = urlsplit(running.metrics_url).netloc  # what runs beside these tests is scraped too
        assert own in targets
        step(model, optimizer)
        server = subprocess.Popen(
            [
                "prometheus", f"--config.file={ROOT}/deploy/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}", f"--web.listen-address=127.0.0.1:{web}",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            found = _ask(web, f'sum(crossgrid_tile_pulses_total{{instance="{own}"}})')
        finally:
            server.terminate()
            server.wait(10)
        counted = sum(counters["pulses"] for _, counters in running.tile_samples())
    assert found == counted > 0


def _ask(port: int, query: str) -> float:
    """The value of a query, once Prometheus has scraped."""
    address = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.request.quote(query)}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                result = json.load(answer)["data"]["result"]
        except OSError:
            result = []
        if result:
            return float(result[0]["value"][1])
        time.sleep(0.5)
    raise AssertionError(f"Prometheus found nothing for {query} within a minute")


def test_a_scrape_looks_at_every_bank_once() -> None:
    """Each layer is asked for its own tiles alone: three layers, of which one has tiles of two shapes."""
    mapping = cg.MappingParameter(max_output_size=8, max_input_size=16)
    model = cg.convert_to_analog(
        nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 15), nn.Linear(15, 4)),
        cg.SingleRPUConfig(mapping=mapping),
    )
    looks: list[int] = []

    def count(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is TileBank.look.__code__:
            looks.append(id(frame.f_locals["self"]))

    with cg.emulate(model) as running:
        banks = [group.bank for layer in running.executor.worker.layers.values() for group in layer.groups]
        sys.setprofile(count)
        try:
            samples = running.tile_samples()
        finally:
            sys.setprofile(None)
    assert len(banks) == 4
    assert sorted(looks) == sorted(map(id, banks))
    assert len(samples) == 5
