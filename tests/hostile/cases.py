"""What a reader of the harness is: a valid seed, a way to damage it, and what a user does with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal

from hostile.materials import Materials

Expect = Literal["any", "same", "refused"]


@dataclass(frozen=True)
class Damage:
    """What was done to a seed.

    Attributes:
        what: in one line.
        expect: "same" answer as before or a refusal, where bytes were damaged; "refused" where it reaches for another file or runs code;
            "any" where other content may rightly give another answer.
    """

    what: str
    expect: Expect = "any"


class Reader(ABC):
    """A kind of file that wsra reads.

    Args (constructor):
        materials: what was made once for all readers.
    """

    name: ClassVar[str]
    weight: ClassVar[float] = 1.0  # share of the cases that a run gives it; less where a case takes long

    def __init__(self, materials: Materials) -> None:
        self.materials = materials

    @abstractmethod
    def lay(self, place: Path) -> None:
        """Put the undamaged seed into an empty folder."""

    @abstractmethod
    def damage(self, rng: Random, place: Path) -> Damage:
        """Damage the seed that lies in a folder; the same `rng` does the same."""

    @abstractmethod
    def read(self, place: Path) -> Any:
        """Do with it what a user does.

        Returns:
            The answer, to be compared with that of the undamaged seed.

        Raises:
            WsraError: it is refused.
        """

    def made(self, place: Path) -> frozenset[str]:
        """Names in the folder that `read` may leave there."""
        return frozenset()


def rng_of(reader: str, seed: int, number: int) -> Random:
    """The source of chance of one case."""
    return Random(f"{reader}/{seed}/{number}")
