"""Commands run by `forks.py`, seen from the harness."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from hostile.forks import NOT_PERMITTED
from hostile.outcomes import Kind, Verdict
from hostile.worker import LIMIT_BYTES

LIMIT_S = 60.0  # for a command of which nothing else is said


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code, or minus the signal.
        steps: how many it made.
        hung: whether it was killed at its limit of time.
        peak: bytes of memory at most.
        seconds: it took.
        out: its stdout.
        err: its stderr.
    """

    code: int
    steps: int
    hung: bool
    peak: int
    seconds: float
    out: str
    err: str

    @property
    def permitted(self) -> bool:
        """False where a namespace of its own is not to be had."""
        return self.code != NOT_PERMITTED

    def fault(self, codes: Sequence[int] = (0, 1, 2)) -> Verdict | None:
        """What is wrong with it whatever it did; None where nothing is.

        Args:
            codes: that are right; 1 and 2 need a message.
        """
        last = self.err.strip().splitlines()[-1:] or [""]
        if "Traceback (most recent call last)" in self.err:
            own = [line.strip() for line in self.err.splitlines() if line.strip().startswith("File") and "hostile" not in line]
            return Verdict(Kind.TRACEBACK, f"{own[-1] if own else ''}: {last[0][:160]}")
        if self.hung:
            return Verdict(Kind.HANG, last[0][:160])
        if self.peak > LIMIT_BYTES:
            return Verdict(Kind.MEMORY, f"{self.peak >> 20} MB")
        if self.code not in codes:
            return Verdict(Kind.CRASH if self.code < 0 else Kind.WRONG, f"exit code {self.code}: {last[0][:160]}")
        if self.code in (1, 2) and not last[0] and not self.out.strip():
            return Verdict(Kind.MESSAGE, f"exit code {self.code} without a message")
        return None


class Commands:
    """A process that runs commands, one at a time.

    Args (constructor):
        work: a folder of its own, for caches and streams.
        graphs: a folder for converted graphs, which several may share.
    """

    def __init__(self, work: Path, graphs: Path | None = None) -> None:
        self.work = work
        for name in ("cache", "tmp", "home", "graphs"):
            (work / name).mkdir(parents=True, exist_ok=True)
        env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
        env |= {
            "HOSTILE_GRAPHS": str(graphs or work / "graphs"),
            "XDG_CACHE_HOME": str(work / "cache"),
            "TMPDIR": str(work / "tmp"),
            "HOME": str(work / "home"),
        }
        env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).resolve().parent.parent), *env.get("PYTHONPATH", "").split(os.pathsep)])
        self._log = (work / "server.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forks.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=env,
            bufsize=0,
            start_new_session=True,
        )
        self._read()

    def __enter__(self) -> Commands:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                stream.close()

    def run(self, argv: Sequence[str | Path], cwd: Path, **job: Any) -> Ended:
        """Run a command to its end; see `forks.py` for what a job may say."""
        self.start(argv, cwd, **job)
        return self.end()

    def start(self, argv: Sequence[str | Path], cwd: Path, **job: Any) -> None:
        """Start a command."""
        self._streams = {name: job.pop(name, str(self.work / name)) for name in ("stdout", "stderr")}
        self._write(json.dumps({"argv": [str(word) for word in argv], "cwd": str(cwd), "limit_s": LIMIT_S, **self._streams, **job}) + "\n")

    def held(self) -> Ended | None:
        """Wait until a command that is to be held is; how it ended where it came to its end before."""
        told = self._read()
        return None if "held" in told else self._ended(told)

    def go_on(self) -> None:
        """Let a held command go on."""
        self._write("g\n")

    def ends_within(self, seconds: float) -> bool:
        """Whether it comes to its end in so many seconds."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout.fileno()], [], [], seconds)[0])

    def end(self) -> Ended:
        """Wait for its end."""
        told = self._read()
        return self._ended(told if "code" in told else self._read())

    def _ended(self, told: dict[str, Any]) -> Ended:
        out, err = (self._text(name) for name in ("stdout", "stderr"))
        return Ended(told["code"], told["steps"], told["hung"], told["peak"], told["seconds"], out, err)

    def _text(self, name: str) -> str:
        path = Path(self._streams[name])
        return path.read_text(errors="replace") if path.is_file() else ""

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server of commands ended: {(self.work / 'server.log').read_text()[-2000:]}")
        told: dict[str, Any] = json.loads(line)
        return told
