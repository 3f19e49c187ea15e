"""The bundle: a folder that a device can run, described and sealed by its manifest."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from wsra.runtime.errors import BundleError
from wsra.runtime.files import replacing, sha256_of

FORMAT, VERSION = "wsra.bundle", 1
MANIFEST, TOKENIZER, GOLDEN, SCORER = "manifest.json", "tokenizer.json", "golden.safetensors", "scorer.safetensors"
GRAPHS = ("text", "keys", "scorer")
PRECISIONS = ("fp32", "fp16")
SpanPlan = Literal["maximal", "seconds", "relative", "segments"]
SpanScore = Literal["additive", "pooled"]


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        wsra: version of wsra that wrote it.
        checkpoint_sha256: of the weights it was made from.
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
        precisions: precision -> what was measured when it was made.
        versions: tools that made it.
        files: path in the bundle -> sha256; everything but manifest and engines.
    """

    wsra: str
    checkpoint_sha256: str
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

    def choose(self, precision: str) -> str:
        """Resolve "auto": FP32, which is the fastest on a CPU; other devices choose once engines are measured there.

        Raises:
            BundleError: the bundle has no such precision, or it failed its checks.
        """
        there = {name for name, entry in self.manifest.precisions.items() if entry.get("passed")}
        chosen = "fp32" if precision == "auto" else precision
        if chosen not in there:
            raise BundleError(f"{self.folder}: no precision {precision}; it has {', '.join(sorted(there))}: choose one of these")
        return chosen


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


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle and check every file against its digest.

    Raises:
        BundleError: the bundle or a file of it is missing or changed.
    """
    manifest = read_manifest(folder)
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{folder}: {name} is missing; copy or export the bundle again")
        if sha256_of(path) != digest:
            raise BundleError(f"{folder}: {name} changed after it was written (sha256 differs); copy or export the bundle again")
    return Bundle(folder, manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest last: it makes the folder a bundle."""
    with replacing(folder / MANIFEST) as part:
        part.write_text(manifest.dumps(), encoding="utf-8")
