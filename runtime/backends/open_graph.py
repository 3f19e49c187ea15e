"""Opening one graph that belongs to no route, an encoder's or a detector's: in ONNX Runtime, or the plan that was built from it."""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass
from pathlib import Path

from wsra.runtime.backends.engines import SIDECAR, Profile, misfit, read_sidecar, usable_folder
from wsra.runtime.backends.libraries import find_library
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.backends.protocol import Backend
from wsra.runtime.backends.providers import Options, picture_options
from wsra.runtime.backends.settings import ON_CPU, GraphSettings
from wsra.runtime.device import this_device
from wsra.runtime.errors import BackendError, WsraError

logger = logging.getLogger(__name__)

_UNTIL_THEN = "until then ONNX Runtime runs it on the CPU"


@dataclass(frozen=True)
class OpenGraph:
    """An open graph, and how many rows a call of it may have. A plan is closed when nothing refers to this object any more.

    Attributes:
        backend: the graph, loaded.
        rows: smallest and largest number of rows of each profile of a plan; empty for ONNX Runtime, which takes any number.
    """

    backend: Backend
    rows: tuple[tuple[int, int], ...] = ()

    def most(self, usual: int) -> int:
        """Rows of a full call: the largest of the profiles, or `usual` if there are none."""
        return max((largest for _, largest in self.rows), default=usual)

    def filled(self, count: int) -> int:
        """Rows to which a call of `count` rows must be filled up: the smallest number from `count` on that a profile accepts."""
        return min((max(count, smallest) for smallest, largest in self.rows if count <= largest), default=count)


def open_graph(graph: Path, run: GraphSettings = ON_CPU, *, profile: Profile | None = None) -> OpenGraph:
    """Open a graph with one input whose first axis is the rows of a call.

    Args:
        graph: the ONNX file.
        run: how.
        profile: range of shapes for which the TensorRT provider builds; None for those that it meets.

    Raises:
        BackendError: the graph is refused, the provider does not start, or there is no plan that can run here.
        MissingExtraError: a library is not installed.
    """
    if run.provider != "engine":
        backend = OrtBackend(
            graph,
            provider=run.provider,
            threads=run.threads,
            allow_fallback=run.allow_fallback,
            gpu=run.gpu,
            options=_options(graph, run, profile),
        )
        if run.provider != "cpu" and backend.device == "cpu":
            logger.warning(f"{graph}: the provider {run.provider} cannot be had here, see wsra doctor; {_UNTIL_THEN}")
        return OpenGraph(backend)
    try:
        return _open_plan(graph, run.bundle, run.gpu)
    except WsraError as err:
        if not run.allow_fallback:
            raise
        logger.warning(f"{err.problem if isinstance(err, _PlanError) else err}; {_UNTIL_THEN}")
        return OpenGraph(OrtBackend(graph, threads=run.threads))


def _options(graph: Path, run: GraphSettings, profile: Profile | None) -> Options:
    if run.provider != "tensorrt":
        return {}
    device = this_device(gpu=run.gpu)
    return picture_options(graph, device, run.bundle, profile) if device.gpu is not None else {}


def plan_beside(graph: Path) -> tuple[Path, Path]:
    """The plan of a graph outside the precisions of a bundle, and the plan's sidecar."""
    return graph.with_suffix(".plan"), graph.with_suffix(f".{SIDECAR}")


def _open_plan(graph: Path, bundle: Path | None, gpu: int) -> OpenGraph:
    from wsra.runtime.backends.trt import TrtBackend

    device = this_device(gpu=gpu)
    if device.gpu is None:
        raise _refused(graph, bundle, "there is no GPU to run it")
    library = find_library()
    name, version = str(library.__name__), str(library.__version__)
    plan, sidecar = plan_beside(graph)
    if bundle is not None:
        folder = usable_folder(bundle, device, name, version, graph.parent.name)
        plan, sidecar = folder / plan.name, folder / SIDECAR
    if not sidecar.is_file():
        raise _refused(graph, bundle, f"{sidecar} is missing")
    engine = read_sidecar(sidecar)
    if (reason := misfit(engine, plan.parent, {graph.stem: graph}, device, name, version)) is not None:
        raise _refused(graph, bundle, reason)
    shapes = [next(iter(profile.values())) for profile in engine.graphs[graph.stem].profiles]
    rows = tuple((smallest[0], largest[0]) for smallest, _, largest in shapes)
    backend = TrtBackend(plan, device_name=device.gpu.name, gpu=device.gpu.index)
    opened = OpenGraph(backend, rows)
    weakref.finalize(opened, backend.__exit__, None, None, None)
    return opened


class _PlanError(BackendError):
    """A plan cannot run here; `problem` says why and what to do, without the fallback."""

    problem = ""


def _refused(graph: Path, bundle: Path | None, reason: str) -> _PlanError:
    problem = f"{graph}: its engine cannot run here ({reason}); build it with wsra build {bundle or graph.parent}"
    error = _PlanError(f"{problem}, or accept ONNX Runtime on the CPU with --allow-fallback")
    error.problem = problem
    return error
