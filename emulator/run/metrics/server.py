"""The port that a run's metrics are served on."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server

from crossgrid.kernels.errors import ConfigError

from ...errors import PortError
from .collector import RunCollector

#: where a run's metrics are served if the port is free; deploy/prometheus.yml scrapes these
USUAL_PORTS = range(9464, 9474)


@dataclass(slots=True)
class MetricsServer:
    """Serves a run's metrics on localhost until closed."""

    port: int
    _server: Any = field(repr=False)
    _thread: threading.Thread = field(repr=False)

    @classmethod
    def start(cls, collector: RunCollector, port: int | None) -> MetricsServer:
        """Serve on ``port``, or on a free one.

        Raises:
            PortError: ``port`` was asked for and is taken.
        """
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        if port is not None:
            return cls._on(check_port(port), registry)
        for usual in filter(_is_free, USUAL_PORTS):
            with contextlib.suppress(PortError):  # another run took it in between
                return cls._on(usual, registry)
        return cls._on(0, registry)

    @classmethod
    def _on(cls, port: int, registry: CollectorRegistry) -> MetricsServer:
        """Serve on ``port``; 0: on one that the system chooses."""
        try:
            server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
        except OSError as error:
            raise PortError(
                f"metrics_port {port} cannot be taken ({error.strerror}); "
                "give another one, or None to take a free one"
            ) from error
        return cls(server.server_port, server, thread)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/metrics"

    def close(self) -> None:
        """Stop serving and free the port.

        The server looks twice a second whether it shall stop, or as soon as somebody calls: so call it.
        """
        stopping = threading.Thread(target=self._server.shutdown)
        stopping.start()
        while stopping.is_alive():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            stopping.join(0.01)
        self._server.server_close()
        self._thread.join(timeout=5)


def check_port(port: Any) -> int:
    """``port`` as a port number that is free now."""
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise ConfigError(f"metrics_port = {port!r} must be a port number from 1 to 65535, or None")
    if not _is_free(port):
        raise PortError(f"metrics_port {port} is taken; give another one, or None to take a free one")
    return port


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
