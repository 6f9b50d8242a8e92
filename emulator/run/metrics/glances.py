"""A look at what may not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable

#: seconds that a scrape waits for tiles: far less than Prometheus waits for it (10), and more than any takes
#: that is not in the middle of something
GLANCE_SECONDS = 1.0


class Glances:
    """Looks at what may not answer, in a thread of its own: who asks for it waits a moment and no longer."""

    def __init__(self, look: Callable[[], None]) -> None:
        """``look`` remembers what it sees, and raises nothing."""
        self._look, self._lock = look, threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def take(self) -> None:
        """Look, or wait with the others for who is looking already; at most ``GLANCE_SECONDS``."""
        with self._lock:
            if self._closed:
                return
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, name="crossgrid-scrape", daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(GLANCE_SECONDS)

    def close(self) -> None:
        """Look no more; whoever is at it is told that there is nothing more to see."""
        with self._lock:
            self._closed = True
        if self._thread is not None:
            self._thread.join()
