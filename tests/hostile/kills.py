"""Every writer killed at every step: nothing published is damaged, a second run completes it, and nothing is left over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hostile.commands import Commands
from hostile.outcomes import Kind, Verdict
from hostile.writers import Signature, Writer

SIGNALS = {"KILL": -9, "TERM": 143, "INT": 130}
STARTED_S = 0.05  # after which a command is expected to heed signals


@dataclass(frozen=True)
class Whole:
    """A run that nobody disturbed.

    Attributes:
        steps: it made.
        seconds: it took.
        signature: of its result.
        names: of everything that was there in the end.
        before: signature of what stood there before.
    """

    steps: int
    seconds: float
    signature: Signature
    names: frozenset[str]
    before: Signature


class Kills:
    """Kills of one writer.

    Args (constructor):
        writer: the command.
        commands: what runs it.
        work: a folder to work in.
    """

    def __init__(self, writer: Writer, commands: Commands, work: Path) -> None:
        self.writer, self.commands, self.place = writer, commands, work / "case"
        self._fresh()
        before = writer.signature(self.place / writer.target)
        ended = commands.run(writer.argv, self.place, limit_s=600)
        if ended.code != 0:
            raise RuntimeError(f"{writer.name} does not work undisturbed: {ended.err}")
        self._fresh()
        ended = commands.run(writer.argv, self.place, limit_s=600, writes=not writer.slow)  # now with the caches that later runs find
        signature = writer.signature(self.place / writer.target)
        self.whole = Whole(ended.steps, ended.seconds, signature, names(self.place), before)

    def run(self, rng: Random, number: int) -> Verdict:
        """One kill: at step `number`, and beyond the last step at a moment by chance."""
        how = rng.choice(("KILL", "KILL", "TERM", "INT"))
        if number < self.whole.steps:
            job, what = {"at": number, "how": how}, f"SIG{how} at step {number} of {self.whole.steps}"
        else:
            after = STARTED_S + rng.random() * self.whole.seconds
            job, what = {"kill_s": after, "how": how}, f"SIG{how} after {after:.3f} of {self.whole.seconds:.3f} s"
        verdict = self._judged(job, how)
        return Verdict(verdict.kind, verdict.detail, what)

    def _judged(self, job: dict[str, object], how: str) -> Verdict:
        self._fresh()
        ended = self.commands.run(self.writer.argv, self.place, writes=not self.writer.slow and "at" in job, **job)
        early = "kill_s" in job and how != "KILL"  # perhaps before the command heeds signals; a shell shows the same code
        unheeded = (128 - SIGNALS[how],) if early else ()
        fault = ended.fault((0, SIGNALS[how], *unheeded))
        if fault is not None:
            return fault
        if "kill_s" in job and how != "KILL" and (left := hidden(self.place)):
            return Verdict(Kind.LEFTOVER, f"after SIG{how}, which can be caught: {left}")
        for problem in (*self._published(), *self._completed()):
            return problem
        return Verdict(Kind.OK)

    def _published(self) -> Iterator[Verdict]:
        """What is wrong with what stands there after the kill."""
        if not self.writer.present:
            return
        signature = self.writer.signature(self.place / self.writer.target)
        if signature not in (self.whole.before, self.whole.signature):
            yield Verdict(Kind.LOST, f"after the kill {self.writer.target} is neither the old nor the new one: {str(signature)[:120]}")

    def _completed(self) -> Iterator[Verdict]:
        """What is wrong after a second run."""
        whole = self.writer.signature(self.place / self.writer.target) == self.whole.signature
        again = self.commands.run(self.writer.again(self.place) if self.writer.again else self.writer.argv, self.place)
        if fault := again.fault((0, 1) if whole else (0,)):
            yield Verdict(fault.kind, f"the second run: {fault.detail}")
        signature = self.writer.signature(self.place / self.writer.target)
        if signature != self.whole.signature:
            yield Verdict(Kind.WRONG, f"after a second run the result differs: {differing(signature, self.whole.signature)}")
        if more := sorted(names(self.place) - self.whole.names):
            yield Verdict(Kind.LEFTOVER, f"after a second run: {', '.join(more)}")
        if left := sorted(path.name for path in (self.commands.work / "cache").rglob(".*")):
            shutil.rmtree(self.commands.work / "cache")
            yield Verdict(Kind.LEFTOVER, f"in the cache: {', '.join(left)}")

    def _fresh(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        self.writer.lay(self.place)


def names(folder: Path) -> frozenset[str]:
    """Everything under a folder."""
    return frozenset(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def differing(one: Signature, other: Signature) -> str:
    """Where two signatures differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        return ", ".join(sorted(name for name in {**one, **other} if one.get(name) != other.get(name)))
    return f"{str(one)[:80]} instead of {str(other)[:80]}"


def hidden(folder: Path) -> list[str]:
    """Hidden names under a folder."""
    return sorted(name for name in names(folder) if name.rpartition("/")[2].startswith("."))
