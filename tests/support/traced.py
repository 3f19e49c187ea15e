"""A command under strace: which hosts it and its children spoke to, and which files and folders they made or changed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

WSRA = ("-m", "wsra.runtime.cli")
CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
_WRITES = re.compile(r"O_CREAT|O_WRONLY|O_RDWR|O_TMPFILE")
_HOST = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
_PORT = re.compile(r"htons\((\d+)\)")
_PATH = re.compile(r'(?:AT_FDCWD|\d+)?(?:<([^>]*)>)?(?:, )?"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Trace:
    """What a command did.

    Attributes:
        returncode: of the command.
        said: its stdout and stderr.
        contacts: (address, port) of every host that a socket was directed to.
        written: absolute path of every file or folder that was made, opened for writing, renamed or linked.
    """

    returncode: int
    said: str
    contacts: set[tuple[str, int]]
    written: set[Path]


def strace() -> str:
    """Where strace is.

    Raises:
        FileNotFoundError: it is not installed.
    """
    found = shutil.which("strace")
    if found is None:
        raise FileNotFoundError("strace is not installed, and nothing else sees what a library does: apt-get install strace")
    return found


def trace(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    logs: Path,
    meanwhile: Callable[[int], None] = lambda process: None,
    *,
    program: Sequence[str] = WSRA,
) -> Trace:
    """Run `wsra` with these arguments in a folder, and nothing in the environment but what is given.

    Args:
        arguments: of the command line.
        folder: where it runs.
        environment: all that it gets.
        logs: a new folder for what strace writes.
        meanwhile: is called with the number of the process of `wsra` while it runs.
        program: what Python runs.
    """
    logs.mkdir()
    command = [strace(), "-ff", "-qq", "-y", "-s", "4096", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(logs / "of")]
    run = subprocess.Popen(
        [*command, sys.executable, *program, *arguments],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with ThreadPoolExecutor(1) as reader:
        said = reader.submit(run.communicate, timeout=1800)
        try:
            meanwhile(_traced_by(run.pid))
        except BaseException:
            run.kill()
            raise
        output, _ = said.result()
    contacts: set[tuple[str, int]] = set()
    written: set[Path] = set()
    for log in logs.iterdir():
        for line in log.read_text(errors="replace").splitlines():
            call = line.partition("(")[0]
            if call in ("connect", "sendto", "sendmsg", "sendmmsg"):
                hosts, ports = _HOST.findall(line), _PORT.findall(line)
                contacts |= {(one or other, int(port)) for (one, other), port in zip(hosts, ports, strict=True)}
            elif " = -1 " not in line and (not call.startswith("open") or _WRITES.search(line)):
                written |= {_absolute(place, name, folder) for place, name in _PATH.findall(line.partition(" = ")[0])}
    return Trace(run.returncode, output, contacts, written)


def _traced_by(strace_pid: int) -> int:
    """The process of `wsra` that strace has started; before it, strace starts short ones to see what the system can do."""
    children = Path(f"/proc/{strace_pid}/task/{strace_pid}/children")
    until = time.monotonic() + 300
    while time.monotonic() < until:
        for child in children.read_text().split():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if words[0] == os.fsencode(sys.executable):
                    return int(child)
        time.sleep(0.01)
    raise TimeoutError("strace starts no wsra")


def _absolute(place: str, name: str, folder: Path) -> Path:
    return Path(place or folder) / name
