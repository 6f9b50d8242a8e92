"""Whatever a living tile actor is sent, it answers or ignores, lives on, and computes the same bits."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import socket
import struct
from typing import Any

import letters
import psutil
import pytest
import torch
import zmq
from torch import nn

import crossgrid as cg
from crossgrid.emulator.tiles.messages import (
    VERSION,
    Done,
    Forward,
    ReadState,
    ReadWeights,
    Stats,
    Update,
    Usage,
)
from crossgrid.emulator.wire.letters import Letter, encode

pytestmark = pytest.mark.usefixtures("ray_session")

STEPS = 3


def model() -> nn.Module:
    """A layer 6 -> 4 of one tile, number 0, and one of two tiles."""
    torch.manual_seed(3)
    mapping = cg.MappingParameter(max_output_size=4)
    return cg.convert_to_analog(
        nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 8)), cg.SingleRPUConfig(mapping=mapping)
    )


def steps(network: nn.Module, optimizer: cg.AnalogSGD) -> list[torch.Tensor]:
    """Some ordinary work: outputs of training steps."""
    outputs = []
    for k in range(STEPS):
        optimizer.zero_grad()
        y = network(torch.linspace(-1, 1, 30).reshape(5, 6) * (k + 1) / STEPS)
        y.square().sum().backward()
        optimizer.step()
        outputs.append(y.detach())
    return outputs


def undisturbed() -> list[torch.Tensor]:
    """What the steps give, and the weights after them, where nobody is sent anything else."""
    network = model()
    optimizer = cg.AnalogSGD(network.parameters(), lr=0.1)
    outputs = steps(network, optimizer) + steps(network, optimizer)
    return [*outputs, *(network[k].get_weights()[0] for k in (0, 2))]


def send_frames(running: cg.Emulation, frames: list[Any]) -> None:
    """Put raw frames onto the first actor's socket."""
    host = running.executor.hosts[0]
    with host.lock:
        host.socket.send_multipart(frames)


def next_number(running: cg.Emulation) -> int:
    """The number of a message that the driver did not send."""
    host = running.executor.hosts[0]
    host.sent += 1
    return int(host.sent)


def refusal(running: cg.Emulation, number: int) -> str:
    """How the first actor answers to message ``number``."""
    with pytest.raises(cg.ProtocolError) as refused:
        running.executor.wait(0, number, Done, failures=False)
    return str(refused.value)


def same_as_undisturbed(network: nn.Module, outputs: list[torch.Tensor]) -> bool:
    """Whether outputs and weights have the bits that they have where nothing else is sent."""
    seen = [*outputs, *(network[k].get_weights()[0] for k in (0, 2))]
    return all(torch.equal(a, b) for a, b in zip(seen, undisturbed(), strict=True))


def test_malformed_future_and_foreign_messages_change_nothing(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each gets its refusal, of the project's own errors, and the steps after them have the bits they had."""
    network, said = model(), {}
    optimizer = cg.AnalogSGD(network.parameters(), lr=0.1)
    with caplog.at_level(logging.WARNING, "crossgrid"), cg.emulate(network, backend="ray") as running:
        before = running.executor.processes()[0]["pid"]
        outputs = steps(network, optimizer)
        for case in letters.malformed(0):
            number = next_number(running)
            frames, words = letters.malformed(number)[case]
            send_frames(running, frames)
            said[case] = refusal(running, number)
            assert re.search(words, said[case]), said[case]
        for version in (0, VERSION + 1, 999):
            number = next_number(running)
            send_frames(running, letters.of_version(version, number))
            said[f"version {version}"] = refusal(running, number)
            assert f"version {version} cannot be read here" in said[f"version {version}"]
        for frames in letters.foreign():
            send_frames(running, frames)
        assert running.executor.processes()[0]["pid"] == before
        outputs += steps(network, optimizer)
        assert running.executor.settle() is None
        assert same_as_undisturbed(network, outputs)
    strangers = [record.message for record in caplog.records]
    assert len(strangers) == len(letters.foreign())
    assert all("no message of crossgrid" in line for line in strangers)
    with capsys.disabled():
        print("\n", *(f"{case:>28}: {words}" for case, words in said.items()), strangers[1], sep="\n")


def test_a_malformed_message_that_wants_no_reply_is_told_once() -> None:
    """As the failure of an update is: by what is waited for next, and by nothing after that."""
    network = model()
    with cg.emulate(network, backend="ray") as running:
        frames = encode(Letter(Update(0, 0, 0.1, ((77, 78),)), next_number(running), False))
        send_frames(running, frames)
        with pytest.raises(cg.ProtocolError, match="record 77 is not kept here"):
            network[0].get_weights()
        network[0].get_weights()
        assert running.executor.settle() is None


def test_accidents_on_the_way_do_not_end_an_actor() -> None:
    """500 spoiled reads: some are refused, some are answered, and training goes on with the same bits."""
    network, drawn = model(), random.Random(4)
    optimizer = cg.AnalogSGD(network.parameters(), lr=0.1)
    read = Forward(0, 5, None, False, None, None, 1.0, None, [letters.X])
    reads = [read, ReadWeights(0), ReadState(0), Stats(0)]
    with cg.emulate(network, backend="ray") as running:
        before = running.executor.processes()[0]["pid"]
        outputs = steps(network, optimizer)
        for _ in range(500):
            frames = encode(Letter(drawn.choice(reads), next_number(running), True))
            send_frames(running, letters.mutated(frames, drawn))
        running.executor.settle()  # an accident may have made a message one that wants no reply
        assert running.executor.processes()[0]["pid"] == before
        outputs += steps(network, optimizer)
        assert same_as_undisturbed(network, outputs)


def test_strangers_at_an_actors_socket_are_left_standing() -> None:
    """Other protocols, and a peer of ZeroMQ's that announces an exabyte: no memory is taken for it."""
    network = model()
    optimizer = cg.AnalogSGD(network.parameters(), lr=0.1)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
    ready = b"\x04\x19\x05READY\x0bSocket-Type" + struct.pack(">I", 4) + b"PUSH"
    exabyte = b"\x02" + struct.pack(">Q", 1 << 60) + b"x" * 64
    with cg.emulate(network, backend="ray") as running:
        host = running.executor.hosts[0]
        resident = psutil.Process(host.address.pid).memory_info().rss
        outputs = steps(network, optimizer)
        for said in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 9, greeting + ready + exabyte):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(host.address.endpoint.address.removeprefix("ipc://"))
                stranger.sendall(said)
                stranger.settimeout(1.0)
                with contextlib.suppress(OSError):
                    while stranger.recv(4096):
                        pass
        assert psutil.Process(host.address.pid).memory_info().rss < resident + 20e6
        outputs += steps(network, optimizer)
        assert same_as_undisturbed(network, outputs)


def test_a_spoiled_reply_is_an_error_of_the_one_message(caplog: pytest.LogCaptureFixture) -> None:
    """Sent to the driver in an actor's name: refused to whoever waits for it; what has no name is logged."""
    network = model()
    optimizer = cg.AnalogSGD(network.parameters(), lr=0.1)
    with caplog.at_level(logging.WARNING, "crossgrid"), cg.emulate(network, backend="ray") as running:
        outputs = steps(network, optimizer)
        liar: Any = zmq.Context.instance().socket(zmq.PUSH)
        liar.connect(running.executor.mailbox.address.here.address)
        for reply, words in (
            (letters.without_field(encode(Letter(letters.REPLIES[2], 0, True)), "places"), "has fields"),
            ([encode(Letter(letters.REPLIES[2], 0, True))[0][:-4]], "describes"),
            (encode(Letter(Usage(1, 1.0), 0, True)), "replied with Usage where Done was asked for"),
        ):
            number = next_number(running)
            head = bytearray(reply[0])
            struct.pack_into("<Q", head, 12, number)
            liar.send_multipart([bytes(head), *reply[1:]])
            assert re.search(words, refusal(running, number))
        for frames in letters.foreign():
            liar.send_multipart(frames)
        liar.close(linger=1000)
        outputs += steps(network, optimizer)
        assert same_as_undisturbed(network, outputs)
    assert caplog.records
