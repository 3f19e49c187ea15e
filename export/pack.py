"""A checkpoint becomes a bundle: graphs, checks, golden data and a sealed manifest; nothing is published that fails a check."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from torch import Tensor

from wsra.calib.threshold import calibrate_theta
from wsra.export.engine import Shapes, engine_from_onnx, find_library
from wsra.export.golden import Golden, choose_golden, write_golden
from wsra.export.graphs import graphs_of
from wsra.export.half import fp16_from_onnx
from wsra.export.onnx import onnx_from_graph
from wsra.export.parity import Edges, TorchBackend, grounder_of, load_graphs, moment_agreement, tensor_errors
from wsra.runtime.backends.protocol import TensorSpec
from wsra.runtime.bundle import (
    GOLDEN,
    GRAPHS,
    MANIFEST,
    SCORER,
    TOKENIZER,
    Manifest,
    open_bundle,
    read_manifest,
    write_manifest,
)
from wsra.runtime.errors import ConfigError, ExportError, OutputError
from wsra.runtime.files import replacing, sha256_of
from wsra.runtime.score import CHUNK
from wsra.train.checkpoint import MODEL, Checkpoint, load_checkpoint
from wsra.train.data import CaptionedVideos, load
from wsra.train.model import Scorer
from wsra.train.text import TextEncoder, load_encoder

Say = Callable[[str], None]
MOST_QUERIES = 8  # sentences per call of an engine
USUAL_TOKENS = 16


def newest_checkpoint(runs: Path) -> Path:
    """The checkpoint under `runs/` that was written last.

    Raises:
        ConfigError: there is none.
    """
    found = sorted(runs.glob(f"*/{MODEL}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigError(f"no checkpoint under {runs}/; train one with wsra train RUN.toml, or name its folder")
    return found[-1].parent


def export_bundle(
    checkpoint_folder: Path,
    out: Path,
    *,
    fp16: bool = False,
    engine: bool = False,
    overwrite: bool = False,
    say: Say = print,
) -> Manifest:
    """Export a checkpoint.

    Args:
        checkpoint_folder: of `wsra train`; its validation captions and features calibrate theta and become golden data.
        out: the bundle. If it holds a bundle of the same checkpoint, what is missing is added.
        fp16: also half precision.
        engine: also compile every graph with the installed TensorRT.
        overwrite: replace a bundle of another checkpoint.
        say: told each step.

    Raises:
        OutputError: `out` holds something else.
        ConfigError: the checkpoint or its encoder cannot be used.
        ExportError: a graph cannot be made or fails a check; then nothing is published.
    """
    checkpoint = load_checkpoint(checkpoint_folder)
    weights_sha256 = sha256_of(checkpoint_folder / MODEL)
    before = _before(out, weights_sha256, overwrite)
    precisions = ["fp32", *(["fp16"] if fp16 or (before and "fp16" in before.precisions) else [])]
    if engine:
        find_library()  # before the work, not after it
    encoder = load_encoder(checkpoint.run.text.encoder, checkpoint.run.text.pooling)
    with replacing(out) as part:
        part.mkdir()
        manifest = _fill(part, checkpoint, encoder, weights_sha256, precisions, say)
        if before is not None:
            _keep_engines(out, part)
        if engine:
            for precision in precisions:
                _engines(part, precision, manifest, say)
        write_manifest(part, manifest)
        open_bundle(part)
    return manifest


def _before(out: Path, weights_sha256: str, overwrite: bool) -> Manifest | None:
    """The manifest of the bundle that stands at `out` and is of the same checkpoint."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / MANIFEST).is_file():
        raise OutputError(f"{out}: exists and is no bundle; choose another place with -o")
    manifest = read_manifest(out)
    strangers = [p for p in out.rglob("*") if p.is_file() and _is_sealed(p, out) and p.relative_to(out).as_posix() not in manifest.files]
    if strangers:
        raise OutputError(f"{out}: holds {strangers[0].relative_to(out)}, which is not of the bundle and would be lost; move it away first")
    if overwrite:
        return None
    if manifest.checkpoint_sha256 != weights_sha256:
        raise OutputError(f"{out}: a bundle of another checkpoint; choose another place with -o or replace it with --overwrite")
    return manifest


def _keep_engines(before: Path, part: Path) -> None:
    """Take over the plans that were built from the very graphs that the new bundle has."""
    for sidecar in sorted(before.glob("engines/*/*/*.engine.json")):
        name = sidecar.name.removesuffix(".engine.json")
        graph = part / sidecar.parent.name / f"{name}.onnx"
        if graph.is_file() and json.loads(sidecar.read_text(encoding="utf-8"))["onnx_sha256"] == sha256_of(graph):
            target = part / sidecar.parent.relative_to(before)
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(sidecar, target)
            shutil.copy2(sidecar.with_name(f"{name}.plan"), target)


def _fill(part: Path, checkpoint: Checkpoint, encoder: TextEncoder, weights_sha256: str, precisions: list[str], say: Say) -> Manifest:
    run, scorer = checkpoint.run, checkpoint.scorer
    say("choosing golden data from the validation captions")
    data = load(Path(run.data.val_captions), Path(run.data.features), seen_as="snippets")
    golden = choose_golden(data)
    write_golden(part / GOLDEN, golden, scorer, encoder)
    save_file({name: value.numpy() for name, value in scorer.state_dict().items()}, part / SCORER)
    encoder.tokenizer.backend_tokenizer.save(str(part / TOKENIZER))
    graphs = graphs_of(scorer, encoder)
    pooled = run.data.seen_as == "windows"
    tensors = {graph.name: {"inputs": _told(TorchBackend(graph).inputs), "outputs": _told(TorchBackend(graph).outputs)} for graph in graphs}
    manifest = Manifest(
        wsra=importlib.metadata.version("wsra"),
        checkpoint_sha256=weights_sha256,
        feature_width=scorer.feature_width,
        text_width=scorer.text_width,
        key_width=scorer.key_width,
        backbone=checkpoint.backbone,
        snippet_s=checkpoint.snippet_s,
        plan="relative" if pooled else "maximal",
        span_score="pooled" if pooled else "additive",
        theta=0.0 if pooled else theta_of(scorer, data, encoder.encode([caption.query for caption in data.captions])),
        text={
            "encoder": encoder.name,
            "pooling": encoder.pooling,
            "max_tokens": encoder.max_tokens,
            "sha256": encoder.digest(),
        },
        tensors=tensors,
        precisions={},
        versions={library.__name__: str(library.__version__) for library in (torch, transformers, onnx, onnxruntime, np)},
        files={},
    )
    _check_tokens(part / TOKENIZER, golden, encoder)
    edges = _edges(golden, scorer, encoder)
    reference = grounder_of(manifest, part / TOKENIZER, {graph.name: TorchBackend(graph) for graph in graphs}, "torch")
    measured: dict[str, dict[str, Any]] = {}
    for precision in precisions:
        (part / precision).mkdir()
        say(f"exporting {precision}")
        for graph in graphs:
            path = part / precision / f"{graph.name}.onnx"
            if precision == "fp32":
                onnx_from_graph(graph, path)
            else:
                fp16_from_onnx(part / "fp32" / f"{graph.name}.onnx", path, name=graph.name)
        say(f"checking {precision} against PyTorch: tensors at the edges, then moments of {len(golden.sentences)} queries")
        backends = load_graphs(part, graphs, precision)
        errors = {graph.name: tensor_errors(graph, backends[graph.name], edges, precision) for graph in graphs}
        exported = grounder_of(manifest, part / TOKENIZER, backends, precision)
        moments = moment_agreement(reference, exported, golden, precision)
        measured[precision] = {"passed": True, "tensors": errors, "moments": moments}
    files = {path.relative_to(part).as_posix(): sha256_of(path) for path in sorted(part.rglob("*")) if _is_sealed(path, part)}
    return Manifest(**{**vars(manifest), "precisions": measured, "files": files})


def _check_tokens(tokenizer: Path, golden: Golden, encoder: TextEncoder) -> None:
    """The bundle's tokenizer must give the ids that training used."""
    stored = Tokenizer.from_file(str(tokenizer))
    stored.no_padding()
    stored.no_truncation()
    for sentence in golden.sentences:
        expected, got = encoder.tokenizer(sentence)["input_ids"], stored.encode(sentence).ids
        if expected != got:
            raise ExportError(
                f"the stored tokenizer gives {got} for {sentence!r}; training used {expected}: the encoder cannot be exported"
            )


def _told(specs: Mapping[str, TensorSpec]) -> dict[str, list[Any]]:
    return {name: [spec.dtype, list(spec.shape)] for name, spec in specs.items()}


def _is_sealed(path: Path, folder: Path) -> bool:
    return path.is_file() and path.relative_to(folder).parts[0] != "engines" and path.name != MANIFEST


@torch.no_grad()
def theta_of(scorer: Scorer, data: CaptionedVideos, text: Tensor) -> float:
    """Calibrate theta on captioned videos with the vectors of their captions (captions, Dt)."""
    keys = [scorer.keys(values) for values in data.values]
    curves = [scorer.logits(keys[int(video)], row[None]).numpy() for video, row in zip(data.video_of, text, strict=True)]
    return calibrate_theta(curves)


@torch.no_grad()
def _edges(golden: Golden, scorer: Scorer, encoder: TextEncoder) -> Edges:
    features = np.concatenate([video.values for video in golden.videos]).astype(np.float32)
    keys: np.ndarray[Any, np.dtype[np.float32]] = scorer.keys(torch.from_numpy(features)).numpy()
    sentences = golden.sentences[:64]
    ids = [encoder.tokenizer(sentence)["input_ids"] for sentence in sentences]
    return Edges(features, keys, encoder.encode(sentences).numpy(), ids, encoder.max_tokens)


def profiles_of(name: str, manifest: Manifest) -> dict[str, Shapes]:
    """Smallest, usual and largest shapes that `ground` feeds to a graph."""
    feature, text, key = manifest.feature_width, manifest.text_width, manifest.key_width
    longest = int(manifest.text["max_tokens"])
    tokens = ((1, 1), (1, min(USUAL_TOKENS, longest)), (MOST_QUERIES, longest))
    if name == "text":
        return {"input_ids": tokens, "attention_mask": tokens}
    if name == "keys":
        return {"features": ((1, feature), (CHUNK, feature), (CHUNK, feature))}
    return {"keys": ((1, key), (CHUNK, key), (CHUNK, key)), "text": ((1, text), (1, text), (MOST_QUERIES, text))}


def _engines(part: Path, precision: str, manifest: Manifest, say: Say) -> None:
    library = find_library()
    folder = part / "engines" / f"{library.__name__}-{library.__version__}" / precision
    for name in GRAPHS:
        say(f"compiling {precision} {name} with {library.__name__} {library.__version__}")
        engine_from_onnx(part / precision / f"{name}.onnx", folder / f"{name}.plan", profiles_of(name, manifest))
