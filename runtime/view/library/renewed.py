"""A value that a thread makes anew from time to time, so that whoever needs it gets the newest at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Condition, Thread
from types import TracebackType
from typing import Generic, TypeVar

from wsra.runtime.errors import ServerError

logger = logging.getLogger(__name__)

AGAIN_S = 30.0  # from one value to the next
_PATIENCE_S = 2.0
_SHARE = 10  # a value that takes long is made more rarely, so that it takes at most a tenth of the time
Value = TypeVar("Value")


class Renewed(Generic[Value]):
    """The newest value. A context manager: within its block the thread runs.

    Args (constructor):
        make: makes the value; called by the thread.
        name: of the thread, and of the value in messages.
    """

    def __init__(self, make: Callable[[], Value], name: str) -> None:
        self._make, self._name = make, name
        self._changed = Condition()
        self._value: Value | None = None
        self._wanted, self._open = True, False
        self._thread = Thread(target=self._run, name=f"wsra-{name}", daemon=True)

    def __enter__(self) -> Renewed[Value]:
        self._open = True
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the thread; a value that takes long is not waited for."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        self._thread.join(_PATIENCE_S)

    def newest(self) -> Value:
        """The newest value, at once; only the first is waited for.

        Raises:
            ServerError: this was closed before there was one.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._value is not None or not self._open)
            if self._value is None:
                raise ServerError("the page closes; start wsra view again")
            return self._value

    def soon(self) -> None:
        """Make it anew soon."""
        with self._changed:
            self._wanted = True
            self._changed.notify_all()

    def _run(self) -> None:
        wait_s = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or not self._open, wait_s)
                if not self._open:
                    return
                self._wanted = False
            begun = time.monotonic()
            try:
                value = self._make()
            except Exception as err:  # of whatever kind: the old value stays
                logger.warning(f"{self._name}: cannot be made anew ({type(err).__name__}: {err})")
            else:
                with self._changed:
                    self._value = value
                    self._changed.notify_all()
            wait_s = max(AGAIN_S, _SHARE * (time.monotonic() - begun))
