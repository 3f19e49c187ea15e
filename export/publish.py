"""Export a checkpoint as a bundle: make and check each precision, keep what fails as `.rejected`, and publish the folder in one step."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wsra.export.base import base_bundle, carry_encoder, trained_source
from wsra.export.detector import carry_detector
from wsra.export.precisions import Calibration, PrecisionReport, check_fp32, make_fp16, make_int8, observed_graphs
from wsra.export.tensorrt.build import build_bundle
from wsra.export.vocabulary import carry_vocabulary
from wsra.runtime.backends.libraries import find_library
from wsra.runtime.backends.records import read_record, write_record
from wsra.runtime.backends.routes import Route
from wsra.runtime.device import Device, this_device
from wsra.runtime.errors import BundleError, ConfigError, ExportError, OutputError
from wsra.runtime.files.locks import locked
from wsra.runtime.files.writing import replacing_folder, sha256_of
from wsra.runtime.formats.annotations import read_captions
from wsra.runtime.formats.bundle import (
    GOLDEN,
    MANIFEST,
    REJECTED,
    Bundle,
    Manifest,
    is_sealed,
    open_bundle,
    read_manifest,
    reject,
    sealed_files,
    write_manifest,
)
from wsra.runtime.formats.presence import Source
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.verification.golden import Golden, read_golden
from wsra.runtime.verification.verify import time_routes, verify_bundle
from wsra.train.checkpoint import MODEL, load_checkpoint
from wsra.train.config import OWN_SCORER
from wsra.train.text import load_encoder

logger = logging.getLogger(__name__)


def newest_checkpoint(runs: Path) -> Path:
    """The folder of the newest checkpoint under `runs/`.

    Raises:
        ConfigError: there is no checkpoint.
    """
    found = sorted(runs.glob(f"*/{MODEL}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigError(f"no checkpoint under {runs}/; train one with wsra train RUN.toml, or name its folder")
    return found[-1].parent


@dataclass(frozen=True)
class ExportOptions:
    """What a bundle holds besides FP32.

    Attributes:
        fp16: add FP16 graphs.
        int8: add INT8 graphs, in which some products stay in FP16.
        calibration: where INT8 ranges come from.
        engine: compile every graph with the installed TensorRT.
        overwrite: replace a bundle of other weights.
        upper_bound: accept weights that were trained with spans.
        scorer: `training.scorer` of the checkpoint, if it is not wsra's own; naming it runs its code.
    """

    fp16: bool = False
    int8: bool = False
    calibration: Calibration = field(default_factory=Calibration)
    engine: bool = False
    overwrite: bool = False
    upper_bound: bool = False
    scorer: str = OWN_SCORER


def export_bundle(
    checkpoint_folder: Path,
    out: Path,
    options: ExportOptions = ExportOptions(),
    *,
    encoder: Path | None = None,
    detector: Path | None = None,
    captions_of: Source = "captions",
    progress: Progress = unseen,
) -> Manifest:
    """Export a checkpoint as a bundle.

    Args:
        checkpoint_folder: a checkpoint of `wsra train`. Its validation captions and features calibrate theta and become golden data; the
            words of its training captions become the bundle's vocabulary.
        out: folder for the bundle. If it holds a bundle of the same checkpoint, only what is missing is added.
        options: what the bundle holds besides FP32.
        encoder: folder of the image encoder that made the features, for the bundle to carry.
        detector: folder of the detector that found the objects in the features, for the bundle to carry.
        captions_of: what its validation captions are: of videos, or of rendered scenes.
        progress: see `publish`.

    Raises:
        WsraError: see `publish`.
    """
    sha256 = sha256_of(checkpoint_folder / MODEL) if (checkpoint_folder / MODEL).is_file() else ""
    checkpoint = load_checkpoint(checkpoint_folder, scorer=options.scorer)
    if checkpoint.upper_bound:
        if not options.upper_bound:
            raise ConfigError(
                f"{checkpoint_folder}: was trained with the spans of its captions, an upper bound and not a model to use; export another"
                " checkpoint, or this one with --upper-bound"
            )
        logger.warning("this bundle is an upper bound: its scorer was trained with the spans of its captions")

    def base(part: Path) -> tuple[Bundle, Golden]:
        encode = load_encoder(checkpoint.run.text.encoder, checkpoint.run.text.pooling)
        source = trained_source(checkpoint, encode, sha256, captions_of)
        carry_vocabulary(checkpoint, part)
        if detector is not None:
            carry_detector(source, detector, part)
        return base_bundle(part, carry_encoder(source, encoder, part) if encoder else source)

    return publish(out, sha256, base, options, progress)


def publish(
    out: Path, sha256: str, base: Callable[[Path], tuple[Bundle, Golden]], options: ExportOptions, progress: Progress = unseen
) -> Manifest:
    """Make a bundle in a temporary folder, put each precision through the gates, and move the bundle into place.

    Args:
        out: folder for the bundle. If it holds a bundle of the same weights, only what is missing is added.
        sha256: digest of the weights.
        base: writes what every bundle has into a folder.
        options: what the bundle holds besides FP32.
        progress: called with what is counted (products of INT8, steps of an engine's build), how many are done, and how many there are.

    Raises:
        OutputError: `out` holds something else, or another process is writing it.
        ConfigError: the checkpoint, its encoder or the calibration options cannot be used.
        DataError: the calibration data cannot be used.
        ExportError: FP32 fails a gate, so nothing is published; or another precision fails one and is kept as `.rejected`, while the
            precisions that passed are published.
    """
    calibration = options.calibration
    if (calibration.captions is None) != (calibration.features is None):
        raise ConfigError("calibration needs both captions and the folder of their features: give --calib and --features")
    if calibration.captions is not None:
        read_captions(calibration.captions)  # so that a bad file fails now, not after the work
    if options.engine:
        find_library(gpu=this_device().gpu is not None)
    with locked(out):
        return _make_and_publish(out, base, options, _existing(out, sha256, overwrite=options.overwrite), progress)


def _make_and_publish(
    out: Path, base: Callable[[Path], tuple[Bundle, Golden]], options: ExportOptions, before: Manifest | None, progress: Progress
) -> Manifest:
    device, calibration = this_device(), options.calibration
    record: dict[str, dict[str, Any]] = {}
    made: dict[str, PrecisionReport] = {}
    with replacing_folder(out) as part:
        if before is not None and "fp32" not in _passed(before):
            reason = before.precisions.get("fp32", {}).get("reason")
            logger.info(f"{out}: fp32 failed its gate there ({reason}); everything is exported again")
            before = None
        if before is None:
            bundle, golden = base(part)
            bundle, made["fp32"] = check_fp32(bundle, device, golden)
            if not made["fp32"].passed:
                raise ExportError(f"fp32 fails its gate: {made['fp32'].reason}; nothing is published")
        else:
            logger.info(f"{out} holds a bundle of these weights; what is missing is added")
            shutil.copytree(out, part, dirs_exist_ok=True)
            bundle, golden = Bundle(part, before), read_golden(part / GOLDEN)
            record = read_record(bundle, device)
        fp16, int8 = options.fp16 and "fp16" not in bundle.passed(), options.int8 and _needs_int8(bundle, calibration)
        observed = observed_graphs(bundle, golden) if fp16 or int8 else None
        if fp16 and observed is not None:
            bundle, made["fp16"] = make_fp16(bundle, device, golden, observed)
        if int8 and observed is not None:
            bundle, made["int8"] = make_int8(bundle, device, golden, observed, calibration, progress)
        passed = {name: report.to_json() for name, report in made.items() if report.passed}
        manifest = _finish(bundle, device, golden, record | passed)  # where a new INT8 failed, the record of the earlier one stays
        if options.engine:
            build_bundle(part, None, progress=progress)
    if options.engine and device.gpu is not None:
        verify_bundle(out, provider="engine")
    failed = {name: report.reason for name, report in made.items() if not report.passed}
    if failed:
        reasons = "; ".join(f"{name} fails its gate ({reason})" for name, reason in failed.items())
        kept = ", ".join(f"{out / name}{REJECTED}" for name in failed)
        raise ExportError(f"{reasons}; kept as {kept}, while {', '.join(_passed(manifest))} can be used")
    return manifest


def _passed(manifest: Manifest) -> list[str]:
    return [name for name, entry in manifest.precisions.items() if entry["passed"]]


def _needs_int8(bundle: Bundle, calibration: Calibration) -> bool:
    """Whether INT8 must be made: it is missing, or is to be calibrated on other data or by another method."""
    if "int8" not in bundle.passed() or calibration.captions is not None:
        return True
    return bool((bundle.manifest.precisions["int8"].get("quantization") or {}).get("ranges") != calibration.method)


def _existing(out: Path, weights_sha256: str, *, overwrite: bool) -> Manifest | None:
    """The manifest of the bundle of the same weights at `out`; None if `out` is free, or is to be replaced.

    Raises:
        OutputError: `out` holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / MANIFEST).is_file():
        raise OutputError(f"{out}: exists and is not a bundle; choose another place with -o")
    try:
        manifest = read_manifest(out) if overwrite else open_bundle(out).manifest
    except BundleError as err:
        raise OutputError(f"{err}; nothing is added to it: move it away or choose another place with -o") from err
    failed = [name for name, entry in manifest.precisions.items() if not entry["passed"]]  # their folders may not have been renamed yet
    sealed = (path.relative_to(out) for path in out.rglob("*") if is_sealed(path, out))
    strangers = [path for path in sealed if path.as_posix() not in manifest.files and path.parts[0] not in failed]
    if strangers:
        raise OutputError(f"{out}: holds {strangers[0]}, which is not part of the bundle and would be lost; move it away first")
    if overwrite:
        return None
    if manifest.checkpoint_sha256 != weights_sha256:
        raise OutputError(f"{out}: holds a bundle of another checkpoint; choose another place with -o or replace it with --overwrite")
    return manifest


def _finish(bundle: Bundle, device: Device, golden: Golden, record: dict[str, dict[str, Any]]) -> Manifest:
    """Rename what failed to `.rejected`, write the manifest, time what passed, and write the record of this device."""
    bundle = Bundle(bundle.folder, replace(bundle.manifest, files=sealed_files(bundle.folder)))
    for name, entry in bundle.manifest.precisions.items():
        if not entry["passed"] and (bundle.folder / name).is_dir():
            bundle = reject(bundle, name, str(entry.get("reason")))
    write_manifest(bundle.folder, bundle.manifest)
    open_bundle(bundle.folder)
    fresh = {name: dict(entry) for name, entry in record.items() if entry["provider_asked"] == "cpu" and name in bundle.passed()}
    times_ms, failures = time_routes(bundle, device, [Route(name, "cpu") for name in fresh], golden)
    for name, time_ms in times_ms.items():
        fresh[name]["ms_per_query"] = time_ms
    for name, failure in failures.items():
        fresh[name] |= {"passed": False, "ran": False, "reason": failure}
    write_record(bundle, device, fresh)
    return bundle.manifest
