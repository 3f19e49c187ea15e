"""The bundle: a folder that a device can run, described and sealed by its manifest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from wsra.runtime.errors import BundleError, FeatureError
from wsra.runtime.files.digests import Digests
from wsra.runtime.files.typed import from_table, read_versioned
from wsra.runtime.files.writing import replacing, sha256_of
from wsra.runtime.formats.manifest_checks import GOLDEN, GRAPHS, MANIFEST, PRECISIONS, SCORER, TOKENIZER, check_manifest
from wsra.runtime.formats.presence import Presence

__all__ = ["GOLDEN", "GRAPHS", "MANIFEST", "PRECISIONS", "SCORER", "TOKENIZER"]  # in addition to what is defined here

FORMAT, VERSION = "wsra.bundle", 3
REJECTED = ".rejected"
UNSEALED = ("engines", "verified")  # folders that belong to a device, not to the bundle
SpanPlan = Literal["tracks", "peaks", "maximal", "seconds", "relative", "segments"]
SpanScore = Literal["additive", "pooled", "lives"]
ScorerKind = Literal["trained", "custom", "cosine"]


@dataclass(frozen=True)
class Manifest:
    """The manifest of a bundle.

    Attributes:
        wsra: version of wsra that wrote it.
        checkpoint_sha256: digest of the weights that it was made from.
        scorer: "trained"; "custom", trained but not wsra's own, which only its graph can score; or "cosine" between the towers of a
            zero-shot bundle.
        feature_width: Dv.
        text_width: Dt.
        key_width: H.
        backbone: id of the backbone that must have made the features.
        snippet_s: length of a snippet in seconds.
        plan: default window plan.
        span_score: "additive" over snippets, "pooled" (the paper), or "lives" of tracked objects.
        theta: logit at which a row is neither evidence for nor against the sentence.
        presence: what presence scores mean.
        text: name of the encoder, pooling and longest sentence in tokens.
        tensors: graph -> inputs and outputs with dtype and shape.
        profiles: graph -> ranges of shapes that engines are built for: input -> smallest, usual and largest shape.
        precisions: precision -> what its gate measured at export, `passed` and, if it failed, the reason.
        versions: versions of the tools that made it.
        files: path in the bundle -> sha256, of everything but the manifest and what belongs to a device.
    """

    wsra: str
    checkpoint_sha256: str
    scorer: ScorerKind
    feature_width: int
    text_width: int
    key_width: int
    backbone: str
    snippet_s: float
    plan: SpanPlan
    span_score: SpanScore
    theta: float
    presence: Presence
    text: dict[str, Any]
    tensors: dict[str, dict[str, dict[str, list[Any]]]]
    profiles: dict[str, list[dict[str, list[list[int]]]]]
    precisions: dict[str, dict[str, Any]]
    versions: dict[str, str]
    files: dict[str, str]

    def dumps(self) -> str:
        """JSON with a seal, the digest of everything else, so that no byte can change unnoticed."""
        body = {"format": FORMAT, "version": VERSION, **asdict(self)}
        seal = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        return json.dumps({**body, "seal": seal}, indent=1) + "\n"


class Made(Protocol):
    """Features, or what is said of them: the video that they are of, what made them, and how wide their rows are."""

    @property
    def video(self) -> str: ...
    @property
    def backbone(self) -> str: ...
    @property
    def width(self) -> int: ...


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its folder and its checked manifest."""

    folder: Path
    manifest: Manifest

    def graph(self, precision: str, name: str) -> Path:
        """Path of a graph."""
        return self.folder / precision / f"{name}.onnx"

    @property
    def graphs(self) -> tuple[str, ...]:
        """Names of its graphs: those that grounding runs, and "image" if it contains the encoder of its features."""
        return tuple(self.manifest.tensors)

    def passed(self) -> list[str]:
        """Precisions that passed their gate."""
        return [name for name, entry in self.manifest.precisions.items() if entry.get("passed")]

    def check(self, precision: str) -> None:
        """Refuse a precision that cannot be used.

        Raises:
            BundleError: the bundle lacks it, or it failed its gate.
        """
        entry = self.manifest.precisions.get(precision)
        if entry is None:
            raise BundleError(f"{self.folder}: no precision {precision}; choose one of {', '.join(self.passed())}")
        if not entry.get("passed"):
            raise BundleError(
                f"{self.folder}: {precision} failed its gate ({entry.get('reason')}); choose one of {', '.join(self.passed())}"
            )

    def check_features(self, features: Made) -> None:
        """Refuse features that another backbone made.

        Raises:
            FeatureError: backbone or width differ from the bundle's.
        """
        if features.backbone != self.manifest.backbone or features.width != self.manifest.feature_width:
            raise FeatureError(
                f"{features.video}: features of {features.backbone} ({features.width} wide); the bundle {self.folder} expects"
                f" {self.manifest.backbone} ({self.manifest.feature_width} wide): extract the video with that backbone"
            )


def default_bundle(given: Path | None) -> Path:
    """The bundle to use: the given one, else $WSRA_BUNDLE, else ./bundle."""
    return given or Path(os.environ.get("WSRA_BUNDLE") or "bundle")


def read_manifest(folder: Path) -> Manifest:
    """Read and check only the manifest.

    Raises:
        BundleError: the manifest is missing, foreign, of another version, changed, or has impossible values.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder}: no bundle there (no {MANIFEST}); expected a folder written by wsra export")
    again = "copy or export the bundle again"
    text, table = read_versioned(path, FORMAT, VERSION, hint=again)
    table.pop("seal", None)
    try:
        manifest = from_table(Manifest, table)
    except ValueError as err:
        raise BundleError(f"{path}: damaged, not the manifest that was written ({err}); {again}") from err
    if manifest.dumps() != text:
        raise BundleError(f"{path}: changed after it was written (its seal does not match); {again}")
    try:
        check_manifest(manifest)
    except ValueError as err:
        raise BundleError(f"{path}: {err}; export the bundle again") from err
    return manifest


def open_bundle(folder: Path, *, trust_unchanged: bool = False) -> Bundle:
    """Open a bundle and check every file against its digest; files whose names begin with a dot are ignored.

    Args:
        folder: folder of the bundle.
        trust_unchanged: whether to skip files whose size and modification time are unchanged since the last check.

    Raises:
        BundleError: the bundle or one of its files is missing or changed, a file is not in the manifest, or a link leads out of the folder.
    """
    manifest = read_manifest(folder)
    for path in _entries(folder, manifest):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"{folder}: {name} is a link out of the bundle; copy the bundle with the file itself")
        if is_sealed(path, folder) and name not in manifest.files:
            raise BundleError(f"{folder}: holds {name}, which is not in its manifest; move it away, or copy or export the bundle again")
    digests = Digests(folder, trust=trust_unchanged)
    for name, digest in manifest.files.items():
        if not (folder / name).is_file():
            raise BundleError(f"{folder}: {name} is missing; copy or export the bundle again")
        if digests.of(name) != digest:
            raise BundleError(f"{folder}: {name} changed after it was written (sha256 differs); copy or export the bundle again")
    return Bundle(folder, manifest)


def _entries(folder: Path, manifest: Manifest) -> Iterator[Path]:
    """The entries of a bundle, without hidden ones, rejected precisions, and those that a killed `reject` did not move yet."""
    failed = [name for name, entry in manifest.precisions.items() if not entry["passed"]]
    waiting = [folder]
    while waiting:
        for path in waiting.pop().iterdir():
            is_rejected = path.parent == folder and (path.name in failed or path.name.endswith(REJECTED))
            if is_rejected or path.name.startswith("."):
                continue
            yield path
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)


def sealed_files(folder: Path) -> dict[str, str]:
    """The digest of every file that the manifest covers."""
    paths = (path for path in sorted(folder.rglob("*")) if is_sealed(path, folder))
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


def is_sealed(path: Path, folder: Path) -> bool:
    """Whether the manifest must contain the digest of a path below `folder`."""
    first = path.relative_to(folder).parts[0]
    return path.is_file() and first not in UNSEALED and not first.endswith(REJECTED) and path.name != MANIFEST


def reject(bundle: Bundle, precision: str, reason: str) -> Bundle:
    """Remove a precision that failed its gate from a bundle; its folder is kept as `.rejected`.

    Raises:
        OutputError: the bundle cannot be written.
    """
    manifest = bundle.manifest
    entry = {**manifest.precisions.get(precision, {}), "passed": False, "reason": reason}
    files = {name: digest for name, digest in manifest.files.items() if not name.startswith(f"{precision}/")}
    changed = Bundle(bundle.folder, replace(manifest, precisions={**manifest.precisions, precision: entry}, files=files))
    write_manifest(bundle.folder, changed.manifest)  # first, so that a folder left over by an interruption is not used
    rejected = bundle.folder / f"{precision}{REJECTED}"
    shutil.rmtree(rejected, ignore_errors=True)
    os.replace(bundle.folder / precision, rejected)
    return changed


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest; it comes last, because it makes the folder a bundle."""
    with replacing(folder / MANIFEST, durable=True) as part:
        part.write_text(manifest.dumps(), encoding="utf-8")
