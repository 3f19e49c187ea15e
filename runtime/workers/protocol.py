"""What a task is, and what runs tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar

Place = Literal["process", "machine", "cluster"]
Item = TypeVar("Item")
Result = TypeVar("Result")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Work(Protocol[Item_contra, Result_co]):
    """What is done with every item, wherever that is: a frozen dataclass that can be pickled; what it opens it opens once in a process.

    What is wrong with one item belongs into its result. A `WsraError` that is raised stops all.
    """

    def __call__(self, item: Item_contra, /) -> Result_co:
        """The result of one item; doing it twice is doing it once."""

    def reads(self, item: Item_contra, /) -> Sequence[Path]:
        """Files and folders that tell whether what is needed is seen where it is done; that which names the item first."""

    def lost(self, item: Item_contra, why: str, /) -> Result_co:
        """The result of an item over which worker after worker was lost."""


class Pool(Protocol):
    """What runs tasks."""

    @property
    def place(self) -> Place:
        """Where tasks run; in this process they do so one after the other, so that they may show their own progress."""

    @property
    def threads(self) -> int:
        """Processors that a task may take; 0 leaves all to it."""

    def map(self, work: Work[Item, Result], items: Sequence[Item], *, chunksize: int = 1) -> Iterator[Result]:
        """Do all items.

        Args:
            work: what is done.
            items: with what.
            chunksize: how many are sent together; more where one takes less than a few milliseconds.

        Yields:
            One result per item, in their order.

        Raises:
            WsraError: the work cannot go on.
        """
