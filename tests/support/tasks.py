"""Tasks of other processes, which must be able to import them."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("wsra.tests")


@dataclass(frozen=True)
class Square:
    """The square of a number; 13 kills whoever computes it."""

    def __call__(self, item: int, /) -> int:
        if item == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        if item == 7:
            print("on stdout")
            logger.info("seven")
            warnings.warn("a library warns", stacklevel=1)
        return item * item

    def reads(self, item: int, /) -> Sequence[Path]:
        return (Path(str(item)),)

    def lost(self, item: int, why: str, /) -> int:
        return -item
