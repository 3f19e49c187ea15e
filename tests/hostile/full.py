"""Every writer on a disk that is full, or with a limit on the size of files: one line, nothing lost, nothing left over."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from hostile.commands import Commands
from hostile.kills import differing, hidden
from hostile.outcomes import Kind, Verdict
from hostile.writers import Writer

DISK = 64 << 20
PAGE = 4096


@contextmanager
def small_disk(place: Path) -> Iterator[bool]:
    """A file system of 64 MB in memory at a folder; False where that is not permitted."""
    place.mkdir(parents=True, exist_ok=True)
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", place], capture_output=True).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", place], check=True)


class Full:
    """One writer, again and again.

    Args (constructor):
        writer: the command.
        commands: what runs it.
        work: a folder to work in, on the small disk where there is one.
        mounted: whether that is so.
    """

    def __init__(self, writer: Writer, commands: Commands, work: Path, *, mounted: bool) -> None:
        self.writer, self.commands, self.work, self.place, self.mounted = writer, commands, work, work / "case", mounted
        self._fresh()
        self.before = writer.signature(self.place / writer.target)
        first = _bytes_of(self.place)
        ended = commands.run(writer.argv, self.place, limit_s=600)
        if ended.code != 0:
            raise RuntimeError(f"{writer.name} does not work where there is room: {ended.err}")
        self.whole = writer.signature(self.place / writer.target)
        self.most = max((path.stat().st_size for path in self.place.rglob("*") if path.is_file()), default=0)
        self.need = max(PAGE, _bytes_of(self.place) - first + self.most)

    def run(self, rng: Random) -> Verdict:
        """Once, with some room by chance."""
        self._fresh()
        job, what = {}, ""
        if self.mounted and rng.random() < 0.7:
            room = rng.choice((0, PAGE, rng.randrange(self.need)))
            what = f"{room} bytes of room; {self.need} are needed"
            self._fill(room)
        else:
            room = rng.choice((1, 100, rng.randrange(max(2, self.most))))
            what = f"no file over {room} bytes; the largest has {self.most}"
            job["fsize"] = room
        ended = self.commands.run(self.writer.argv, self.place, **job)
        verdict = ended.fault((0, 1)) or self._judged(ended.code)
        return Verdict(verdict.kind, verdict.detail or ended.err.strip()[-160:], what)

    def _judged(self, code: int) -> Verdict:
        signature = self.writer.signature(self.place / self.writer.target)
        if self.writer.present and signature not in (self.before, self.whole):
            return Verdict(Kind.LOST, f"{self.writer.target} is neither the old nor the new one: {str(signature)[:120]}")
        if left := hidden(self.place):
            return Verdict(Kind.LEFTOVER, ", ".join(left))
        with suppress(FileNotFoundError):
            (self.work / "filler").unlink()
        again = self.commands.run(self.writer.again(self.place) if self.writer.again else self.writer.argv, self.place)
        if fault := again.fault((0, 1) if signature == self.whole else (0,)):
            return Verdict(fault.kind, f"the second run: {fault.detail}")
        signature = self.writer.signature(self.place / self.writer.target)
        if signature != self.whole:
            return Verdict(Kind.WRONG, f"after a second run the result differs: {differing(signature, self.whole)}")
        return Verdict(Kind.OK if code == 0 else Kind.REFUSED)

    def _fill(self, room: int) -> None:
        """Leave so many bytes."""
        with (self.work / "filler").open("wb") as file:
            space = os.statvfs(self.work)
            os.posix_fallocate(file.fileno(), 0, max(PAGE, space.f_bavail * space.f_frsize - room // PAGE * PAGE))

    def _fresh(self) -> None:
        with suppress(FileNotFoundError):
            (self.work / "filler").unlink()
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        self.writer.lay(self.place)


def _bytes_of(folder: Path) -> int:
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*"))
