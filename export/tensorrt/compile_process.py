"""Compile one graph in a process of its own, so that the command survives if the build runs out of memory. Runs without torch."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from wsra.export.tensorrt.engine import compile_graph
from wsra.runtime.backends.cuda import Cuda
from wsra.runtime.backends.engines import BuiltGraph, Profile
from wsra.runtime.errors import ExportError, WsraError
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.workers.processes import blocked_in_children

_EXIT_TIMEOUT_S = 10.0  # for the process to exit after it has sent its result


@dataclass(frozen=True)
class Job:
    """Arguments of `compile_graph`.

    Attributes:
        source: the ONNX graph.
        plan: the plan to write, in a folder that the caller removes if the build fails.
        profiles: ranges of shapes.
        workspace_mb: limit of the memory for trying kernels, in MiB.
        timing_cache: timing cache in the folder of the plan, or None.
        gpu: number of the GPU, from 0.
    """

    source: Path
    plan: Path
    profiles: list[Profile]
    workspace_mb: int
    timing_cache: Path | None
    gpu: int = 0


def compile_in_process(job: Job, label: str, progress: Progress = unseen) -> BuiltGraph:
    """Compile a graph in another process. Ctrl-C ends that process, too.

    Args:
        job: what to compile.
        label: text before each phase that is reported.
        progress: called with the label and the phase, the steps that are done, and how many there are.

    Raises:
        ExportError: the graph cannot be compiled, or the process died; the message gives the reason.
    """
    context = get_context("spawn")  # a forked CUDA does not work
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_compile, args=(job, sending), daemon=True)
    try:
        with blocked_in_children(signal.SIGINT):
            process.start()
        sending.close()
        progress(label, 0, None)
        while True:
            kind, *content = receiving.recv()
            if kind != "step":
                break
            phase, done, total = content
            progress(f"{label}: {phase}", done, total)
        process.join(_EXIT_TIMEOUT_S)
    except EOFError:
        process.join()
        raise _exit_error(process.exitcode, job) from None
    finally:
        if process.pid is not None:  # it was started
            process.kill()
            process.join()
        receiving.close()
    if kind == "failed":
        raise ExportError(content[0])
    built: BuiltGraph = content[0]
    return built


def _compile(job: Job, sending: Connection) -> None:
    os.dup2(2, 1)  # the output of the library must not reach the stdout of the command
    lock = threading.Lock()

    def send_progress(phase: str, done: float, total: float | None) -> None:
        with lock:
            try:
                sending.send(("step", phase, done, total))
            except OSError:  # the parent is gone
                os._exit(1)

    try:
        chosen = Cuda(job.gpu) if job.gpu else None  # TensorRT builds for the GPU that is current; without a choice it is the first
        built = compile_graph(
            job.source, job.plan, job.profiles, workspace_mb=job.workspace_mb, timing_cache=job.timing_cache, progress=send_progress
        )
    except WsraError as err:
        sending.send(("failed", str(err)))
    else:
        if chosen is not None:
            chosen.close()
        sending.send(("built", built))


def _exit_error(code: int | None, job: Job) -> ExportError:
    if code == -signal.SIGKILL:
        return ExportError(
            f"{job.source}: the build was killed, most likely because memory ran out; give a smaller --workspace-mb (it was"
            f" {job.workspace_mb}), close other programs or add swap: docs/jetson.md"
        )
    if code is not None and code < 0:
        died = signal.Signals(-code).name
        return ExportError(f"{job.source}: the build died inside the library ({died}); update TensorRT or export the graph again")
    return ExportError(f"{job.source}: the build ended with exit code {code}; its output is above")
