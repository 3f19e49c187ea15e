"""The logger of TensorRT, which is the only source of the reason when a build or load fails."""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import Any

_NOISE = (
    "cudaError 35",  # this and the next three appear on every machine without a GPU, where TensorRT-RTX can still build
    "CUDA initialization failure",
    "Unable to determine GPU",
    "CUDA driver version is insufficient",
    "--- Begin node",  # this and the next two repeat a node that the parser's errors already name
    "--- End node",
    "While parsing node number",
)
_LONGEST = 400  # limit of a reason, in characters


class ErrorLog:
    """A logger for TensorRT, and the errors that it received since the last `clear`.

    Attributes:
        logger: to be passed to Builder, OnnxParser and Runtime.
    """

    def __init__(self, logger: Any, messages: deque[str]) -> None:
        self.logger = logger
        self._messages = messages

    def clear(self) -> None:
        """Discard the errors received so far."""
        self._messages.clear()

    def reason(self) -> str:
        """The errors in one line."""
        return cleaned("\n".join(dict.fromkeys(self._messages))) or "no reason given"


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
    messages = deque[str](maxlen=20)

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                messages.append(message)

    return ErrorLog(Logger(), messages)
