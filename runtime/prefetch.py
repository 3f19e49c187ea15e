"""Items made in a thread of their own, a bounded number of them ahead of who uses them, and how long who uses them waits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Semaphore, Thread
from time import perf_counter
from typing import TypeVar

Item = TypeVar("Item")


class _Stopped(BaseException):
    """Ends the thread whose items nobody takes any more; it passes every `except Exception`."""


def ahead(items: Generator[Item, None, None], depth: int) -> Generator[Item, None, None]:
    """Run a generator in a thread, at most `depth` items ahead and one in hand; see `produced`.

    Args:
        items: is advanced and closed in the thread only.
        depth: items that may wait.

    Yields:
        The items in their order.

    Raises:
        BaseException: whatever `items` raises, after the items before it.
    """

    def make(put: Callable[[Item], None]) -> None:
        try:
            for item in items:
                put(item)
        finally:
            items.close()

    return produced(make, depth)


def produced(make: Callable[[Callable[[Item], None]], None], depth: int) -> Generator[Item, None, None]:
    """Run a function in a thread that hands over items, at most `depth` ahead and one in hand.

    Close what this returns (`contextlib.closing`) to end the thread early; it has ended when `close` returns.

    Args:
        make: is called in the thread with the function that hands over an item.
        depth: items that may wait; with 0 the thread works only while who uses the items waits for the next one.

    Yields:
        The items in their order.

    Raises:
        BaseException: whatever `make` raises, after the items before it.
    """
    free = Semaphore(depth)
    made: SimpleQueue[tuple[Item] | BaseException | None] = SimpleQueue()  # an item, an error or the end
    stopped = False

    def wait() -> None:
        free.acquire()
        if stopped:
            raise _Stopped

    def put(item: Item) -> None:
        if depth:
            wait()
        made.put((item,))
        if not depth:
            wait()

    def run() -> None:
        end: BaseException | None = None
        try:
            make(put)
        except _Stopped:
            pass
        except BaseException as err:
            end = err
        made.put(end)

    thread = Thread(target=run, name="wsra-ahead", daemon=True)
    thread.start()
    try:
        while (got := made.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            if depth:
                free.release()
            yield got[0]
            if not depth:
                free.release()
    finally:
        stopped = True
        free.release()
        thread.join()


@dataclass
class Waiting:
    """How long a thread has waited, in seconds: for items, or for something else."""

    seconds: float = 0.0

    @contextmanager
    def added(self) -> Iterator[None]:
        """Add the time that a block takes."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds += perf_counter() - start

    def over(self, items: Iterable[Item]) -> Generator[Item, None, None]:
        """The same items; the time that each takes to come is added."""
        iterator = iter(items)
        while True:
            try:
                with self.added():
                    item = next(iterator)
            except StopIteration:
                return
            yield item
