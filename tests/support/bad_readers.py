"""Readers of the harness that fail in every way it must notice: what a case does follows from its number."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

from hostile.cases import Damage, Reader
from wsra.runtime.errors import DataError

DEEDS = ("answer", "refuse", "raise", "crash", "hang", "fill", "leave", "escape", "differ", "accept", "ramble", "exit")


class BadReader(Reader):
    """One deed for each number."""

    name = "bad"

    def lay(self, place: Path) -> None:
        (place / "deed").write_text("answer")

    def damage(self, rng: Random, place: Path) -> Damage:
        deed = os.environ["BAD_DEED"] if "BAD_DEED" in os.environ else rng.choice(DEEDS)
        (place / "deed").write_text(deed)
        return Damage(deed, {"differ": "same", "accept": "refused"}.get(deed, "any"))  # type: ignore[arg-type]

    def read(self, place: Path) -> Any:
        deed = (place / "deed").read_text()
        if deed == "refuse":
            raise DataError("refused; do something else")
        if deed == "ramble":
            raise RamblingError("a " * 5000)
        if deed == "raise":
            return {}["raise"]
        if deed == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if deed == "exit":
            os._exit(3)
        if deed == "hang":
            time.sleep(600)
        if deed == "fill":
            return len(bytearray(b"x") * (2_300 << 20))
        if deed == "leave":
            (place / ".x.part").touch()
        if deed == "escape":
            (place.parent / "x").touch()
        return deed == "differ"


class RamblingError(DataError):
    """An error whose message is not cut."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)


READERS = {BadReader.name: BadReader}
