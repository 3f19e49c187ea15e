"""The logger of TensorRT, which is the only source of the reason when a build or load fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from wsra.runtime.errors import WsraError

_NOISE = (
    "cudaError 35",  # this and the next three appear on every machine without a GPU, where TensorRT-RTX can still build
    "CUDA initialization failure",
    "Unable to determine GPU",
    "CUDA driver version is insufficient",
    "--- Begin node",  # this and the next two repeat a node that the parser's errors already name
    "--- End node",
    "While parsing node number",
)
_LISTING = ("Layers:", "Engine Layer Information:")  # how TensorRT-RTX and TensorRT begin the list of a plan's layers
_LONGEST = 400  # limit of a reason, in characters


class ErrorLog:
    """A logger for TensorRT, and the errors that it received since the last `clear`.

    Attributes:
        logger: to be passed to Builder, OnnxParser and Runtime.
        warnings: warnings since the last `clear`.
    """

    def __init__(self, logger: Any, messages: deque[str], warnings: deque[str], listings: deque[str]) -> None:
        self.logger = logger
        self._messages, self._listings = messages, listings
        self.warnings = warnings

    @property
    def listing(self) -> str:
        """The compiler's list of layers since the last `clear`; empty unless the build asks for details."""
        return "\n".join(self._listings)

    def clear(self) -> None:
        """Discard what was received so far."""
        for received in (self._messages, self.warnings, self._listings):
            received.clear()

    def reason(self, otherwise: str = "no reason given") -> str:
        """The errors in one line, or the given text if there are none."""
        return cleaned("\n".join(dict.fromkeys(self._messages))) or otherwise


def cleaned(text: str) -> str:
    """Messages of TensorRT as one line, without those that appear on every machine without a GPU."""
    lines = (line for line in text.splitlines() if not any(noise in line for noise in _NOISE))
    return "; ".join(" ".join(line.split()) for line in lines if line.strip())[:_LONGEST]


@cache
def error_log(trt: Any) -> ErrorLog:
    """The log of a library. There is one per process, because TensorRT sends part of its messages to the first logger that it gets.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
    """
    messages, warnings, listings = deque[str](maxlen=20), deque[str](maxlen=200), deque[str](maxlen=10)

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                messages.append(message)
            elif severity == trt.ILogger.Severity.WARNING:
                warnings.append(message)
            elif message.startswith(_LISTING):
                listings.append(message)

    return ErrorLog(Logger(), messages, warnings, listings)


@contextmanager
def library_errors(log: ErrorLog, error: type[WsraError], subject: str, remedy: str) -> Iterator[None]:
    """Within the block, errors that TensorRT raises become one of wsra's, with the reason that was logged.

    The library mostly returns None or False where something fails. But some calls raise RuntimeError (`set_optimization_profile_async`
    since 10.3), constructors whose object cannot be made, such as Runtime and Builder, raise TypeError, and what is asked of the None that
    came instead of an object is an AttributeError. Errors of files that are read within the block become one, too.

    Args:
        log: of the library.
        error: the class to raise.
        subject: beginning of the message: the file, the library and what failed.
        remedy: end of the message.

    Raises:
        WsraError: of the given class, in one line.
    """
    try:
        yield
    except (RuntimeError, TypeError, ValueError, AttributeError, OSError, MemoryError) as err:
        reason = log.reason(otherwise=cleaned(str(err)) or type(err).__name__)
        raise error(f"{subject} ({reason}); {remedy}") from err
