"""SIGINT and SIGTERM end a command in order: what it began to write is removed, nothing is printed, and the exit code is 130 or 143.

They arrive between any two instructions of Python, also in imports, in destructors, whose errors Python only prints, and in libraries that
make another error of them. So the code is kept here, and what is lost is sent again.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from types import FrameType

_AGAIN_S = 1.0  # one that comes later does not wait for order: `timeout` sends two at once, an impatient person another one
_RESEND_S = 0.01
_stopped: tuple[int, float] | None = None  # which signal, and when


def heed_signals() -> None:
    """From now on they raise `KeyboardInterrupt` and `SystemExit` in the main thread; one that is ignored from outside stays ignored."""
    if sys.unraisablehook is _lost:
        return
    sys.unraisablehook = _lost
    atexit.register(_ignore)  # the first that is registered comes last, before the interpreter is taken down and its handlers with it
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def exit_code() -> int | None:
    """The exit code that a signal asked for; None where none came."""
    return None if _stopped is None else 128 + _stopped[0]


def end_at_once() -> None:
    """From now on a signal ends the process without more ado: all is done but what Python does at its end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is _stop:
            signal.signal(number, _end)


def _stop(number: int, _: FrameType | None) -> None:
    global _stopped
    now = time.monotonic()
    if _stopped is not None:
        if now - _stopped[1] > _AGAIN_S:
            os._exit(128 + number)
        return
    _stopped = number, now
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _end(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)


def _ignore() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Python sends itself another one if it once saw it in code run from C


def _lost(error: sys.UnraisableHookArgs) -> None:
    """An error that Python can only print. Where a signal was lost in it, it is sent again, to arrive somewhere else."""
    global _stopped
    if _stopped is None or not isinstance(error.exc_value, KeyboardInterrupt | SystemExit):
        sys.__unraisablehook__(error)
        return
    number, _stopped = _stopped[0], None
    threading.Timer(_RESEND_S, os.kill, (os.getpid(), number)).start()
