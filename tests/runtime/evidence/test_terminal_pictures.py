"""Pictures in terminals of several kinds, each played by the test at the other end of a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

pytest.importorskip("av")
pytest.importorskip("cv2")
pytest.importorskip("textual_image")
from handed import write_pair

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {support!r})
from handed import detection, result
from wsra.runtime.errors import WsraError
from wsra.runtime.evidence.exhibits import exhibits_of
from wsra.runtime.evidence.terminal_pictures import check_terminal, terminal_pictures
from wsra.runtime.terminal.display import stdout_console
try:
    check_terminal(as_json=False)
    for line in terminal_pictures(exhibits_of([result(detection(Path({feat!r})))])):
        stdout_console().print(line)
except WsraError as err:
    print("refused:", err)
"""
# The library waits a tenth of a second for what the terminal answers; on a busy machine an answer that comes may take longer.
PATIENT = """
import textual_image._terminal as terminal
terminal.read = lambda file, length, timeout, read=terminal.read: read(file, length, 120)
"""
SIXEL, KITTY, PLAIN = "sixel", "kitty", "plain"


def played(kind: str, script: str, size: tuple[int, int, int, int] = (40, 120, 1200, 800)) -> str:
    """What a script prints in a terminal that answers as this kind does; `size` is rows, columns and pixels."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", *size))
    script = (PATIENT if kind != PLAIN else "") + script
    process = subprocess.Popen([sys.executable, "-c", script], stdin=its, stdout=its, stderr=its, close_fds=True, env=os.environ)
    os.close(its)
    seen, asked, queries, deadline = "", 0, set[str](), time.monotonic() + 300
    try:
        while time.monotonic() < deadline:
            if not select.select([mine], [], [], 0.2)[0]:
                continue
            try:
                seen += os.read(mine, 65536).decode(errors="replace")
            except OSError:  # it has ended
                break
            while seen.count("\x1b[c") > asked:  # what are you?
                asked += 1
                os.write(mine, b"\x1b[?62;4;22c" if kind == SIXEL else b"\x1b[?62;22c")
            for query in re.findall(r"\x1b_G[^\x1b]*i=(\d+)[^\x1b]*a=q", seen):
                if kind == KITTY and query not in queries:
                    queries.add(query)
                    os.write(mine, f"\x1b_Gi={query};OK\x1b\\".encode())
    finally:
        process.kill()
        process.wait()
        os.close(mine)
    return seen


@pytest.fixture
def script(tmp_path: Path) -> str:
    _, feat = write_pair(tmp_path)
    return SCRIPT.format(support=str(Path(__file__).parents[2] / "support"), feat=str(feat))


def test_sixel(script: str) -> None:
    seen = played(SIXEL, script)
    assert "1  likely, 90 %  2026-11-23 14:05:10" in seen and re.search(r"\x1bP[\d;]*q", seen) and "refused" not in seen


def test_kitty(script: str) -> None:
    seen = played(KITTY, script)
    assert "1  likely, 90 %" in seen and seen.count("\x1b_G") > 1 and "refused" not in seen


def test_a_terminal_without_pictures(script: str) -> None:
    seen = played(PLAIN, script)
    assert "refused: --show: this terminal shows no pictures" in " ".join(seen.split()) and "\x1bP" not in seen


def test_a_terminal_without_a_size(script: str) -> None:
    assert "refused: --show: the terminal does not say how large it is" in " ".join(played(SIXEL, script, (0, 0, 0, 0)).split())


def test_a_video_that_is_not_here(script: str, tmp_path: Path) -> None:
    (tmp_path / "gate-2.mp4").unlink()
    assert "no picture: gate-2.mp4 is not beside gate-2.feat" in played(SIXEL, script)
