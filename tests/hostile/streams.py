"""The command line with closed, full and cut streams and odd encodings, each as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hostile.materials import Materials
from hostile.outcomes import Kind, Verdict

WAYS = {
    "stdout closed": (">&-", False),
    "stderr closed": ("2>&-", True),
    "both closed": (">&- 2>&-", False),
    "stdin closed": ("<&-", True),
    "stdout full": (">/dev/full", False),
    "stderr full": ("2>/dev/full", True),
    "both full": (">/dev/full 2>/dev/full", False),
}
ENCODINGS = ("ascii", "latin-1", "utf-16", "cp1252:strict")


def commands(m: Materials, place: Path) -> dict[str, list[str]]:
    """Commands that end quickly; the last one fails."""
    ground = ["ground", str(place / "v.feat"), f"{m.sentence} “é\u202e字”", "-b", str(m.slim), "--kernel", "numpy", "--precision", "fp32"]
    return {
        "info": ["info", str(place / "v.feat")],
        "ground": ground,
        "ground --json": [*ground, "--json"],
        "--help": ["--help"],
        "info of nothing": ["info", str(place / "nothing “é”")],
    }


def cases(m: Materials, place: Path) -> Iterator[tuple[str, list[str], str, dict[str, str], bool]]:
    """What it is, the command, what a shell adds to it, the environment, and whether the exit code must be that of a plain run."""
    for name, argv in commands(m, place).items():
        for way, (shell, same) in WAYS.items():
            yield f"{name}, {way}", argv, shell, {}, same
        yield f"{name}, read by head -c 1", argv, "| head -c 1 >/dev/null", {}, False
        for encoding in ENCODINGS:
            yield f"{name}, PYTHONIOENCODING={encoding}", argv, "", {"PYTHONIOENCODING": encoding}, True


def run(argv: Sequence[str], shell: str, env: dict[str, str], *, same: bool) -> Verdict:
    """Run one case."""
    plain = _run(argv, "", {})
    ended = _run(argv, shell, env)
    err = ended.stderr.decode("utf-8", "replace").replace("\0", "")
    if "Traceback" in err or "Exception ignored" in err:
        return Verdict(Kind.TRACEBACK, err.strip().splitlines()[-1][:200])
    if ended.returncode < 0 or (ended.returncode >= 128 and ended.returncode != 141):
        return Verdict(Kind.CRASH, f"exit code {ended.returncode}")
    if same and ended.returncode != plain.returncode:
        return Verdict(Kind.WRONG, f"exit code {ended.returncode} instead of {plain.returncode}: {err[-160:]}")
    if ">/dev/full" in shell.split() and plain.stdout and ended.returncode == 0:
        return Verdict(Kind.WRONG, "exit code 0 although nothing could be printed")
    return Verdict(Kind.OK)


def _run(argv: Sequence[str], shell: str, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    program = [sys.executable, "-c", "from wsra.runtime.cli import main; main()", *argv]
    line = 'set -o pipefail; "$@" ' + shell
    return subprocess.run(["bash", "-c", line, "bash", *program], capture_output=True, env=os.environ | env, timeout=300)
