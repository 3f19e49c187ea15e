"""`wsra view` as a process: what it prints, how it ends, and what it refuses to begin with."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("av")
import httpx
from pages import PATIENCE_S, write_archive
from typer.testing import CliRunner

from wsra.runtime.cli import app_of
from wsra.runtime.errors import ConfigError, DataError, MissingExtraError
from wsra.runtime.view.running import bound

pytestmark = pytest.mark.device
PATIENT = """
from wsra.runtime import cli
from wsra.runtime.view import running
running._LAST_S = 300  # on a busy machine the streams may take longer to end than the three seconds that they get
cli.main()
"""
RUN = ["--precision", "fp32", "--provider", "cpu", "--threads", "1"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_archive(tmp_path_factory.mktemp("running"))


@contextmanager
def started(archive: tuple[Path, Path], *options: str, folder: Path | None = None, **changes: Any) -> Iterator[tuple[Any, list[str]]]:
    """A process, and the lines that it has printed once the page can be opened."""
    command = [sys.executable, "-c", PATIENT, "view", *options, "-b", str(archive[1]), *RUN]
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder or archive[0], env=environment, **changes) as process:
        assert process.stderr is not None
        lines: list[str] = []
        try:
            while not lines or not lines[-1].startswith("wsra view: "):
                line = process.stderr.readline()
                assert line, lines
                lines.append(line.rstrip("\n"))
            yield process, lines
        finally:
            process.kill()


def url_in(lines: list[str]) -> str:
    found = re.fullmatch(r"wsra view: (http://\S+/\S*) \(Ctrl-C ends it\)", lines[-1])
    assert found is not None, lines
    return found[1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_streams_and_the_page(archive: tuple[Path, Path], number: int, code: int) -> None:
    with started(archive, "--port", "0", "--no-browser") as (process, lines):
        url = url_in(lines)
        assert url.startswith("http://127.0.0.1:") and not [line for line in lines if "WARNING" in line]
        heard: list[str] = []
        first = threading.Event()

        def listen() -> None:
            with httpx.stream("GET", f"{url}api/jobs", timeout=PATIENCE_S) as stream:
                for line in stream.iter_lines():
                    heard.append(line)
                    first.set()

        listening = threading.Thread(target=listen)
        listening.start()
        assert first.wait(PATIENCE_S)
        assert httpx.get(f"{url}api/archive", timeout=PATIENCE_S).json()["hours"] > 0  # the current folder
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == code
        listening.join(PATIENCE_S)
        assert not listening.is_alive() and heard[0] == "event: jobs"
        assert process.stderr.read() == ""


def test_an_ignored_signal_stays_ignored(archive: tuple[Path, Path]) -> None:
    ignore = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    with started(archive, "--port", "0", "--no-browser", preexec_fn=ignore) as (process, lines):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert httpx.get(f"{url_in(lines)}api/archive", timeout=PATIENCE_S).status_code == 200 and process.poll() is None


def test_another_address_has_a_token_and_a_warning(archive: tuple[Path, Path]) -> None:
    with started(archive, "--port", "0", "--host", "0.0.0.0") as (_, lines):
        url = url_in(lines)
        assert "?token=" in url and lines[-2].startswith("WARNING: other machines can reach 0.0.0.0, and there is no TLS")
        port, token = re.findall(r":(\d+)/\?token=(\S+)", url)[0]
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=PATIENCE_S).status_code == 401
        assert httpx.get(f"http://127.0.0.1:{port}/?token={token}", timeout=PATIENCE_S).status_code == 303


def test_a_taken_port_is_an_error_of_one_line() -> None:
    with bound("127.0.0.1", 0) as (_, address), pytest.raises(ConfigError, match=r"port \d+ of 127.0.0.1 cannot be had"):
        assert address.token is None and address.host == "127.0.0.1"
        with bound("127.0.0.1", address.port):
            pass


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.0.0.1", "203.0.113.7"])
def test_an_address_of_no_machine_or_another_one(host: str) -> None:
    with pytest.raises(ConfigError, match=f"{host}"), bound(host, 0):
        pass


def test_only_loopback_goes_without_a_token() -> None:
    with bound("localhost", 0) as (_, address):
        assert address.token is None
    with bound("0.0.0.0", 0) as (_, address):
        assert address.token
    if socket.has_ipv6:
        try:
            with bound("::1", 0) as (_, address):
                assert address.token is None and address.url == f"http://[::1]:{address.port}/"
        except ConfigError:
            pytest.skip("this machine has no IPv6")


def test_a_missing_folder_and_a_missing_extra_are_said(tmp_path: Path, archive: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    view = app_of(["view"])
    done = CliRunner().invoke(view, ["view", str(tmp_path / "none"), "-b", str(archive[1]), *RUN, "--port", "0"])
    assert isinstance(done.exception, DataError) and "none: no such folder" in str(done.exception)
    for library in ("starlette", "uvicorn"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            done = CliRunner().invoke(view, ["view", str(archive[0]), "-b", str(archive[1]), "--port", "0"])
        assert isinstance(done.exception, MissingExtraError)
        assert str(done.exception) == f"wsra view needs {library}, which is not installed: pip install 'wsra[view]'"


def test_a_browser_is_opened_where_there_is_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    import webbrowser

    from wsra.runtime.commands.view import _open_browser

    opened: list[str] = []

    class Window(webbrowser.BackgroundBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            opened.append(url)
            return True

    browser: list[Any] = [Window("window")]
    monkeypatch.setattr(webbrowser, "get", lambda: browser[0])
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    _open_browser("http://one/")
    monkeypatch.setenv("DISPLAY", ":0")
    _open_browser("http://two/")
    browser[0] = webbrowser.GenericBrowser("lynx")  # it would take over the terminal
    _open_browser("http://three/")
    assert opened == ["http://two/"]
