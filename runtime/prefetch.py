"""Items made in a thread of their own, a bounded number of them ahead of who uses them."""

from __future__ import annotations

from collections.abc import Generator
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Generator[Item, None, None], depth: int) -> Generator[Item, None, None]:
    """Run a generator in a thread, at most `depth` items ahead and one in hand.

    Close what this returns (`contextlib.closing`) to end the thread early; it has ended when `close` returns.

    Args:
        items: is advanced and closed in the thread only.
        depth: items that may wait.

    Yields:
        The items in their order.

    Raises:
        BaseException: whatever `items` raises, after the items before it.
    """
    free = Semaphore(depth)
    made: SimpleQueue[tuple[Item] | BaseException | None] = SimpleQueue()  # an item, an error or the end
    stopped = False

    def make() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                free.acquire()
                if stopped:
                    break
                made.put((item,))
            items.close()
        except BaseException as err:
            end = err
        made.put(end)

    thread = Thread(target=make, name="wsra-ahead", daemon=True)
    thread.start()
    try:
        while (got := made.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            free.release()
            yield got[0]
    finally:
        stopped = True
        free.release()
        thread.join()
