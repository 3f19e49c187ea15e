"""Write what every bundle holds: the tokenizer, the scorer's weights, golden data, the FP32 graphs and the manifest."""

from __future__ import annotations

import importlib.metadata
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from tokenizers import Tokenizer

from wsra.export.graphs import AnyScorer, graphs_of
from wsra.export.onnx import onnx_from_graph
from wsra.export.pictures import scene_pixels
from wsra.export.presence_from_captions import UNFITTED, presence_of, reference_keys
from wsra.export.reference import TorchBackend, choose_golden, image_cases, torch_grounder, videos_of, with_answers
from wsra.export.tensorrt.profiles import IMAGES
from wsra.export.theta_from_captions import theta_of
from wsra.runtime.backbones.common.protocol import BACKBONE_JSON
from wsra.runtime.backbones.encoders.encoder_settings import read_settings
from wsra.runtime.backbones.encoders.onnx_backbone import encoder_id
from wsra.runtime.backbones.encoders.regions import REGIONS
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.backends.protocol import Arrays, Backend
from wsra.runtime.errors import ConfigError, ExportError
from wsra.runtime.files.tensors import write_tensors
from wsra.runtime.formats.bundle import GOLDEN, SCORER, TOKENIZER, Bundle, Manifest, ScorerKind, SpanPlan, SpanScore
from wsra.runtime.formats.presence import KEYS, REFERENCE, Source
from wsra.runtime.kernels.graph import CHUNK, MOST_QUERIES
from wsra.runtime.verification.golden import Golden, write_golden
from wsra.train.checkpoint import Checkpoint
from wsra.train.config import OWN_SCORER
from wsra.train.data import CaptionedVideos, load
from wsra.train.stored import SeenAs
from wsra.train.text import TextEncoder

logger = logging.getLogger(__name__)

SMALL = 256  # up to so many windows per call, engines have a profile of their own


@dataclass(frozen=True)
class BundleSource:
    """What a bundle is made of.

    Attributes:
        scorer: the trained scorer, or a cosine.
        kind: "trained", "custom" or "cosine".
        encoder: text encoder.
        data: captioned videos that become golden data.
        sha256: digest of the weights.
        backbone: id of the backbone that must extract the features.
        snippet_s: length of a snippet in seconds.
        plan: default window plan.
        span_score: "additive", "pooled" or "lives".
        theta: the logit at which a row counts neither for nor against a moment.
        image: the image encoder of the features, if the bundle carries one; its FP32 graph is in the folder already.
        images: preprocessed images to check the image encoder with, by the name of its input.
        captions_of: what the captions are that calibrate presence: "captions" of videos, or "rendered scenes".
    """

    scorer: AnyScorer
    kind: ScorerKind
    encoder: TextEncoder
    data: CaptionedVideos
    sha256: str
    backbone: str
    snippet_s: float
    plan: SpanPlan
    span_score: SpanScore
    theta: float
    image: Backend | None = None
    images: Arrays | None = None
    captions_of: Source = "captions"


def trained_source(checkpoint: Checkpoint, encoder: TextEncoder, sha256: str, captions_of: Source) -> BundleSource:
    """What the bundle of a checkpoint is made of. Golden data and theta come from its validation captions.

    Raises:
        DataError: the captions or features cannot be used.
    """
    run, scorer = checkpoint.run, checkpoint.scorer
    data = load(Path(run.data.val_captions), Path(run.data.features), seen_as="snippets")
    plan, span_score = _candidates(run.data.seen_as, of_objects=data.of_objects)
    pooled = span_score == "pooled"
    return BundleSource(
        scorer=scorer,
        kind="trained" if run.training.scorer == OWN_SCORER else "custom",
        encoder=encoder,
        data=data,
        sha256=sha256,
        backbone=checkpoint.backbone,
        snippet_s=checkpoint.snippet_s,
        plan=plan,
        span_score=span_score,
        theta=0.0 if pooled else theta_of(scorer, data, encoder.encode([caption.query for caption in data.captions])),
        captions_of=captions_of,
    )


def _candidates(seen_as: SeenAs, *, of_objects: bool) -> tuple[SpanPlan, SpanScore]:
    """How candidate spans are proposed and scored: lives of objects, peaks of snippets, or the paper's pooled windows."""
    if of_objects:
        return "tracks", "lives"
    plans: dict[SeenAs, tuple[SpanPlan, SpanScore]] = {
        "snippets": ("peaks", "additive"),
        "windows": ("relative", "pooled"),
        "segments": ("segments", "pooled"),
    }
    return plans[seen_as]


def carry_encoder(source: BundleSource, folder: Path, part: Path) -> BundleSource:
    """Copy the encoder of a checkpoint's features into its bundle, so that `ground` can take videos.

    Args:
        source: what the bundle is made of.
        folder: a folder with `backbone.json` and its graph, or a bundle that carries them.
        part: folder of the bundle.

    Returns:
        The source with the encoder.

    Raises:
        ConfigError: another encoder made the features.
    """
    settings = read_settings(folder / BACKBONE_JSON)
    made = [encoder_id(settings, regions, source.snippet_s) for regions in REGIONS]
    if source.backbone not in made:
        raise ConfigError(f"{folder}: makes features of {made[0]}, the checkpoint was trained on {source.backbone}; give that encoder")
    (part / "fp32").mkdir()
    graphs = [folder / place / settings.graph for place in ("", "fp32")]  # an encoder folder, or a bundle that carries the encoder
    shutil.copy2(next((graph for graph in graphs if graph.is_file()), graphs[0]), part / "fp32" / "image.onnx")
    replace(settings, graph="image.onnx").write(part / BACKBONE_JSON)
    image = OrtBackend(part / "fp32" / "image.onnx")
    return replace(source, image=image, images={settings.input: scene_pixels(settings, image.inputs[settings.input].dtype)})


def base_bundle(part: Path, source: BundleSource) -> tuple[Bundle, Golden]:
    """Write everything but FP16 and INT8. The manifest is returned, not written.

    Args:
        part: folder of the bundle.
        source: what the bundle is made of.

    Raises:
        DataError: there are too few captions, or the scorer does not discriminate.
        ExportError: a graph or the tokenizer cannot be exported.
    """
    scorer, encoder = source.scorer, source.encoder
    logger.info("choosing golden data")
    golden = choose_golden(source.data)
    write_tensors(part / SCORER, {name: value.numpy() for name, value in scorer.state_dict().items()}, {})
    encoder.tokenizer.backend_tokenizer.save(str(part / TOKENIZER))
    lengths = _check_tokens(part / TOKENIZER, golden.sentences + golden.calibration_sentences, encoder)
    graphs = graphs_of(scorer, encoder)
    image = {"image": source.image} if source.image else {}
    manifest = Manifest(
        wsra=importlib.metadata.version("wsra"),
        checkpoint_sha256=source.sha256,
        scorer=source.kind,
        feature_width=scorer.feature_width,
        text_width=scorer.text_width,
        key_width=scorer.key_width,
        backbone=source.backbone,
        snippet_s=source.snippet_s,
        plan=source.plan,
        span_score=source.span_score,
        theta=source.theta,
        presence=UNFITTED,
        text={
            "encoder": encoder.name,
            "pooling": encoder.pooling,
            "max_tokens": encoder.max_tokens,
            "sha256": encoder.digest(),
        },
        tensors={name: _tensors(backend) for name, backend in ({graph.name: TorchBackend(graph) for graph in graphs} | image).items()},
        profiles={
            **profiles_of(scorer, encoder, tokens=int(np.median(lengths)), rows=_usual_rows(golden)),
            **{name: [_image_profile(backend)] for name, backend in image.items()},
        },
        precisions={},
        versions={library.__name__: str(library.__version__) for library in (torch, transformers, onnx, onnxruntime, np)},
        files={},
    )
    logger.info("calibrating presence")
    videos = videos_of(source.data, range(len(source.data.values)))
    keys = reference_keys(scorer, videos)
    write_tensors(part / REFERENCE, {KEYS: keys}, {})
    sentences = [caption.query for caption in source.data.captions]
    presence = presence_of(
        torch_grounder(manifest, part / TOKENIZER, scorer, encoder, keys),
        videos,
        source.data.video_of.numpy(),
        sentences,
        encoder.encode(sentences).numpy(),
        source=source.captions_of,
    )
    manifest = replace(manifest, presence=presence)
    reference = torch_grounder(manifest, part / TOKENIZER, scorer, encoder, keys)
    golden = with_answers(golden, reference, scorer, encoder)
    if source.image is not None and source.images is not None:
        golden.edges["image"] = image_cases(source.image, source.images)
    write_golden(part / GOLDEN, golden)
    logger.info("exporting fp32")
    (part / "fp32").mkdir(exist_ok=True)
    for graph in graphs:
        onnx_from_graph(graph, part / "fp32" / f"{graph.name}.onnx")
    return Bundle(part, manifest), golden


def _usual_rows(golden: Golden) -> int:
    """Median number of rows of a video, at least one."""
    return max(1, int(np.median([len(video) for video in golden.videos])))


def _image_profile(backend: Backend) -> dict[str, list[list[int]]]:
    """Profile for images of one size, from one to 16 per call."""
    ((name, spec),) = backend.inputs.items()
    size = [int(axis) for axis in spec.shape[1:]]
    return {name: [[n, *size] for n in (1, IMAGES, IMAGES)]}


def profiles_of(scorer: AnyScorer, encoder: TextEncoder, *, tokens: int, rows: int) -> dict[str, list[dict[str, list[list[int]]]]]:
    """Optimisation profiles for engines: the shapes that `ground` feeds, optimised for those that are usual in the data.

    Args:
        scorer: gives the widths.
        encoder: gives the length of the longest sentence.
        tokens: usual length of a sentence.
        rows: usual number of rows of a video.

    Returns:
        Graph -> profiles: input -> smallest, usual and largest shape. Keys and scorer have two: one for short videos, and one for the
        chunks of long ones.
    """
    usual = min(rows, SMALL)
    sentence = [[1, 1], [1, tokens], [MOST_QUERIES, encoder.max_tokens]]
    windows = [[1, usual, SMALL], [SMALL, CHUNK, CHUNK]]
    text = [[n, scorer.text_width] for n in (1, 1, MOST_QUERIES)]
    return {
        "text": [{"input_ids": sentence, "attention_mask": sentence}],
        "keys": [{"features": [[n, scorer.feature_width] for n in counts]} for counts in windows],
        "scorer": [{"keys": [[n, scorer.key_width] for n in counts], "text": text} for counts in windows],
    }


def _check_tokens(tokenizer: Path, sentences: list[str], encoder: TextEncoder) -> list[int]:
    """Check that the bundle's tokenizer gives the token ids that training used.

    Returns:
        Number of tokens of each sentence.

    Raises:
        ExportError: the ids of a sentence differ.
    """
    stored = Tokenizer.from_file(str(tokenizer))
    stored.no_padding()
    stored.no_truncation()
    lengths = []
    for sentence in sentences:
        expected, got = encoder.tokenizer(sentence)["input_ids"], stored.encode(sentence).ids
        if expected != got:
            raise ExportError(
                f"the stored tokenizer gives {got} for {sentence!r}; training used {expected}: the encoder cannot be exported"
            )
        lengths.append(len(got))
    return lengths


def _tensors(backend: Backend) -> dict[str, dict[str, list[Any]]]:
    sides = {"inputs": backend.inputs, "outputs": backend.outputs}
    return {side: {name: [spec.dtype, list(spec.shape)] for name, spec in specs.items()} for side, specs in sides.items()}
