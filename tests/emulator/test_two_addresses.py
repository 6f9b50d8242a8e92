"""Two raylets with addresses of their own: two network namespaces of this machine, with a cable between."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray", reason="Ray is an extra: pip install 'crossgrid[ray]'")

PROGRAM = Path(__file__).parent / "stages_on_two_nodes.py"
PORT = 6379


@dataclass
class Place:
    """Where a raylet runs: in a network of its own, or, where that is not allowed, in this one."""

    address: str
    before: list[str]  # stands before a command that is to run there


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)


@contextlib.contextmanager
def places() -> Iterator[list[Place]]:
    """Two of them; the namespaces are gone afterwards."""
    names = [f"cg{os.getpid()}{end}" for end in "ab"]
    addresses = ["10.213.7.1", "10.213.7.2"]
    try:
        try:
            if shutil.which("ip") is None:
                raise FileNotFoundError("ip")
            for name in names:
                run("ip", "netns", "add", name)
            ends = ["netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1]]
            run("ip", "link", "add", "cable", *ends)
            for name, address in zip(names, addresses, strict=True):
                run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "cable")
                for device in ("lo", "cable"):
                    run("ip", "-n", name, "link", "set", device, "up")
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            print(f"no network namespaces here ({error}): loopback addresses in their place")
            yield [Place("127.0.0.2", []), Place("127.0.0.3", [])]
        else:
            pairs = zip(names, addresses, strict=True)
            yield [Place(address, ["ip", "netns", "exec", name]) for name, address in pairs]
    finally:
        for name in names:
            if Path(f"/run/netns/{name}").exists():
                run("ip", "netns", "delete", name)


@contextlib.contextmanager
def raylet(place: Place, environment: dict[str, str], *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node of a cluster, with one processor; it and all its processes are gone afterwards."""
    command = [
        *place.before, str(Path(sys.executable).parent / "ray"), "start", "--block", "--num-cpus", "1",
        "--node-ip-address", place.address, *flags,
    ]  # fmt: skip
    started = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield started
    finally:
        below = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
        started.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(below, timeout=30)
        for each in alive:
            each.kill()
        started.wait(30)


def wait_until_it_listens(place: Place, port: int, started: subprocess.Popen[bytes]) -> None:
    code = f"import socket; socket.create_connection(({place.address!r}, {port}), 1)"
    command = [*place.before, sys.executable, "-c", code]
    while subprocess.run(command, check=False, capture_output=True).returncode:
        assert started.poll() is None, f"ray start ended with {started.returncode}"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stage_at_each_address_gives_the_bits_of_local() -> None:
    """A stage, and some tiles of a model without a chip, on each node; values go over TCP with keys."""
    with places() as (first, second), tempfile.TemporaryDirectory(prefix="cg-", dir="/tmp") as folder:
        port = PORT
        if not first.before:
            with socket.socket() as free:
                free.bind((first.address, 0))
                port = free.getsockname()[1]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        environment |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        head = ["--head", "--port", str(port), "--include-dashboard", "false", "--temp-dir", folder]
        cluster = f"{first.address}:{port}"
        with raylet(first, environment, *head) as started:
            wait_until_it_listens(first, port, started)
            with raylet(second, environment, "--address", cluster):
                command = [*first.before, sys.executable, str(PROGRAM), cluster]
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, timeout=600, check=False
                )
    assert done.returncode == 0, done.stderr[-3000:]
    here, *there = json.loads(done.stdout.splitlines()[-1])
    for each in there:
        assert each["outputs"] == here["outputs"]
        assert each["weights"] == here["weights"]
        assert len({node for node, _ in each["at"]}) == 2
    stages, _ = there
    assert [at.removeprefix("tcp://").split(":")[0] for _, at in stages["at"]] == [
        first.address, second.address,
    ]  # fmt: skip
