"""Closed, full and broken streams, and those of a small character set, in processes of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsra.runtime.formats.features import Features, write_features

pytestmark = pytest.mark.device
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def wsra(tmp_path: Path, feat_file: Path) -> Run:
    """Run a command beside v.feat, through a shell that redirects its streams."""

    def run(*arguments: str, to: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
        command = ["sh", "-c", f'exec "$@" {to}', "sh", sys.executable, "-m", "wsra.runtime.cli", *arguments]
        environment = {**os.environ, **variables}
        return subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=600, env=environment, check=False)

    return run


@pytest.mark.parametrize("arguments", [["info", "v.feat"], ["info", "v.feat", "--json"], ["info", "--help"], ["convert"]], ids=" ".join)
@pytest.mark.parametrize("to", [">/dev/full", ">&-"])
def test_a_stdout_that_cannot_be_written_is_one_line(wsra: Run, tmp_path: Path, arguments: list[str], to: str) -> None:
    if arguments == ["convert"]:  # prints its path at once
        np.save(tmp_path / "a.npy", np.ones((3, 2), np.float32))
        arguments = ["convert", "a.npy", "-o", "a.feat", "--snippet-s", "1"]
    run = wsra(*arguments, to=to)
    assert run.returncode == 1
    assert run.stderr.startswith(b"wsra: stdout: cannot be written (") and run.stderr.count(b"\n") == 1


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_who_reads_no_more_is_no_error(tmp_path: Path, feat_file: Path, json: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "wsra.runtime.cli", "info", str(feat_file), *json]
    run = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=600, check=False)
    os.close(writing)
    assert (run.returncode, run.stderr) == (141, b"")


@pytest.mark.parametrize("to", ["2>&-", "2>/dev/full"])
def test_without_stderr_a_command_goes_on(wsra: Run, tmp_path: Path, to: str) -> None:
    assert wsra("info", "v.feat", to=to).stdout == wsra("info", "v.feat").stdout != b""
    for arguments, code in ((["info", "none.feat"], 1), (["info"], 2)):
        run = wsra(*arguments, to=to)
        assert (run.returncode, run.stdout) == (code, b"")


def test_no_file_gets_the_number_of_a_closed_stream() -> None:
    """Else what libraries print on stderr would stand in it."""
    script = "from wsra.runtime.terminal.streams import claim_streams; claim_streams(); import os; print(os.open('/dev/null', 0))"
    run = subprocess.run(["sh", "-c", 'exec "$@" <&- 2>&-', "sh", sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    assert int(run.stdout) > 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_drawings_in_a_small_character_set(wsra: Run, tmp_path: Path, encoding: str) -> None:
    name = "“±→▁█▔” ü 猫"
    write_features(tmp_path / "n.feat", Features(np.ones((1, 2), np.float32), np.array([[0.0, 1.0]]), name, 1.0, "b"))
    run = wsra("info", "n.feat", PYTHONIOENCODING=encoding)
    drawn = {"ascii": r'"~>.#^" \xfc \u732b', "latin-1": '"±>.#^" ü \\u732b', "utf-8": name}[encoding]
    assert run.returncode == 0, run.stderr
    assert drawn in run.stdout.decode(encoding)
    json = wsra("info", "n.feat", "--json", PYTHONIOENCODING=encoding)
    assert json.returncode == 0 and json.stdout.isascii()


def test_a_path_is_printed_byte_for_byte(wsra: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2), np.float32))
    run = wsra("convert", "a.npy", "-o", "a\udcff\x1b.feat", "--video", "a", "--snippet-s", "1")
    assert run.returncode == 0, run.stderr
    assert run.stdout == b"a\xff\x1b.feat\n"


def test_a_path_on_a_terminal_is_visible(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from wsra.runtime.terminal.streams import print_path

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_path(Path("a\udcff\x1b.feat"))
    assert capsys.readouterr().out == "a\\udcff\\x1b.feat\n"


def test_a_bar_on_the_terminal_leaves_a_stdout_elsewhere_alone() -> None:
    script = (
        "from pathlib import Path; from wsra.runtime.terminal.console import LOGGER, messages_shown, progress_shown\n"
        "from wsra.runtime.terminal.streams import claim_streams, print_path\n"
        "claim_streams()\n"
        "with messages_shown(), progress_shown() as progress:\n"
        "    progress('videos', 1, 2)\n"
        "    LOGGER.warning('one is left out')\n"
        "    print_path(Path('a.feat'))\n"
        "    progress('recordings', 3, 4)\n"
    )
    terminal, other = os.openpty()
    run = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=other, check=True, timeout=600)
    os.close(other)
    shown = b""
    with contextlib.suppress(OSError):  # raised at the end of what was written
        while part := os.read(terminal, 65536):
            shown += part
    assert run.stdout == b"a.feat\n" and b"WARNING: one is left out\r\n" in shown
    assert all(drawn in shown for drawn in (b"videos", b"recordings", b"3/4"))
    os.close(terminal)


@pytest.mark.parametrize("arguments", [["info", "v.feat", "\x1b]0;owned\x07"], ["\x1b]0;owned\x07"], ["info", "--\x1b]0;owned\x07"]])
def test_a_wrong_option_is_shown_visibly(wsra: Run, arguments: list[Any]) -> None:
    run = wsra(*arguments)
    assert run.returncode == 2 and rb"\x1b]0;owned\x07" in run.stderr and b"\x1b" not in run.stderr
