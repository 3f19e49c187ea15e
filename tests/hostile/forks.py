"""The command line in forked children: wsra is imported once, each command runs in a child that can be killed or held at any step.

A step is a call that changes names or opens a file for writing, as Python's audit events tell it, an fsync, or, where that is asked for
(it is slow where much is computed), a write. The commands come as lines
of JSON on stdin, what became of them goes as lines of JSON to stdout.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import resource
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

STEPS = frozenset(
    (
        "os.rename",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "os.link",
        "os.symlink",
        "os.truncate",
        "os.utime",
        "os.chmod",
        "fcntl.flock",
        "os.fsync",
    )
)
_CLONE_NEWNS, _CLONE_NEWPID, _MS_REC_PRIVATE = 0x00020000, 0x20000000, 0x4000 | 0x40000
_LOOK_S = 0.002
NOT_PERMITTED = 77


def main() -> None:
    """Serve until stdin ends."""
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_all()
    told.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        told.write(json.dumps(_run(json.loads(line), told)) + "\n")


def _import_all() -> None:
    import warnings

    warnings.simplefilter("ignore")
    import av
    import cv2
    import h5py
    import matplotlib.pyplot
    import onnx
    import onnxruntime
    import onnxscript
    import rich.console
    import rich.table
    import torch
    import transformers

    import wsra.export.publish  # first: it decides how others are imported
    import wsra.runtime.archive.search
    import wsra.runtime.cli
    import wsra.runtime.extraction.continued
    import wsra.runtime.verification.verify
    import wsra.train.command

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    _remember_graphs(Path(os.environ["HOSTILE_GRAPHS"]))
    for name in wsra.runtime.cli.COMMANDS:
        __import__(f"wsra.runtime.commands.{name}")
    _ = (av, h5py, matplotlib.pyplot, onnx, onnxruntime, onnxscript, rich.console, rich.table, transformers)
    warnings.resetwarnings()


def _remember_graphs(folder: Path) -> None:
    """Convert each graph of PyTorch once: that takes half a minute and writes nothing that counts, except the file in the end."""
    import hashlib
    import shutil

    base: Any = sys.modules["wsra.export.base"]
    convert = base.onnx_from_graph

    def remembered(graph: Any, path: Path) -> None:
        digest = hashlib.sha256(graph.name.encode())
        for name, tensor in graph.module.state_dict().items():
            digest.update(name.encode() + tensor.numpy().tobytes())
        kept = folder / f"{digest.hexdigest()[:24]}.onnx"
        if not kept.is_file():
            convert(graph, path)
            shutil.copyfile(path, kept)
        path.write_bytes(kept.read_bytes())

    base.onnx_from_graph = remembered


def _run(job: dict[str, Any], told: Any) -> dict[str, Any]:
    """Run one command to its end, or to its limit of time."""
    steps, go, held = os.pipe(), os.pipe(), False
    child = os.fork()
    if child == 0:
        os.setsid()
        _child(job, steps[1], go[0])
    os.close(steps[1])
    os.close(go[0])
    began, count, hung = time.monotonic(), 0, False
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        count, asked = _seen(steps[0], count)
        if asked and not held:
            held = True
            told.write(json.dumps({"held": True}) + "\n")
            began = time.monotonic()
        if done:
            break
        late = time.monotonic() - began
        if held and select.select([sys.stdin.fileno()], [], [], 0)[0] and os.read(sys.stdin.fileno(), 2) == b"g\n":
            os.write(go[1], b"g")
        if job.get("kill_s") is not None and late > job["kill_s"]:
            os.kill(child, getattr(signal, f"SIG{job['how']}"))
            job["kill_s"] = None
        if late > job["limit_s"]:
            hung = True
            _kill_all(child)
        time.sleep(_LOOK_S)
    count, _ = _seen(steps[0], count)
    os.close(steps[0])
    os.close(go[1])
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "steps": count, "hung": hung, "peak": usage.ru_maxrss * 1024, "seconds": time.monotonic() - began}


def _kill_all(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def _seen(pipe: int, count: int) -> tuple[int, bool]:
    asked = False
    while select.select([pipe], [], [], 0)[0]:
        content = os.read(pipe, 65_536)
        if not content:
            break
        count, asked = count + len(content), asked or b"h" in content
    return count, asked


def _child(job: dict[str, Any], steps: int, go: int) -> None:
    """Never comes back."""
    code = 1
    try:
        if job.get("own_pid") and not _own_pid():
            os._exit(NOT_PERMITTED)
        os.chdir(job["cwd"])
        os.environ.update(job.get("env", {}))
        _streams(job)
        if job.get("fsize"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (job["fsize"], job["fsize"]))
        if job.get("powerless"):
            _drop_powers()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _Steps(job, steps, go).watch(writes=job.get("writes", False))
        from wsra.runtime.cli import main as command

        sys.argv = ["wsra", *job["argv"]]
        command()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                code = code or 120  # as Python ends where its stdout cannot be written
        os._exit(code)


def _own_pid() -> bool:
    """Go on as process 1 of a namespace of its own, as in a container; False where that is not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWPID | _CLONE_NEWNS) != 0:
        return False
    inner = os.fork()
    if inner:
        _, status = os.waitpid(inner, 0)
        os._exit(os.waitstatus_to_exitcode(status) % 256)
    libc.mount(None, b"/", None, _MS_REC_PRIVATE, None)
    libc.mount(b"proc", b"/proc", b"proc", 0, None)
    return os.getpid() == 1


def _drop_powers() -> None:
    """Of root's rights over the files of others nothing stays, so that the mode of a file counts."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        os._exit(NOT_PERMITTED)


def _streams(job: dict[str, Any]) -> None:
    sys.stdin = Path(os.devnull).open()  # noqa: SIM115
    os.dup2(sys.stdin.fileno(), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        held = os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(held, number)
        os.close(held)
        stream = os.fdopen(os.dup(number), "w", encoding="utf-8", errors="backslashreplace" if number == 2 else "strict")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


class _Steps:
    """Counts steps; at the one that was asked for, the process kills itself or waits."""

    def __init__(self, job: dict[str, Any], told: int, go: int) -> None:
        self._at, self._how, self._told, self._go = job.get("at"), job.get("how", "KILL"), told, go
        self._count = 0

    def watch(self, *, writes: bool) -> None:
        """From now on."""
        sys.addaudithook(self._audited)
        fsync = os.fsync

        def audited(place: Any) -> None:
            sys.audit("os.fsync", place)
            fsync(place)

        os.fsync = audited  # type: ignore[assignment]
        if writes:
            threading.setprofile(self._profiled)
            sys.setprofile(self._profiled)

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            if not isinstance(path, str | bytes | os.PathLike) or os.fspath(path) in ("/dev/null", b"/dev/null"):
                return
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not writes and not (isinstance(mode, str) and set(mode) & set("wax+")):
                return
        elif event not in STEPS:
            return
        self._step()

    def _profiled(self, frame: Any, event: str, called: Any) -> None:
        """Python code that is about to write to an open file."""
        if event == "c_call" and called.__name__ == "write":
            file = getattr(called, "__self__", None)
            if isinstance(file, io.IOBase) and file not in (sys.stdout, sys.stderr):
                self._step()

    def _step(self) -> None:
        here, self._count = self._count, self._count + 1
        if here != self._at:
            os.write(self._told, b"s")
        elif self._how == "HOLD":
            os.write(self._told, b"h")
            os.read(self._go, 1)
        else:
            os.write(self._told, b"s")
            os.kill(os.getpid(), getattr(signal, f"SIG{self._how}"))


if __name__ == "__main__":
    main()
