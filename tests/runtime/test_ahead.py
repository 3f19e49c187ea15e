from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from wsra.runtime.prefetch import ahead, produced

pytestmark = pytest.mark.device


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert not set(threading.enumerate()) - before  # of other tests some may end meanwhile


def counted(made: list[int], stop: int = 1000) -> Iterator[int]:
    try:
        for number in range(stop):
            made.append(number)
            yield number
    finally:
        made.append(-1)


def settled(made: list[int], expected: int) -> int:
    """How many were made once those that are expected are there and nothing more happens."""
    end = time.monotonic() + 60
    while len(made) < expected and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    return len(made)


def test_items_come_in_order_from_another_thread() -> None:
    assert list(ahead(iter_of(50), 4)) == list(range(50))
    (thread,) = set(ahead((threading.current_thread().name for _ in range(3)), 1))
    assert thread != threading.current_thread().name


def iter_of(stop: int) -> Iterator[int]:
    yield from range(stop)


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_are_made_than_fit(depth: int) -> None:
    made: list[int] = []
    with closing(ahead(counted(made), depth)) as items:
        assert next(items) == 0
        expected = 1 + depth + 1  # taken, waiting, in hand
        assert settled(made, expected) == expected


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third")

    got = []
    with pytest.raises(ValueError, match="the third"):
        for item in ahead(broken(), 8):
            got.append(item)
    assert got == [1, 2]


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_who_stops_early_ends_the_thread_and_closes_the_source(taken: int) -> None:
    made: list[int] = []
    with closing(ahead(counted(made), 2)) as items:
        for _ in range(taken):
            next(items)
    assert (made[-1] == -1 and len(made) <= taken + 4) if taken else not made


def test_an_error_of_the_user_ends_the_thread() -> None:
    made: list[int] = []
    with pytest.raises(RuntimeError), closing(ahead(counted(made), 1)) as items:
        for _ in items:
            raise RuntimeError
    assert made[-1] == -1


def test_without_depth_they_take_turns() -> None:
    """The thread works only while the user waits."""
    working, overlapped = threading.Event(), []

    def make(put: Callable[[int], None]) -> None:
        for number in range(5):
            working.set()
            time.sleep(0.01)
            working.clear()
            put(number)

    got = []
    with closing(produced(make, 0)) as items:
        for item in items:
            time.sleep(0.02)
            overlapped.append(working.is_set())
            got.append(item)
    assert got == [0, 1, 2, 3, 4] and not any(overlapped)
    with closing(produced(make, 0)) as items:
        assert next(items) == 0
