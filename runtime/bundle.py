"""The bundle: a folder that a device can run, described and sealed by its manifest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from wsra.runtime.digests import Digests
from wsra.runtime.errors import BundleError
from wsra.runtime.files import replacing, sha256_of

FORMAT, VERSION = "wsra.bundle", 2
MANIFEST, TOKENIZER, GOLDEN, SCORER = "manifest.json", "tokenizer.json", "golden.safetensors", "scorer.safetensors"
GRAPHS = ("text", "keys", "scorer")  # that grounding runs
PRECISIONS = ("fp32", "fp16", "int8")
REJECTED = ".rejected"
UNSEALED = ("engines", "verified")  # folders that belong to a device, not to the bundle
SpanPlan = Literal["maximal", "seconds", "relative", "segments"]
SpanScore = Literal["additive", "pooled"]
ScorerKind = Literal["trained", "cosine"]


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        wsra: version of wsra that wrote it.
        checkpoint_sha256: of the weights it was made from.
        scorer: "trained", or "cosine" between the towers of a zero-shot bundle.
        feature_width: Dv.
        text_width: Dt.
        key_width: H.
        backbone: what must have made the features.
        snippet_s: length of a snippet in seconds.
        plan: default window plan.
        span_score: "additive" over snippets, or "pooled" (the paper).
        theta: logit at which a snippet speaks neither for nor against.
        text: encoder name, pooling and longest sentence in tokens.
        tensors: graph -> inputs and outputs with dtype and shape.
        profiles: graph -> ranges of shapes that engines are built for: input -> smallest, usual and largest shape.
        precisions: precision -> what its gate measured when it was made, `passed` and, where it failed, the reason.
        versions: tools that made it.
        files: path in the bundle -> sha256; everything but the manifest and what belongs to a device.
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
    text: dict[str, Any]
    tensors: dict[str, dict[str, dict[str, list[Any]]]]
    profiles: dict[str, list[dict[str, list[list[int]]]]]
    precisions: dict[str, dict[str, Any]]
    versions: dict[str, str]
    files: dict[str, str]

    def dumps(self) -> str:
        """JSON with a seal: the digest of everything else, so that no byte can change unseen."""
        body = {"format": FORMAT, "version": VERSION, **asdict(self)}
        seal = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        return json.dumps({**body, "seal": seal}, indent=1) + "\n"


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
        """Names of its graphs: those that grounding runs, and "image" where it carries the encoder of its features."""
        return tuple(self.manifest.tensors)

    def passed(self) -> list[str]:
        """Precisions that passed their gate."""
        return [name for name, entry in self.manifest.precisions.items() if entry.get("passed")]

    def check(self, precision: str) -> None:
        """Refuse a precision that cannot be run.

        Raises:
            BundleError: the bundle lacks it, or it failed its gate.
        """
        entry = self.manifest.precisions.get(precision)
        if entry is None:
            raise BundleError(f"{self.folder}: no precision {precision}; it has {', '.join(self.passed())}: choose one of these")
        if not entry.get("passed"):
            raise BundleError(
                f"{self.folder}: {precision} failed its gate ({entry.get('reason')}); choose one of {', '.join(self.passed())}"
            )


def default_bundle(given: Path | None) -> Path:
    """The bundle to use: the given one, else $WSRA_BUNDLE, else ./bundle."""
    return given or Path(os.environ.get("WSRA_BUNDLE") or "bundle")


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest alone.

    Raises:
        BundleError: it is missing, foreign, of another version or changed.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(
            f"{folder}: no bundle there (no {MANIFEST}); expected a folder written by wsra export: give it with -b or set WSRA_BUNDLE"
        )
    try:
        text = path.read_text(encoding="utf-8")
        table = json.loads(text)
        version, form = table.pop("version"), table.pop("format")
        table.pop("seal")
        manifest = Manifest(**table) if (form, version) == (FORMAT, VERSION) else None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as err:
        raise BundleError(f"{path}: damaged, it is not the manifest that was written ({err}); copy or export the bundle again") from err
    if manifest is None:
        raise BundleError(f"{path}: {form} version {version}; this wsra reads {FORMAT} version {VERSION}: export the bundle again")
    if manifest.dumps() != text:
        raise BundleError(f"{path}: changed after it was written (its seal does not fit); copy or export the bundle again")
    return manifest


def open_bundle(folder: Path, *, trust_unchanged: bool = False) -> Bundle:
    """Open a bundle and check every file against its digest.

    Args:
        folder: of the bundle.
        trust_unchanged: do not read files again whose size and time of change are those of the last check.

    Raises:
        BundleError: the bundle or a file of it is missing or changed.
    """
    manifest = read_manifest(folder)
    digests = Digests(folder, trust=trust_unchanged)
    for name, digest in manifest.files.items():
        if not (folder / name).is_file():
            raise BundleError(f"{folder}: {name} is missing; copy or export the bundle again")
        if digests.of(name) != digest:
            raise BundleError(f"{folder}: {name} changed after it was written (sha256 differs); copy or export the bundle again")
    return Bundle(folder, manifest)


def sealed_files(folder: Path) -> dict[str, str]:
    """Digest of every file that the manifest seals."""
    paths = (path for path in sorted(folder.rglob("*")) if is_sealed(path, folder))
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


def is_sealed(path: Path, folder: Path) -> bool:
    """Whether the manifest holds the digest of a path under `folder`."""
    first = path.relative_to(folder).parts[0]
    return path.is_file() and first not in UNSEALED and not first.endswith(REJECTED) and path.name != MANIFEST


def reject(bundle: Bundle, precision: str, reason: str) -> Bundle:
    """Take a precision that failed its gate out of a bundle; its folder is kept as `.rejected`.

    Raises:
        OutputError: the bundle cannot be written.
    """
    manifest = bundle.manifest
    entry = {**manifest.precisions.get(precision, {}), "passed": False, "reason": reason}
    files = {name: digest for name, digest in manifest.files.items() if not name.startswith(f"{precision}/")}
    changed = Bundle(bundle.folder, replace(manifest, precisions={**manifest.precisions, precision: entry}, files=files))
    write_manifest(bundle.folder, changed.manifest)  # first: a folder that is left over by an interruption is not used
    rejected = bundle.folder / f"{precision}{REJECTED}"
    shutil.rmtree(rejected, ignore_errors=True)
    os.replace(bundle.folder / precision, rejected)
    return changed


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest last: it makes the folder a bundle."""
    with replacing(folder / MANIFEST, durable=True) as part:
        part.write_text(manifest.dumps(), encoding="utf-8")
