"""Compile one graph in a child process, which may die for memory without taking the command with it. Loads no torch and no onnx."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from wsra.export.tensorrt.engine import compile_graph
from wsra.runtime.backends.engines import BuiltGraph, Profile
from wsra.runtime.errors import ExportError, WsraError
from wsra.runtime.progress import Progress, unseen

_LAST_BREATH_S = 10.0  # of a child that has told its result


@dataclass(frozen=True)
class Job:
    """What `compile_graph` is to do.

    Attributes:
        source: the ONNX graph.
        plan: in a folder that the caller removes when the build fails.
        profiles: ranges of shapes.
        workspace_mb: most memory for trying kernels.
        timing_cache: in the same folder as the plan, or None.
    """

    source: Path
    plan: Path
    profiles: list[Profile]
    workspace_mb: int
    timing_cache: Path | None


def compile_in_child(job: Job, label: str, progress: Progress = unseen) -> BuiltGraph:
    """Compile a graph in a child process; on Ctrl-C the child is ended.

    Args:
        job: what to compile.
        label: of the graph, before each phase that is reported.
        progress: called with the label and phase, the steps that are done, and how many there are.

    Raises:
        ExportError: the graph cannot be compiled, or the child died; the message tells of what.
    """
    context = get_context("spawn")  # a forked CUDA does not work
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_compile, args=(job, sending), daemon=True)
    _start(child)
    sending.close()
    try:
        progress(label, 0, None)
        while True:
            kind, *told = receiving.recv()
            if kind != "step":
                break
            phase, done, total = told
            progress(f"{label}: {phase}", done, total)
        child.join(_LAST_BREATH_S)
    except EOFError:
        child.join()
        raise _death(child.exitcode, job) from None
    finally:
        child.kill()
        child.join()
        receiving.close()
    if kind == "failed":
        raise ExportError(told[0])
    built: BuiltGraph = told[0]
    return built


def _start(child: BaseProcess) -> None:
    """Start a child that Ctrl-C does not reach: it is for this process, which then ends the child."""
    if threading.current_thread() is not threading.main_thread():
        child.start()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child.start()
    finally:
        signal.signal(signal.SIGINT, before)


def _compile(job: Job, sending: Connection) -> None:
    os.dup2(2, 1)  # what the library prints must not reach the stdout of the command
    lock = threading.Lock()

    def tell(phase: str, done: float, total: float | None) -> None:
        with lock:
            try:
                sending.send(("step", phase, done, total))
            except OSError:  # the parent is gone
                os._exit(1)

    try:
        built = compile_graph(
            job.source, job.plan, job.profiles, workspace_mb=job.workspace_mb, timing_cache=job.timing_cache, progress=tell
        )
    except WsraError as err:
        sending.send(("failed", str(err)))
    else:
        sending.send(("built", built))


def _death(code: int | None, job: Job) -> ExportError:
    if code == -signal.SIGKILL:
        return ExportError(
            f"{job.source}: the build was killed, most likely for memory; give a smaller --workspace-mb (it was {job.workspace_mb}),"
            " close other programs or add swap: docs/jetson.md"
        )
    if code is not None and code < 0:
        died = signal.Signals(-code).name
        return ExportError(f"{job.source}: the build died inside the library ({died}); update TensorRT or export the graph again")
    return ExportError(f"{job.source}: the build ended with exit code {code}; what it printed stands above")
