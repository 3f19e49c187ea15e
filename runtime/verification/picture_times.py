"""How long an encoder or a detector of a bundle takes per picture on each route, by which `auto` chooses how videos are extracted."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from wsra.runtime.backbones.common.protocol import BACKBONE_JSON
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings, read_settings
from wsra.runtime.backends.records import write_record
from wsra.runtime.backends.settings import Provider
from wsra.runtime.bench.timing import in_turns, one_stage
from wsra.runtime.device import this_device
from wsra.runtime.errors import BackboneError, BackendError, MissingExtraError, OutputError
from wsra.runtime.formats.bundle import Bundle, open_bundle
from wsra.runtime.verification.picture_check import PictureSource, picture_sources
from wsra.runtime.verification.reports import RouteReport

logger = logging.getLogger(__name__)

REPEATS, WARM_UP = 5, 2


def with_picture_times(
    folder: Path, reports: Mapping[str, RouteReport], *, failed: Collection[Provider] = (), threads: int = 0, gpu: int = 0
) -> dict[str, RouteReport]:
    """Time one full call of a bundle's encoder or detector on each route that passed, and keep the times in the record of this device.

    Args:
        folder: folder of the bundle.
        reports: from `verify_bundle`.
        failed: providers on which the bundle's detector disagreed; they are not timed.
        threads: threads of ONNX Runtime on the CPU; 0 lets it decide.
        gpu: number of the GPU, from 0.

    Returns:
        The reports, with `ms_per_picture` where it was timed.

    Raises:
        BundleError: the bundle cannot be used.
        BackboneError: a JSON is wrong or does not match its graph.
    """
    bundle, found, known = open_bundle(folder), dict(reports), dict[tuple[Path, Provider], float]()
    for name, report in reports.items():
        way, source = report.route.provider, _source(bundle, report.route.precision)
        if not report.passed or way in failed or source is None:
            continue
        try:
            key = source.graph, way  # a detector has one graph for all precisions
            if key not in known:
                known[key] = _ms_per_picture(source, way, threads=threads, gpu=gpu)
        except (BackboneError, BackendError, MissingExtraError) as err:
            logger.info(f"{name}: not timed on pictures ({err})")
            continue
        found[name] = replace(report, ms_per_picture=known[key])
    timed = {name: report.to_json() for name, report in found.items() if report.ms_per_picture is not None}
    if timed:
        try:
            write_record(bundle, this_device(gpu=gpu), timed)
        except (OSError, OutputError) as err:
            logger.warning(f"{folder}: the times of pictures cannot be kept ({err})")
    return found


def _source(bundle: Bundle, precision: str) -> PictureSource | None:
    """The encoder of a precision, or the detector; None where the bundle has neither."""
    path = bundle.folder / BACKBONE_JSON
    if not path.is_file():
        return next(iter(picture_sources(bundle.folder)), None)
    settings = read_settings(path)
    graph = bundle.folder / precision / settings.graph
    return PictureSource(settings, graph, precision, bundle.folder) if graph.is_file() else None


def _ms_per_picture(source: PictureSource, way: Provider, *, threads: int, gpu: int) -> float:
    """Median milliseconds of a full call, over its pictures; noise takes as long as pictures do."""
    graph, settings = source.open(way, threads=threads, gpu=gpu).pictures, source.settings
    frames = settings.frames if isinstance(settings, EncoderSettings) else 1
    noise = np.random.default_rng(0).integers(0, 256, (graph.per_call, frames, *settings.size, 3), np.uint8)
    run = one_stage("call", partial(graph.infer, graph.prepare([list(row) for row in noise])))
    in_turns([run], rounds=WARM_UP)
    return in_turns([run], rounds=REPEATS)["call"].p50_ms / (graph.per_call * frames)
