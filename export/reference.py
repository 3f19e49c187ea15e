"""PyTorch as the reference: its modules as a backend, and golden data with its outputs and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsra.export.graphs import AnyScorer, Graph, graphs_of, text_graph
from wsra.runtime.backends.protocol import Arrays, Backend, TensorSpec
from wsra.runtime.errors import DataError
from wsra.runtime.formats.bundle import Manifest
from wsra.runtime.formats.features import Features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.presence import FOUND
from wsra.runtime.grounding.scorer import SnippetScorer
from wsra.runtime.grounding.text import QueryEncoder
from wsra.runtime.kernels.graph import GraphKernel
from wsra.runtime.kernels.protocol import Keys
from wsra.runtime.verification.gates import first_moments
from wsra.runtime.verification.golden import Case, Golden, regular_videos
from wsra.train.data import CaptionedVideos
from wsra.train.stored import StoredFeatures
from wsra.train.text import TextEncoder

CHECK_SHARE = 0.75  # share of the videos and of the distinct sentences for checking; the rest is for calibration
PAIRS = 400  # largest number of pairs to check; also of sentences to check with, and of sentences to calibrate on
WINDOWS, SENTENCES = (1, 2, 21, 47, 255, 256, 257, 1024), (1, 3, 8, 1, 1, 2, 1, 2)  # of the edge cases; one profile of engines ends at 256
_TRIED = 3000  # pairs that PyTorch answers, to find enough in which it finds something


class TorchBackend:
    """A PyTorch module as a backend: the reference for the gates."""

    provider, device = "PyTorch", "cpu"

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        kinds = {torch.float32: "float32", torch.int64: "int64", torch.uint8: "uint8"}
        self.inputs = {
            name: TensorSpec(kinds[tensor.dtype], tuple(axes.get(i, int(n)) for i, n in enumerate(tensor.shape)))
            for (name, axes), tensor in zip(graph.inputs.items(), graph.example, strict=True)
        }
        self.outputs = {name: TensorSpec("float32", shape) for name, shape in graph.outputs.items()}

    @torch.no_grad()
    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run the module; see `Backend.infer`."""
        result = self._graph.module(*(torch.tensor(feeds[name]) for name in self._graph.inputs))
        results = result if isinstance(result, tuple) else (result,)
        return {name: value.numpy() for name, value in zip(self._graph.outputs, results, strict=True)}

    def __enter__(self) -> TorchBackend:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


def torch_grounder(manifest: Manifest, tokenizer: Path, scorer: AnyScorer, encoder: TextEncoder, reference: Keys) -> Grounder:
    """A grounder that runs PyTorch, with the tokenizer and the reference keys of the bundle."""
    backends = {graph.name: TorchBackend(graph) for graph in graphs_of(scorer, encoder)}
    sentences = QueryEncoder(tokenizer, backends["text"], max_tokens=encoder.max_tokens)
    snippets = SnippetScorer(backends["keys"], GraphKernel(backends["scorer"]), reference=reference)
    return Grounder(manifest, sentences, snippets, bundle=tokenizer.parent, precision="torch")


def choose_golden(data: CaptionedVideos, *, seed: int = 0) -> Golden:
    """Split validation videos and sentences into a check and a calibration part. PyTorch's answers are added by `with_answers`.

    Raises:
        DataError: there are too few videos or sentences for both parts, or nothing moves in the videos of a part.
    """
    distinct = list(dict.fromkeys(caption.query for caption in data.captions))
    rng = np.random.default_rng(seed)
    (videos, other_videos), (chosen, others) = _split(len(data.values), rng), _split(len(distinct), rng)
    if not videos or not chosen or not other_videos or not others:
        raise DataError(
            f"{len(data.values)} validation videos with {len(distinct)} distinct sentences do not split into a check and a calibration"
            " part; give more captions in data.val_captions"
        )
    chosen, others = chosen[:PAIRS], others[:PAIRS]  # every check encodes each sentence again
    sentences = [distinct[i] for i in chosen]
    number, place = {sentence: i for i, sentence in enumerate(sentences)}, {video: i for i, video in enumerate(videos)}
    own = {
        (number[caption.query], place[video])
        for caption, video in zip(data.captions, data.video_of.tolist(), strict=True)
        if caption.query in number and video in place
    }
    return Golden(
        sentences,
        videos_of(data, videos),
        np.array(sorted(own), np.int64).reshape(-1, 2),
        np.full((len(own), 2), np.nan),
        np.zeros(len(own)),
        {},
        [distinct[i] for i in others],
        videos_of(data, other_videos),
    )


def with_answers(golden: Golden, reference: Grounder, scorer: AnyScorer, encoder: TextEncoder, *, seed: int = 0) -> Golden:
    """Add PyTorch's outputs for the edge cases, its first answers and its confidences.

    Pairs of a sentence with a video of other sentences fill the pairs up to `PAIRS`, beginning with those in which PyTorch finds something.
    """
    own = {tuple(pair) for pair in golden.pairs.tolist()}
    others = np.array([(s, v) for s in range(len(golden.sentences)) for v in range(len(golden.videos)) if (s, v) not in own], np.int64)
    others = others.reshape(-1, 2)[np.random.default_rng(seed).permutation(len(others))[:_TRIED]]
    tried = np.concatenate([golden.pairs, others])
    moments, confidence = first_moments(reference, golden.videos, golden.sentences, tried)
    found_first = np.argsort(confidence[len(golden.pairs) :] <= FOUND, kind="stable") + len(golden.pairs)
    chosen = np.concatenate([np.arange(len(golden.pairs)), found_first])[: max(PAIRS, len(golden.pairs))]
    pairs, moments, confidence = tried[chosen], moments[chosen], confidence[chosen]
    features = np.concatenate([video.rows(0, len(video)) for video in golden.videos])
    with torch.no_grad():
        keys: NDArray[np.float32] = scorer.keys(torch.from_numpy(features)).numpy()
    text = encoder.encode(golden.sentences[:64]).numpy()
    logits = _logits(scorer, keys, text)  # the largest first: an error shows where scores are far from 0
    keys, text = keys[np.argsort(-logits.max(axis=0), kind="stable")], text[np.argsort(-logits.max(axis=1), kind="stable")]
    token_ids = sorted((encoder.tokenizer(sentence)["input_ids"] for sentence in golden.sentences), key=len)
    calls = {
        "text": [_padded(batch) for batch in _batches(token_ids, encoder.max_tokens)],
        "keys": [{"features": _tiled(features, n)} for n in WINDOWS],
        "scorer": [{"keys": _tiled(keys, n), "text": _tiled(text, q)} for n, q in zip(WINDOWS, SENTENCES, strict=True)],
    }
    edges = {
        graph.name: [Case(feeds, TorchBackend(graph).infer(feeds)) for feeds in calls[graph.name]] for graph in graphs_of(scorer, encoder)
    }
    words = _any_words(encoder)
    edges["words"] = [Case(words, TorchBackend(text_graph(encoder)).infer(words))]
    return replace(golden, pairs=pairs, moments=moments, confidence=confidence, edges=edges)


def image_cases(backend: Backend, images: Arrays) -> list[Case]:
    """Calls of an image encoder with one, two and eight images."""
    calls = [{name: np.ascontiguousarray(np.resize(rows, (n, *rows.shape[1:]))) for name, rows in images.items()} for n in (1, 2, 8)]
    return [Case(feeds, backend.infer(feeds)) for feeds in calls]


@torch.no_grad()
def _logits(scorer: AnyScorer, keys: NDArray[np.float32], text: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (Q, N) of keys (N, H) for sentences (Q, Dt)."""
    logits: NDArray[np.float32] = scorer.matrix(torch.from_numpy(keys), torch.from_numpy(text)).numpy()
    return logits


def _any_words(encoder: TextEncoder) -> dict[str, NDArray[Any]]:
    """A full batch of the longest sentences, drawn from the whole vocabulary: words in no caption must be encoded rightly, too."""
    ids = np.random.default_rng(0).integers(0, len(encoder.tokenizer), (8, encoder.max_tokens))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def _split(count: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    order = rng.permutation(count).tolist()
    cut = round(CHECK_SHARE * count)
    return order[:cut], order[cut:]


def videos_of(data: CaptionedVideos, chosen: Sequence[int]) -> list[Features]:
    """Features of the chosen videos in memory."""
    names = {int(video): caption.vid for caption, video in zip(data.captions, data.video_of, strict=True)}
    if data.of_objects:
        return _videos_of_objects(data, {video: names[video] for video in chosen})
    rows = [data.values[video].numpy() for video in chosen]
    return regular_videos(
        np.concatenate(rows).astype(np.float32), [len(r) for r in rows], [names[v] for v in chosen], data.backbone, data.snippet_s
    )


def _videos_of_objects(data: CaptionedVideos, names: Mapping[int, str]) -> list[Features]:
    """Videos with their tracks, in memory.

    Raises:
        DataError: nothing moves in any of them.
    """
    stored = data.values
    if not isinstance(stored, StoredFeatures):
        raise TypeError(f"features of type {type(stored).__name__} have no tracks; expected StoredFeatures")
    videos = [replace(stored.features(video), video=name, extra={}) for video, name in names.items()]
    held = [replace(video, values=video.rows(0, len(video))) for video in videos]
    if not any(len(video) for video in held):
        raise DataError(f"nothing moves in any of {len(held)} validation videos for golden data; give more captions in data.val_captions")
    return held


def _batches(token_ids: list[list[int]], most: int) -> list[list[list[int]]]:
    """Batches: a single token, a short sentence, the longest with the shortest, the eight longest, and a sentence of `most` tokens."""
    one, longest = token_ids[0], token_ids[-1]
    filled = (one[:-1] * most)[: most - 1] + one[-1:]
    return [[one[:1]], [one], [longest, one], token_ids[-8:], [filled]]


def _tiled(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.resize(rows, (count, rows.shape[1])))


def _padded(batch: list[list[int]]) -> dict[str, NDArray[Any]]:
    longest = max(map(len, batch))
    ids = np.array([row + [0] * (longest - len(row)) for row in batch], np.int64)
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in batch], np.int64)
    return {"input_ids": ids, "attention_mask": mask}
