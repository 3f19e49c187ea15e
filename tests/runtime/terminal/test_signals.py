"""SIGINT and SIGTERM at bad moments: 130 or 143, nothing printed, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.device
PATIENCE_S = 120  # of whoever waits; a busy machine may take seconds to start a process
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
MOMENTS = {  # and which files are made after it
    "during_an_import": ["imported"],
    "in_a_destructor": [],
    "where_it_becomes_another_error": [],
    "twice": ["cleaned"],
    "in_a_step_that_must_not_be_left": ["left"],
}
SCRIPT = """
import os, sys, time
from wsra.runtime import cli
from wsra.runtime.terminal import signals
from wsra.runtime.terminal.signals import postponed
signals._AGAIN_S = 60.0  # the second of two signals is late where the machine is busy between them
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})
            time.sleep(0.1)
            open("imported", "w").close()
class Dying:
    def __del__(self):
        os.kill(os.getpid(), {number})
        for _ in range(1000): pass
def during_an_import():
    sys.meta_path.insert(0, Finder())
    import numpy
    time.sleep(600)
def in_a_destructor():
    Dying()
    time.sleep(600)
def where_it_becomes_another_error():
    try:
        os.kill(os.getpid(), {number})
        time.sleep(600)
    except BaseException:
        raise ValueError("of a library")
def twice():
    try:
        os.kill(os.getpid(), {number})
        time.sleep(600)
    finally:
        os.kill(os.getpid(), {number})
        open("cleaned", "w").close()
def in_a_step_that_must_not_be_left():
    with postponed():
        os.kill(os.getpid(), {number})
        time.sleep(0.1)
        open("left", "w").close()
    time.sleep(600)
def that_is_ignored():
    os.kill(os.getpid(), {number})
    return 0
cli._asked = {there}
cli.main()
"""


@BOTH
@pytest.mark.parametrize("there", MOMENTS)
def test_at_a_bad_moment(tmp_path: Path, number: signal.Signals, there: str) -> None:
    """An import goes on to its end: PyTorch aborts over an error in the midst of its own."""
    script = SCRIPT.format(number=int(number), there=there)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE_S, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (128 + number, "", "")
    assert [path.name for path in tmp_path.iterdir()] == MOMENTS[there]


def test_nothing_heavy_is_imported_before_signals_are_heeded() -> None:
    script = "import sys, wsra.runtime.cli; print(*{'numpy', 'typer', 'rich'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert run.stdout.split() == []


@BOTH
def test_one_that_is_ignored_from_outside_stays_ignored(number: signal.Signals) -> None:
    """As of a command that a script starts with `&`, or `nohup`."""
    script = SCRIPT.format(number=int(number), there="that_is_ignored")
    command = ["sh", "-c", f"trap '' {int(number)}; exec \"$@\"", "sh", sys.executable, "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (run.returncode, run.stderr) == (0, "")


WRITERS = """
import os, sys, time
from dataclasses import dataclass
from pathlib import Path
from wsra.runtime import cli
from wsra.runtime.files.writing import replacing
from wsra.runtime.terminal import signals
from wsra.runtime.workers import processes
from wsra.runtime.workers.processes import Processes

signals._AGAIN_S = processes._CLEAN_S = 60.0  # a busy machine takes its time between two signals, and to clean up; children read this, too

@dataclass(frozen=True)
class Write:
    def __call__(self, item):
        with replacing(Path(item)) as part:
            part.write_text("begun")
            Path(item + ".pid").write_text(str(os.getpid()))
            time.sleep(600)

if __name__ == "__main__":
    cli._asked = lambda: list(Processes(2).map(Write(), ["out/a", "out/b", "out/c"]))
    cli.main()
"""


@pytest.fixture
def writers(tmp_path: Path) -> subprocess.Popen[str]:
    """A command whose two processes are in the midst of writing a file each."""
    (tmp_path / "out").mkdir()
    (tmp_path / "writers.py").write_text(WRITERS)
    command = [sys.executable, "writers.py"]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: sum(path.stat().st_size > 0 for path in (tmp_path / "out").glob("*.pid")) == 2)
    return run


def until(holds: object) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("whole_group", [True, False])
@BOTH
def test_processes_remove_what_they_began(
    writers: subprocess.Popen[str], tmp_path: Path, number: signal.Signals, whole_group: bool
) -> None:
    """Ctrl-C reaches all processes of a terminal, `kill` one."""
    children = [int(path.read_text()) for path in (tmp_path / "out").glob("*.pid")]
    (os.killpg if whole_group else os.kill)(writers.pid, number)
    stdout, stderr = writers.communicate(timeout=PATIENCE_S)
    assert (writers.returncode, stdout, stderr) == (128 + number, "", "")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".pid"}
    until(lambda: not any(map(alive, children)))  # they have closed their streams, which is one of the last things that they do


def test_processes_end_with_a_command_that_was_killed(writers: subprocess.Popen[str], tmp_path: Path) -> None:
    children = [int(path.read_text()) for path in (tmp_path / "out").glob("*.pid")]
    writers.kill()
    writers.communicate(timeout=PATIENCE_S)
    until(lambda: not any(map(alive, children)))
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".pid"}
