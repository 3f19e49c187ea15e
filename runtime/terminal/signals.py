"""SIGINT and SIGTERM end a command in order: what it began to write is removed, nothing is printed, and the exit code is 130 or 143.

They arrive between any two instructions of Python: in imports, where PyTorch aborts over them, in destructors, whose errors Python only
prints, and in libraries that make another error of them. So they wait for the end of an import, what is lost is raised again, and the exit
code is kept here.
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

_AGAIN_S = 1.0  # one that comes later does not wait for order: `timeout` sends two at once, an impatient person another one
_LATER_S = 0.02
_stopped: tuple[int, float] | None = None  # by which signal, and when it came
_postponed = 0  # blocks within which none ends the command


def heed_signals() -> None:
    """From now on they raise `KeyboardInterrupt` and `SystemExit` in the main thread; one that is ignored from outside stays ignored.

    SIGALRM and the timer ITIMER_REAL belong to this module from then on: it can take no thread, for one may hold a lock of this thread.
    """
    if sys.unraisablehook is _lost:
        return
    sys.unraisablehook = _lost
    atexit.register(_ignore)  # the first that is registered comes last, before the interpreter is taken down and its handlers with it
    signal.signal(signal.SIGALRM, _raise)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def exit_code() -> int | None:
    """The exit code that a signal asked for; None where none came."""
    return None if _stopped is None else 128 + _stopped[0]


@contextmanager
def postponed() -> Iterator[None]:
    """A step of the main thread that must not be left half done; a signal ends the command after it."""
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
    """From now on a signal ends the process without more ado: all is done but what Python does at its end."""
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
    """End the command here, or a little later where this is within an import or a step that must not be left."""
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
    """An error that Python can only print; where a signal was lost in it, it is raised again somewhere else."""
    if _stopped is None or not isinstance(error.exc_value, KeyboardInterrupt | SystemExit):
        sys.__unraisablehook__(error)
    else:
        signal.setitimer(signal.ITIMER_REAL, _LATER_S)


def _end(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)


def _ignore() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Python sends itself another one if it once saw it in code run from C
