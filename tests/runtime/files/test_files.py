"""What every writer relies on: names, rights, locks, and that a folder is never lost."""

from __future__ import annotations

import logging
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import wsra.runtime.files.writing
from wsra.runtime.errors import OutputError
from wsra.runtime.files.locks import locked, sweep_lock
from wsra.runtime.files.writing import refuse_existing, replacing, replacing_folder

pytestmark = pytest.mark.device

HANGING = """
import sys, time
from pathlib import Path
from wsra.runtime.files.writing import {writer}
with {writer}(Path(sys.argv[1])) as part:
    {step}
    print("there", flush=True)
    time.sleep(600)
"""
LOCKING = """
import sys, time
from pathlib import Path
from wsra.runtime.files.locks import locked
with locked(Path(sys.argv[1])):
    print("there", flush=True)
    time.sleep(600)
"""


@contextmanager
def running(script: str, target: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has come to the point where it sleeps."""
    with subprocess.Popen([sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "there\n"
        yield child
        child.kill()


def write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_has_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "a", "a")
        with replacing_folder(tmp_path / "b") as part:
            write(part / "c", "c")
    finally:
        os.umask(before)
    rights = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "b", "b/c")]
    assert rights == [0o640, 0o750, 0o640]


def test_temporary_names_cannot_be_foreseen_and_follow_no_link(tmp_path: Path) -> None:
    seen = set()
    for _ in range(3):
        with replacing(tmp_path / "a") as part:
            seen.add(part.name)
            assert part.is_file() and not part.is_symlink()
    assert len(seen) == 3 and names(tmp_path) == ["a"]


@pytest.mark.parametrize("kind", ["folder", "link to a folder", "pipe"])
def test_a_file_replaces_nothing_but_a_file(tmp_path: Path, kind: str) -> None:
    target, kept = tmp_path / "x", tmp_path / "kept"
    kept.mkdir()
    (kept / "of_the_house").write_text("front door")
    if kind == "folder":
        kept.rename(target)
    elif kind == "link to a folder":
        target.symlink_to(kept)
    else:
        os.mkfifo(target)
    for attempt in (lambda: write(target, "a"), lambda: refuse_existing(target, overwrite=True)):
        with pytest.raises(OutputError, match="stands there; expected a file"):
            attempt()
    assert target.exists() and not target.is_file()
    assert kind == "pipe" or (target / "of_the_house").read_text() == "front door"


def test_a_folder_that_comes_while_a_file_is_written_stays(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"), replacing(tmp_path / "x"):
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "of_the_house").write_text("front door")
    assert names(tmp_path) == ["x"] and names(tmp_path / "x") == ["of_the_house"]


def test_a_folder_never_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("front door")
    with pytest.raises(OutputError, match="a file stands there"), replacing_folder(tmp_path / "x"):
        pytest.fail("the work was begun")
    with pytest.raises(OutputError, match="a file stands there"):
        refuse_existing(tmp_path / "x", overwrite=True, folder=True)
    assert (tmp_path / "x").read_text() == "front door"


def test_a_folder_is_exchanged_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x"
    for text in ("old", "new"):
        with replacing_folder(target) as part:
            (part / "a").write_text(text)
            assert text == "old" or (target / "a").read_text() == "old"
    assert (target / "a").read_text() == "new" and names(tmp_path) == ["x"]
    (tmp_path / "link").symlink_to(target)
    with replacing_folder(tmp_path / "link") as part:
        (part / "a").write_text("newest")
    assert (target / "a").read_text() == "newest" and (tmp_path / "link").is_symlink() and names(tmp_path) == ["link", "x"]


def test_where_folders_cannot_be_exchanged_both_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsra.runtime.files.writing, "exchange", lambda one, other: False)
    target = tmp_path / "x"
    for number, text in enumerate(("old", "new", "newest")):
        try:
            with replacing_folder(target) as part:
                (part / "a").write_text(text)
        except OutputError as err:
            assert number and f"complete in {target}.{number}" in str(err)
    assert {name: (tmp_path / name / "a").read_text() for name in names(tmp_path)} == {"x": "old", "x.1": "new", "x.2": "newest"}


@pytest.mark.parametrize(
    ("writer", "step"),
    [("replacing", "part.write_text('half')"), ("replacing_folder", "(part / 'a').write_text('half')")],
)
def test_what_a_living_writer_fills_is_left_alone_and_what_a_killed_one_left_is_swept(tmp_path: Path, writer: str, step: str) -> None:
    target, again = tmp_path / "x", getattr(wsra.runtime.files.writing, writer)

    def write_again() -> None:
        with again(target) as part:
            if part.is_dir():
                (part / "b").write_text("whole")

    with running(HANGING.format(writer=writer, step=step), target) as child:
        write_again()
        assert len(names(tmp_path)) == 2
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert len(names(tmp_path)) == 2
        write_again()
        assert names(tmp_path) == ["x"]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    for writer in (replacing, replacing_folder):
        with pytest.raises(RuntimeError), writer(tmp_path / "x"):
            raise RuntimeError
    assert names(tmp_path) == []


def test_long_and_odd_names(tmp_path: Path) -> None:
    for name in ("ä" * 127, os.fsdecode(b"\xff" * 250), "a\nb", "-o", "[x]*"):
        write(tmp_path / name, "a")
    assert len(names(tmp_path)) == 5 and all(len(path.read_bytes()) == 1 for path in tmp_path.iterdir())
    with pytest.raises(OutputError):
        write(tmp_path / ("x" * 300), "a")
    with pytest.raises(OutputError):
        write(tmp_path / "a\0b", "a")


def test_one_writer_at_a_time(tmp_path: Path, logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x"
    with running(LOCKING, target) as child:
        with pytest.raises(OutputError, match="another process is writing it"), locked(target):
            pytest.fail("both write")

        class Killing(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                child.kill()

        monkeypatch.setattr(logging.getLogger("wsra"), "handlers", [Killing()])
        with locked(target, wait=True):
            assert logged.messages == [f"{target}: another process is writing it; waiting"]
    with locked(target), locked(tmp_path / "y"):
        assert names(tmp_path) == [".x.lock", ".y.lock"]
    assert names(tmp_path) == []


def test_what_cannot_be_made_again_cheaply_reaches_the_disk_before_its_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda held: (done.append(f"sync {Path(f'/proc/self/fd/{held}').readlink().suffix}"), sync(held))[1])
    monkeypatch.setattr(os, "replace", lambda source, target: (done.append("rename"), rename(source, target))[1])
    with replacing(tmp_path / "a", durable=True) as part:
        part.write_text("a")
    assert done == ["sync .part", "rename", "sync "]
    done.clear()
    write(tmp_path / "b", "b")
    assert done == ["rename"]


def test_the_lock_of_a_killed_writer_is_removed_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    with running(LOCKING, tmp_path / "x") as child:
        sweep_lock(tmp_path / "x")
        assert names(tmp_path) == [".x.lock"]
        child.kill()
        child.wait()
        assert names(tmp_path) == [".x.lock"]
        sweep_lock(tmp_path / "x")
        assert names(tmp_path) == []
