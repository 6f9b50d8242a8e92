"""An example as a job of a running cluster, by the commands of docs/cluster.md."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray", reason="Ray is an extra: pip install 'crossgrid[ray]'")
pytest.importorskip("aiohttp", reason="jobs need Ray's dashboard: make test-cluster")

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "cluster.md").read_text()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port


def documented(words: str) -> list[str]:
    """The one command of the page that begins with ``words``."""
    joined = PAGE.replace("\\\n", " ")
    (line,) = {line for line in joined.splitlines() if line.startswith(words)}
    return shlex.split(line, comments=True)


def is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/version", timeout=5):
            return True
    except urllib.error.HTTPError:  # it asks for the token
        return True
    except OSError:
        return False


@pytest.fixture
def head() -> Iterator[tuple[str, dict[str, str]]]:
    """The address that jobs go to, and the environment of a shell on that machine; nothing stays behind."""
    folder = tempfile.TemporaryDirectory(prefix="cg-", dir="/tmp")  # sockets' names are short
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    name, _, value = documented("export")[1].partition("=")
    environment |= {
        name: value,
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}", "RAY_USAGE_STATS_ENABLED": "0",
        "HOME": folder.name,  # of the token
    }  # fmt: skip
    subprocess.run(documented("ray get-auth-token"), env=environment, capture_output=True, check=True)
    # ports and folder of its own, and in the foreground: `ray stop` would end every cluster of this machine
    command = [
        *documented("ray start --head"), "--block", "--port", str(free_port()), "--dashboard-port", str(port),
        "--num-cpus", "2", "--temp-dir", folder.name, "--ray-client-server-port", str(free_port()),
    ]  # fmt: skip
    with open(Path(folder.name) / "head.log", "w") as log:
        started = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, cwd=folder.name, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        while not is_up(address):
            assert started.poll() is None, (Path(folder.name) / "head.log").read_text()[-2000:]
            time.sleep(0.2)
        yield address, environment
    finally:
        below = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
        started.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs([psutil.Process(started.pid), *below], timeout=60)
        for each in alive:
            each.kill()
        started.wait()
        folder.cleanup()
    assert not alive


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_example_runs_as_a_job_as_the_page_says(head: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    """Its stages are processes of the cluster; the losses are those of a run in one process."""
    address, environment = head
    submit = documented("ray job submit")
    place = submit.index("--address")
    assert re.fullmatch(r"http://[\w.]+:8265", submit[place + 1])
    submit[place + 1] = address
    flags = ["--epochs", "1"]
    done = subprocess.run(
        [*submit, *flags, "--results", str(tmp_path / "job")], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "succeeded" in done.stdout
    script = ROOT / "examples" / submit[-1]
    command = [sys.executable, str(script), *flags, "--backend", "local", "--results", str(tmp_path / "here")]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300, check=True)
    there, here = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("job", "here"))
    assert {**there, "seconds": 0} == {**here, "seconds": 0}
