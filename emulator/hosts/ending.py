"""Daemon threads that compute while the process ends.

Before Python 3.14 such a thread is ended where it next takes the interpreter's lock, by unwinding its stack
(https://docs.python.org/3.13/c-api/init.html, "Cautions regarding runtime finalization"). In the middle of
torch's C++ that is std::terminate: the process prints a stack of C++ and aborts. So a daemon that comes to a
layer while the process ends waits there, in Python, and the process waits for it to come.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref

#: seconds that a process, when it ends, waits for a daemon since that last came to a layer
PATIENCE_S = 3.0

_MAIN = threading.main_thread().ident  # a daemon has another while this one lives
_ENDING = threading.Event()
_CAME: weakref.WeakKeyDictionary[threading.Thread, float] = weakref.WeakKeyDictionary()  # when
_WAITING: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def stay_if_ending() -> None:
    """A layer begins here: a daemon thread goes no further once the process ends."""
    if threading.get_ident() == _MAIN:
        return  # at once: every layer asks
    thread = threading.current_thread()
    if not thread.daemon:
        return
    if not _CAME:
        atexit.register(_end)
    _CAME[thread] = time.monotonic()
    if _ENDING.is_set():
        _WAITING.add(thread)
        threading.Event().wait()


def _end() -> None:
    _ENDING.set()
    while any(
        thread.is_alive() and thread not in _WAITING and time.monotonic() < came + PATIENCE_S
        for thread, came in [*_CAME.items()]
    ):
        time.sleep(0.002)
