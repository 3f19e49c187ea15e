"""Workers that are watched: one that hangs, dies or takes too much memory is replaced, and the case it was at has failed."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from hostile.outcomes import Kind, Verdict
from hostile.worker import LIMIT_BYTES, LIMIT_S

_LOOK_S = 0.05
_START_S = 120  # to import wsra and read the seeds


class Worker:
    """One child process.

    Args (constructor):
        materials: folder of the materials.
        work: a folder of its own.
        readers: the module that knows them.
        limit_s: seconds for a case.
    """

    def __init__(self, materials: Path, work: Path, *, readers: str = "hostile.readers", limit_s: float = LIMIT_S) -> None:
        self._materials, self._work, self._readers, self._limit_s = materials, work, readers, limit_s
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def run(self, reader: str, seed: int, numbers: Sequence[int], *, keep: Path | None = None) -> Iterator[tuple[int, Verdict]]:
        """Run cases of one reader; every number gets a verdict."""
        left = list(numbers)
        while left:
            self._ask({"reader": reader, "seed": seed, "numbers": left, "keep": None if keep is None else str(keep)})
            for number, verdict in self._answers():
                left.remove(number)
                yield number, verdict

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._end(gone=False)

    def _ask(self, asked: dict[str, Any]) -> None:
        if self._process is None:
            self._start()
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()

    def _start(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        for name in ("cache", "tmp"):
            (self._work / name).mkdir(parents=True)
        env = os.environ | {
            "XDG_CACHE_HOME": str(self._work / "cache"),
            "TMPDIR": str(self._work / "tmp"),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        command = [sys.executable, str(Path(__file__).with_name("worker.py")), str(self._materials), str(self._work)]
        command += [self._readers, str(self._limit_s)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=self._work, start_new_session=True
        )
        self._lines = queue.Queue()
        self._pump = threading.Thread(target=_pump, args=(self._process.stdout, self._lines), daemon=True)
        self._pump.start()

    def _answers(self) -> Iterator[tuple[int, Verdict]]:
        """Verdicts until all are in, or the process is no more."""
        assert self._process is not None
        at: int | None = None
        began = time.monotonic()
        while True:
            try:
                line = self._lines.get(timeout=_LOOK_S)
            except queue.Empty:
                line = None
            if line:
                told = json.loads(line)
                if "idle" in told:
                    return
                if "start" in told:
                    at, began = told["start"], time.monotonic()
                else:
                    at, began = None, time.monotonic()
                    verdict = Verdict(Kind(told["kind"]), told["detail"], told["what"])
                    if told["peak"] > LIMIT_BYTES:
                        verdict = Verdict(Kind.MEMORY, f"{told['peak'] >> 20} MB; {verdict.detail}", verdict.what)
                        self.close()
                        yield told["done"], verdict
                        return
                    yield told["done"], verdict
                continue
            gone = line == ""  # the end of what it said; the process itself may be gone before its last line is read
            late = time.monotonic() - began > (self._limit_s if at is not None else _START_S)
            full = _resident_bytes(self._process.pid) > 1.5 * LIMIT_BYTES
            if not (gone or late or full):
                continue
            status = self._end(gone=gone)
            if at is None:
                raise RuntimeError(f"a worker ended between two cases (status {status}): {self._noise()}")
            detail = {True: "no end", False: f"status {status}"}[late and not gone]
            kind = Kind.MEMORY if full else Kind.HANG if late and not gone else Kind.CRASH
            yield at, Verdict(kind, f"{detail}; {self._noise()}", "run it again to see what was done")
            return

    def _end(self, *, gone: bool) -> int:
        assert self._process is not None
        if not gone:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        status = self._process.wait()
        self._pump.join()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what could not be sent any more
                if stream is not None:
                    stream.close()
        self._process = None
        return status

    def _noise(self) -> str:
        """The last that the process said on stderr, where faulthandler tells the place."""
        with suppress(OSError):
            lines = (self._work / "noise.log").read_text(errors="replace").splitlines()
            own = [line.strip() for line in lines[-60:] if line.strip().startswith("File") and "hostile" not in line]
            return own[0] if own else " ".join(lines[-2:])[:200]
        return ""


def _pump(stream: Any, lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def _resident_bytes(pid: int) -> int:
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    return 0


@dataclass
class Pool:
    """Several workers over one list of pieces of work.

    Attributes:
        materials: folder of the materials.
        work: a folder for their folders.
        jobs: how many.
        limit_s: seconds for a case.
    """

    materials: Path
    work: Path
    jobs: int = 1
    limit_s: float = LIMIT_S

    def __enter__(self) -> Pool:
        self._workers = [Worker(self.materials, self.work / f"worker-{number}", limit_s=self.limit_s) for number in range(self.jobs)]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.close()

    def run(
        self,
        pieces: Sequence[tuple[str, int, Sequence[int]]],
        *,
        keep: Path | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[tuple[str, int, Sequence[int]], list[tuple[int, Verdict]]]]:
        """Run pieces (reader, seed, numbers) on all workers.

        Args:
            pieces: of work.
            keep: where damaged files are copied to, or None.
            stop: asked before each piece.

        Yields:
            A piece and its verdicts, as they come.
        """
        waiting: queue.Queue[Any] = queue.Queue()
        for piece in pieces:
            waiting.put(piece)
        done: queue.Queue[Any] = queue.Queue()

        def work(worker: Worker) -> None:
            try:
                while not stop():
                    try:
                        piece = waiting.get_nowait()
                    except queue.Empty:
                        break
                    done.put((piece, list(worker.run(*piece, keep=keep))))
            except BaseException as err:  # raised where it is seen
                done.put(err)
            done.put(None)

        threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in self._workers]
        for thread in threads:
            thread.start()
        running = len(threads)
        while running:
            found = done.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                running -= 1
            else:
                yield found
