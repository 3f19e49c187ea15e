"""The choice of a route: the fastest that `wsra verify` passed on this device, for as many answers as are asked."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from math import inf

from wsra.runtime.backends.ranking import Times, fastest
from wsra.runtime.backends.records import picture_ms, read_record, times_of
from wsra.runtime.backends.routes import EVERY_PROVIDER, Route, engine_failure, other_modes
from wsra.runtime.backends.settings import DEFAULT, RunSettings
from wsra.runtime.device import Device
from wsra.runtime.errors import BundleError
from wsra.runtime.formats.bundle import PRECISIONS, Bundle

logger = logging.getLogger(__name__)


def choose(bundle: Bundle, device: Device, settings: RunSettings = DEFAULT, *, answers: float = inf) -> Route:
    """Resolve "auto" of precision and provider: the fastest route that passed `wsra verify` on this device; before that, FP32 on the CPU.

    Fastest is what gives all answers soonest: of one answer the first counts, with all that is loaded and compiled before it; of many the
    steady time; see `ranking.fastest`. Without ONNX Runtime, or for engines, it is the most precise one whose engines fit. What failed here
    is never taken.

    Args:
        bundle: an open bundle.
        device: this machine.
        settings: the precision and the provider that were asked for.
        answers: how many are asked for in this process, which is sentences x videos; infinity for a process that stays.

    Raises:
        BundleError: the bundle has no such precision, or what was asked for failed a gate.
    """
    precision, provider = settings.precision, settings.provider
    if precision != "auto":
        bundle.check(precision)
    record = read_record(bundle, device)
    asked = [
        Route(name, way)
        for name in sorted(bundle.passed(), key=PRECISIONS.index)
        for way in EVERY_PROVIDER
        if precision in ("auto", name) and provider in ("auto", way)
    ]
    failed = [route for route in asked if route.name in record and not record[route.name]["passed"]]
    left = [route for route in asked if route not in failed]
    measured = times_of(record)
    verified = {route: measured[route.name] for route in left if route.name in measured}
    if provider in ("auto", "engine") and not any(route.provider == "engine" for route in verified):
        for line in other_modes(bundle, device):
            logger.warning(f"engines are not used: {line}")
    if (best := fastest(left, verified, answers)) is not None:
        return best
    runs = [route for route in left if route.provider != "engine" or engine_failure(bundle, route.precision, device) is None]
    if provider != "auto":
        unverified = [route for route in runs if route.provider == provider] or [route for route in left if route.provider == provider]
    else:  # engines where there is no ONNX Runtime
        engines = [] if find_spec("onnxruntime") else [route for route in runs if route.provider == "engine"]
        unverified = engines or [route for route in left if route.provider == "cpu"]
    if not unverified:
        reasons = "; ".join(f"{route.name}: {record[route.name]['reason']}" for route in failed) or "no precision passed its gate"
        raise BundleError(f"{bundle.folder}: nothing to run ({reasons}); export or build it again, then wsra verify")
    return unverified[0]


def choose_for_pictures(bundle: Bundle, device: Device, settings: RunSettings, route: Route) -> tuple[Route, float | None]:
    """The route of the image encoder or the detector: with the provider "auto" the fastest on pictures that passed `wsra verify` here.

    Args:
        bundle: an open bundle.
        device: this machine.
        settings: the precision and the provider that were asked for.
        route: that of the sentences, which is taken where a provider is named or no route was timed on pictures.

    Returns:
        The route, and its milliseconds per picture; None where these did not decide.
    """
    if settings.provider != "auto":
        return route, None
    measured = picture_ms(read_record(bundle, device))
    precisions = [name for name in sorted(bundle.passed(), key=PRECISIONS.index) if settings.precision in ("auto", name)]
    routes = [Route(name, way) for name in precisions for way in EVERY_PROVIDER]
    best = fastest(routes, {one: Times(None, measured[one.name]) for one in routes if one.name in measured}, inf)
    return (route, None) if best is None else (best, measured[best.name])
