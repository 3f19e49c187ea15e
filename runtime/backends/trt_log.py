"""The one logger of TensorRT: it gives the reason of a failed build or load nowhere else."""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import Any

_NOISE = (
    "cudaError 35",  # this and the next three: on every machine without a GPU, where TensorRT-RTX builds all the same
    "CUDA initialization failure",
    "Unable to determine GPU",
    "CUDA driver version is insufficient",
    "--- Begin node",  # this and the next two: around a node that the parser's errors name already
    "--- End node",
    "While parsing node number",
)
_LONGEST = 400  # characters of a reason


class ErrorLog:
    """The logger, and the errors that it was told since the last `clear`.

    Attributes:
        logger: for Builder, OnnxParser and Runtime.
    """

    def __init__(self, logger: Any, messages: deque[str]) -> None:
        self.logger = logger
        self._messages = messages

    def clear(self) -> None:
        """Forget what was told."""
        self._messages.clear()

    def reason(self) -> str:
        """What was told, in one line."""
        return cleaned("\n".join(dict.fromkeys(self._messages))) or "no reason given"


def cleaned(text: str) -> str:
    """Messages of TensorRT as one line, without what every machine without a GPU says."""
    lines = (line for line in text.splitlines() if not any(noise in line for noise in _NOISE))
    return "; ".join(" ".join(line.split()) for line in lines if line.strip())[:_LONGEST]


@cache
def error_log(trt: Any) -> ErrorLog:
    """The log of a library; one in a process, since TensorRT keeps the first logger that it is given for part of its messages.

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
