"""Where evidence comes from: digests of videos, features and bundle, versions, and the command."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from wsra.runtime.archive.search import SearchResults
from wsra.runtime.errors import FeatureError
from wsra.runtime.evidence.exhibits import Source
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.writing import sha256_of
from wsra.runtime.formats.bundle import MANIFEST
from wsra.runtime.progress import Progress, unseen

_LIBRARIES = ("numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt", "av", "opencv-python-headless")


@dataclass(frozen=True)
class SourceDigests:
    """SHA-256 digests of a video of the answer.

    Attributes:
        video: its name.
        video_sha256: of the video; None where it is not here.
        recorded_sha256: of the video from which the features were made, as they record it; None where they record none.
        feat: name of the .feat file.
        feat_sha256: of the .feat file.
        backbone: what made the features.
    """

    video: str
    video_sha256: str | None
    recorded_sha256: str | None
    feat: str
    feat_sha256: str
    backbone: str


@dataclass(frozen=True)
class Provenance:
    """What made an answer.

    Attributes:
        made: when, ISO 8601 in UTC.
        command: the command line.
        wsra: version.
        versions: of Python and the libraries that are installed.
        bundle: its folder.
        bundle_sha256: of the manifest, which seals every file of the bundle by its digest.
        precision: of the graphs.
        provider: what ran them.
        device: "cpu" or the name of the GPU.
        kernel: what scored.
        sources: by .feat file.
    """

    made: str
    command: str
    wsra: str
    versions: dict[str, str]
    bundle: str
    bundle_sha256: str
    precision: str
    provider: str
    device: str
    kernel: str
    sources: dict[Path, SourceDigests]


def provenance_of(found: SearchResults, sources: Iterable[Source], command: Sequence[str], *, progress: Progress = unseen) -> Provenance:
    """Digest what an answer rests on; every byte of the videos is read.

    Args:
        found: the answer.
        sources: the videos.
        command: the words of the command line.
        progress: called with "MB" of each file that is digested.

    Raises:
        FeatureError: a file cannot be read to its end.
    """
    ran = found.ran
    digests = {source.feat: _digests(source, progress) for source in sources}
    return Provenance(
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=shlex.join(command),
        wsra=importlib.metadata.version("wsra"),
        versions=_versions(),
        bundle=str(ran.bundle),
        bundle_sha256=_digest(ran.bundle / MANIFEST, progress),
        precision=ran.precision,
        provider=ran.provider,
        device=ran.device,
        kernel=ran.kernel,
        sources=digests,
    )


def _digests(source: Source, progress: Progress) -> SourceDigests:
    video = None if source.file is None else _digest(source.file, progress)
    features = source.features
    recorded = features.extra.get("source_sha256") or None
    return SourceDigests(source.video, video, recorded, source.feat.name, _digest(source.feat, progress), features.backbone)


def _digest(path: Path, progress: Progress) -> str:
    with one_file(path, FeatureError):
        total = path.stat().st_size / 1e6
        return sha256_of(path, lambda done: progress("MB", done / 1e6, total))


def _versions() -> dict[str, str]:
    versions = {"Python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
