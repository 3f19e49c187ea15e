"""A few threads that do what must not hold up the page: decoding, encoding. What waits for them is bounded in number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, TypeVar

from wsra.runtime.errors import ServerError

Result = TypeVar("Result")


class Workers:
    """Threads that begin when there is work, do one task each, and never keep the process from ending.

    Args (constructor):
        name: of what they do, in messages and as the name of the threads.
        at_once: how many tasks are done at the same time.
        most_waiting: how many may wait; more are refused.
    """

    def __init__(self, name: str, *, at_once: int, most_waiting: int) -> None:
        self._name, self._at_once, self._most_waiting = name, at_once, most_waiting
        self._changed = Condition()
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = 0
        self._idle = 0
        self.closed = False

    def submit(self, task: Callable[[], Result]) -> Future[Result]:
        """Have a task done; its result or its error is that of the future.

        Raises:
            ServerError: too many wait, or this is closed.
        """
        future: Future[Result] = Future()
        with self._changed:
            self.refuse_if_closed()
            if len(self._waiting) >= self._most_waiting:
                raise ServerError(f"{self._name}: {self._most_waiting} wait already; ask again in a moment")
            self._waiting.append((future, task))
            if self._idle < len(self._waiting) and self._threads < self._at_once:
                self._threads += 1
                Thread(target=self._run, name=f"wsra-{self._name}", daemon=True).start()
            self._changed.notify()
        return future

    def refuse_if_closed(self) -> None:
        """Stop before work that nobody would do.

        Raises:
            ServerError: this is closed.
        """
        if self.closed:
            raise ServerError(f"{self._name}: the page is closing; open it again")

    def close(self) -> None:
        """Refuse what waits and what comes; tasks in hand see `closed`, and are not waited for."""
        with self._changed:
            self.closed = True
            left, self._waiting = self._waiting, deque()
            self._changed.notify_all()
        for future, _ in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(ServerError(f"{self._name}: the page is closing; open it again"))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._waiting or self.closed)
                self._idle -= 1
                if not self._waiting:
                    self._threads -= 1
                    return
                future, task = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = task()
            except BaseException as err:
                future.set_exception(err)
            else:
                future.set_result(result)
            del future, task
