"""A checkpoint becomes a bundle: each precision through both gates, what fails kept as `.rejected`, published whole or not at all."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from wsra.export.base import base_bundle, carry_encoder, trained_source
from wsra.export.detector import carry_detector
from wsra.export.precisions import Calibration, Entry, gated, make_fp16, make_int8
from wsra.export.tensorrt.build import build_bundle
from wsra.runtime.backends.routes import Route, read_record, write_record
from wsra.runtime.backends.trt import find_library
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
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.verification.golden import Golden, read_golden
from wsra.runtime.verification.verify import time_routes, verify_bundle
from wsra.train.checkpoint import MODEL, load_checkpoint
from wsra.train.text import load_encoder

logger = logging.getLogger(__name__)


def newest_checkpoint(runs: Path) -> Path:
    """The checkpoint under `runs/` that was written last.

    Raises:
        ConfigError: there is none.
    """
    found = sorted(runs.glob(f"*/{MODEL}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigError(f"no checkpoint under {runs}/; train one with wsra train RUN.toml, or name its folder")
    return found[-1].parent


@dataclass(frozen=True)
class Wanted:
    """What a bundle shall hold beside FP32.

    Attributes:
        fp16: half precision.
        int8: INT8, mixed with half precision.
        calibration: where INT8 ranges come from.
        engine: every graph compiled with the installed TensorRT.
        overwrite: replace a bundle of other weights.
    """

    fp16: bool = False
    int8: bool = False
    calibration: Calibration = field(default_factory=Calibration)
    engine: bool = False
    overwrite: bool = False


def export_bundle(
    checkpoint_folder: Path,
    out: Path,
    wanted: Wanted = Wanted(),
    *,
    encoder: Path | None = None,
    detector: Path | None = None,
    progress: Progress = unseen,
) -> Manifest:
    """Export a checkpoint.

    Args:
        checkpoint_folder: of `wsra train`; its validation captions and features calibrate theta and become golden data.
        out: the bundle. If it holds a bundle of the same checkpoint, what is missing is added.
        wanted: what it shall hold beside FP32.
        encoder: folder of the image encoder that made the features, which the bundle then carries.
        detector: folder of the detector whose objects they are of, which the bundle then carries.
        progress: see `publish`.

    Raises:
        WsraError: see `publish`.
    """
    sha256 = sha256_of(checkpoint_folder / MODEL) if (checkpoint_folder / MODEL).is_file() else ""
    checkpoint = load_checkpoint(checkpoint_folder)

    def base(part: Path) -> tuple[Bundle, Golden]:
        source = trained_source(checkpoint, load_encoder(checkpoint.run.text.encoder, checkpoint.run.text.pooling), sha256)
        if detector is not None:
            carry_detector(source, detector, part)
        return base_bundle(part, carry_encoder(source, encoder, part) if encoder else source)

    return publish(out, sha256, base, wanted, progress)


def publish(out: Path, sha256: str, base: Callable[[Path], tuple[Bundle, Golden]], wanted: Wanted, progress: Progress = unseen) -> Manifest:
    """Make a bundle, put each precision through the gates, and give it its name.

    Args:
        out: the bundle. If it holds a bundle of the same weights, what is missing is added.
        sha256: of the weights.
        base: fills a folder with what every bundle has.
        wanted: what it shall hold beside FP32.
        progress: called with what is counted (products of INT8, steps of an engine's build), how many are done, and how many there are.

    Raises:
        OutputError: `out` holds something else, or another process is writing it.
        ConfigError: the checkpoint, its encoder or the calibration cannot be used.
        DataError: calibration data cannot serve.
        ExportError: FP32 fails a gate, and nothing is published; or another precision does, and is kept as `.rejected` beside those
            that passed.
    """
    calibration = wanted.calibration
    if (calibration.captions is None) != (calibration.features is None):
        raise ConfigError("calibration needs both captions and the folder of their features: give --calib and --features")
    if calibration.captions is not None:
        read_captions(calibration.captions)  # before the work, not after it
    if wanted.engine:
        find_library(gpu=this_device().gpu is not None)
    with locked(out):
        return _published(out, base, wanted, _before(out, sha256, wanted.overwrite), progress)


def _published(
    out: Path, base: Callable[[Path], tuple[Bundle, Golden]], wanted: Wanted, before: Manifest | None, progress: Progress
) -> Manifest:
    device, calibration, made = this_device(), wanted.calibration, list[str]()
    with replacing_folder(out) as part:
        if before is not None and "fp32" not in _passed(before):
            reason = before.precisions.get("fp32", {}).get("reason")
            logger.info(f"{out}: fp32 failed its gate there ({reason}); all is exported anew")
            before = None
        if before is None:
            bundle, golden = base(part)
            bundle, entry = gated(bundle, device, "fp32", golden)
            if not entry["passed"]:
                raise ExportError(f"fp32 fails its gate: {entry['reason']}; nothing is published")
            record = {"fp32": entry}
        else:
            logger.info(f"{out} is of these weights; what is missing is added")
            shutil.copytree(out, part, dirs_exist_ok=True)
            bundle, golden = Bundle(part, before), read_golden(part / GOLDEN)
            record = read_record(bundle, device)
        if wanted.fp16 and "fp16" not in bundle.passed():
            bundle, record["fp16"] = make_fp16(bundle, device, golden)
            made.append("fp16")
        if wanted.int8 and _is_wanted(bundle, calibration):
            bundle, record["int8"] = make_int8(bundle, device, golden, calibration, progress)
            made.append("int8")
        manifest = _finish(bundle, device, golden, record)
        if wanted.engine:
            build_bundle(part, None, progress=progress)
    if wanted.engine and device.gpu is not None:
        verify_bundle(out, provider="engine")
    failed = [name for name in made if not record[name]["passed"]]
    if failed:
        reasons = "; ".join(f"{name} fails its gate ({record[name]['reason']})" for name in failed)
        kept = ", ".join(f"{out / name}{REJECTED}" for name in failed)
        raise ExportError(f"{reasons}; kept as {kept}, while {', '.join(_passed(manifest))} can be used")
    return manifest


def _passed(manifest: Manifest) -> list[str]:
    return [name for name, entry in manifest.precisions.items() if entry["passed"]]


def _is_wanted(bundle: Bundle, calibration: Calibration) -> bool:
    """Whether INT8 is to be made: it is missing, or other data or another method is asked for."""
    if "int8" not in bundle.passed() or calibration.captions is not None:
        return True
    return bool((bundle.manifest.precisions["int8"].get("quantization") or {}).get("ranges") != calibration.method)


def _before(out: Path, weights_sha256: str, overwrite: bool) -> Manifest | None:
    """The manifest of the bundle that stands at `out` and is of the same checkpoint."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / MANIFEST).is_file():
        raise OutputError(f"{out}: exists and is no bundle; choose another place with -o")
    try:
        manifest = read_manifest(out) if overwrite else open_bundle(out).manifest
    except BundleError as err:
        raise OutputError(f"{err}; nothing is added to it: move it away or choose another place with -o") from err
    failed = [name for name, entry in manifest.precisions.items() if not entry["passed"]]  # their folders may not be renamed yet
    sealed = (path.relative_to(out) for path in out.rglob("*") if is_sealed(path, out))
    strangers = [path for path in sealed if path.as_posix() not in manifest.files and path.parts[0] not in failed]
    if strangers:
        raise OutputError(f"{out}: holds {strangers[0]}, which is not of the bundle and would be lost; move it away first")
    if overwrite:
        return None
    if manifest.checkpoint_sha256 != weights_sha256:
        raise OutputError(f"{out}: a bundle of another checkpoint; choose another place with -o or replace it with --overwrite")
    return manifest


def _finish(bundle: Bundle, device: Device, golden: Golden, record: dict[str, Entry]) -> Manifest:
    """Set aside what failed, seal, time what passed, and keep the record of this device."""
    bundle = Bundle(bundle.folder, replace(bundle.manifest, files=sealed_files(bundle.folder)))
    for name, entry in bundle.manifest.precisions.items():
        if not entry["passed"] and (bundle.folder / name).is_dir():
            bundle = reject(bundle, name, str(entry.get("reason")))
    write_manifest(bundle.folder, bundle.manifest)
    open_bundle(bundle.folder)
    fresh = {name: dict(entry) for name, entry in record.items() if entry["provider_asked"] == "cpu" and name in bundle.passed()}
    for name, taken in time_routes(bundle, device, [Route(name, "cpu") for name in fresh], golden).items():
        fresh[name] |= {"passed": False, "ran": False, "reason": taken} if isinstance(taken, str) else {"ms_per_query": taken}
    write_record(bundle, device, fresh)
    return bundle.manifest
