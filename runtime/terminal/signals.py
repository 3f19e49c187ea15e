"""SIGINT and SIGTERM end a command cleanly: unfinished files are removed, nothing is printed, and the exit code is 130 or 143.

A signal can arrive between any two instructions of Python: in an import, where it makes PyTorch abort; in a destructor, whose errors
Python only prints; or in a library that turns it into another error. Therefore a signal waits for the end of an import, is raised again if
it was lost, and sets the exit code here.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN_S = 1.0  # a second signal after this time ends the process at once; `timeout` sends two together, an impatient user another one
_LATER_S = 0.02
_stopped: tuple[int, float] | None = None  # the signal, and when it arrived
_postponed = 0  # number of open blocks that no signal may interrupt


def heed_signals() -> None:
    """Make SIGINT and SIGTERM raise `KeyboardInterrupt` and `SystemExit` in the main thread; a signal that is ignored stays ignored.

    From then on SIGALRM and the timer ITIMER_REAL belong to this module. A thread will not do: it might hold a lock of the main thread.
    """
    if sys.unraisablehook is _lost:
        return
    sys.unraisablehook = _lost
    atexit.register(_ignore)  # registered first, it runs last, just before the interpreter shuts down
    signal.signal(signal.SIGALRM, _raise)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def exit_code() -> int | None:
    """The exit code for the signal that arrived, or None."""
    return None if _stopped is None else 128 + _stopped[0]


@contextmanager
def postponed() -> Iterator[None]:
    """Protect a step of the main thread that must not be interrupted; a signal ends the command after it."""
    global _postponed
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _postponed += 1
    try:
        yield
    finally:
        _postponed -= 1


def end_at_once() -> None:
    """From now on a signal ends the process at once, because only Python's own shutdown is left."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is _stop:
            signal.signal(number, _end)


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopped
    if _stopped is None:
        _stopped = number, time.monotonic()
        _raise(number, frame)
    elif time.monotonic() - _stopped[1] > _AGAIN_S:
        os._exit(128 + number)


def _raise(_: int, frame: FrameType | None) -> None:
    """End the command here, or a little later if this is inside an import or a protected step."""
    if _stopped is None:
        return
    if _postponed or _importing(frame):
        signal.setitimer(signal.ITIMER_REAL, _LATER_S)
        return
    if _stopped[0] == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(exit_code())


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _lost(error: sys.UnraisableHookArgs) -> None:
    """Handle an error that Python can only print; a signal that was lost in it is raised again later."""
    if _stopped is None or not isinstance(error.exc_value, KeyboardInterrupt | SystemExit):
        sys.__unraisablehook__(error)
    else:
        signal.setitimer(signal.ITIMER_REAL, _LATER_S)


def _end(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)


def _ignore() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Python sends itself another SIGINT if it saw one in code called from C
