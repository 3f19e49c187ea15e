"""How long a route takes to its first answer in a new process, with the libraries, contexts and kernels that it loads or compiles."""

from __future__ import annotations

from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.formats.bundle import GOLDEN, open_bundle
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.verification.golden import read_golden


def first_answer_ms(folder: Path, route: Route, *, gpu: int = 0, threads: int = 0) -> float | None:
    """Milliseconds from opening a bundle to the first answer, in a process that has loaded Python and wsra only.

    Args:
        folder: of the bundle.
        route: how it runs.
        gpu: number of the GPU, from 0.
        threads: of ONNX Runtime on the CPU; 0 lets it decide.

    Returns:
        The time; None if the process died, for which the gates have the reason.
    """
    context = get_context("spawn")  # a forked process would have the libraries and a CUDA that does not work
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_ask, args=(folder, route, gpu, threads, sending), daemon=True)
    process.start()
    sending.close()
    try:
        return float(receiving.recv())
    except EOFError:
        return None
    finally:
        process.join()
        receiving.close()


def _ask(folder: Path, route: Route, gpu: int, threads: int, sending: Connection) -> None:
    golden = read_golden(folder / GOLDEN)
    sentence, video = golden.pairs[0]
    start = perf_counter()
    bundle = open_bundle(folder, trust_unchanged=True)
    settings = RunSettings(threads=threads, device=gpu)
    with Grounder.of_route(bundle, route, this_device(gpu=gpu), settings) as grounder:
        grounder.ground(golden.videos[video], golden.sentences[sentence], top_k=1)
        sending.send(1000 * (perf_counter() - start))
