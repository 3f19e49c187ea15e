"""Golden data: real inputs with PyTorch's outputs and moments, kept in the bundle to check it wherever it runs. Loads no torch and no onnx.

In golden.safetensors: `check/features` (T, Dv), `check/lengths` (V,), `check/pairs` (P, 2), `check/moments` (P, 2), `calib/features`,
`calib/lengths`, and `edge/GRAPH/NUMBER/TENSOR` with the inputs and outputs of the edge cases; sentences and names as JSON in its metadata.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from wsra.runtime.backends.protocol import Arrays
from wsra.runtime.boundary import one_file
from wsra.runtime.errors import BundleError, FeatureError
from wsra.runtime.features import Features
from wsra.runtime.tensors import write_tensors
from wsra.runtime.texts import json_value

FORMAT, VERSION = "wsra.golden", "2"


@dataclass(frozen=True)
class Case:
    """One call of a graph: what goes in, and what PyTorch gives."""

    feeds: Arrays
    expected: Arrays


@dataclass(frozen=True)
class Golden:
    """Validation data in two parts that share no video and no sentence.

    Attributes:
        sentences: to check with, each once.
        videos: to check with.
        pairs: (P, 2) int64, a sentence and the video in which it is looked for.
        moments: (P, 2) float64 seconds, the first answer of PyTorch to each pair; NaN where it finds nothing.
        edges: graph -> calls at the edges of its shapes; "words" -> of the text graph, words from the whole vocabulary.
        calibration_sentences: for ranges.
        calibration_videos: for ranges.
    """

    sentences: list[str]
    videos: list[Features]
    pairs: NDArray[np.int64]
    moments: NDArray[np.float64]
    edges: dict[str, list[Case]]
    calibration_sentences: list[str]
    calibration_videos: list[Features]


def write_golden(path: Path, golden: Golden) -> None:
    """Write golden.safetensors."""
    tensors: dict[str, NDArray[np.generic]] = {"check/pairs": golden.pairs, "check/moments": golden.moments}
    for part, videos in (("check", golden.videos), ("calib", golden.calibration_videos)):
        tensors[f"{part}/features"] = np.concatenate([video.rows(0, len(video)) for video in videos])
        tensors[f"{part}/lengths"] = np.array([len(video) for video in videos], np.int64)
    for graph, cases in golden.edges.items():
        for number, case in enumerate(cases):
            for name, array in (case.feeds | {f"{name}.expected": array for name, array in case.expected.items()}).items():
                tensors[f"edge/{graph}/{number}/{name}"] = np.ascontiguousarray(array)
    first = golden.videos[0]
    told = {
        "sentences": golden.sentences,
        "calibration_sentences": golden.calibration_sentences,
        "videos": [video.video for video in golden.videos],
        "calibration_videos": [video.video for video in golden.calibration_videos],
        "backbone": first.backbone,
        "snippet_s": float(first.times_s[0, 1] - first.times_s[0, 0]),
    }
    write_tensors(path, tensors, {"format": FORMAT, "version": VERSION, "golden": json.dumps(told)})


def read_golden(path: Path) -> Golden:
    """Read golden.safetensors.

    Raises:
        BundleError: it is missing, damaged or of another version.
    """
    hint = "copy or export the bundle again"
    with one_file(path, BundleError, hint=f"{hint}."):
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
                    raise BundleError(f"{path}: not golden data of version {VERSION}; export the bundle again")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            golden = _golden_of(tensors, json_value(metadata["golden"], place=str(path), error=BundleError, hint=hint))
            _check(golden)
        except (SafetensorError, OSError) as err:
            raise BundleError(f"{path}: cannot be read ({err}); {hint}") from err
        except (FeatureError, ValueError) as err:
            raise BundleError(f"{path}: is inconsistent ({err}); {hint}") from err
        except (KeyError, TypeError) as err:
            raise BundleError(f"{path}: a part is missing or of another type ({err}); {hint}") from err
    return golden


def _golden_of(tensors: Arrays, told: dict[str, Any]) -> Golden:
    parts = {}
    for part, names in (("check", told["videos"]), ("calib", told["calibration_videos"])):
        rows, lengths = tensors[f"{part}/features"], tensors[f"{part}/lengths"].tolist()
        if sum(lengths) != len(rows) or min(lengths) < 1:
            raise ValueError(f"{part}/lengths are not those of {len(rows)} rows of features")
        parts[part] = regular_videos(rows, lengths, names, told["backbone"], told["snippet_s"])
    return Golden(
        told["sentences"],
        parts["check"],
        tensors["check/pairs"],
        tensors["check/moments"],
        _edges(tensors),
        told["calibration_sentences"],
        parts["calib"],
    )


def _check(golden: Golden) -> None:
    """Raises ValueError where a part has another type or shape than `Golden` says, or they do not fit each other."""
    pairs, moments, words = golden.pairs, golden.moments, golden.sentences + golden.calibration_sentences
    if not words or not all(isinstance(sentence, str) for sentence in words):
        raise ValueError("sentences are no list of text")
    if pairs.dtype != np.int64 or pairs.ndim != 2 or pairs.shape[1] != 2 or moments.shape != pairs.shape or moments.dtype != np.float64:
        raise ValueError(f"pairs are {pairs.dtype} {pairs.shape}, moments {moments.dtype} {moments.shape}")
    if len(pairs) == 0 or pairs.min() < 0 or (pairs.max(axis=0) >= [len(golden.sentences), len(golden.videos)]).any():
        raise ValueError(f"a pair is of none of {len(golden.sentences)} sentences and {len(golden.videos)} videos")
    if missing := [graph for graph in ("text", "words", "keys", "scorer") if not golden.edges.get(graph)]:
        raise ValueError(f"no case of {', '.join(missing)}")


def regular_videos(
    rows: NDArray[np.float32], lengths: Sequence[int], names: Sequence[str], backbone: str, snippet_s: float
) -> list[Features]:
    """Cut rows (T, Dv) of all videos into videos of snippets of one length."""
    videos = []
    for values, name in zip(np.split(rows, np.cumsum(lengths)[:-1]), names, strict=True):
        starts = np.arange(len(values)) * snippet_s
        videos.append(Features(values, np.stack([starts, starts + snippet_s], axis=1), name, len(values) * snippet_s, backbone))
    return videos


def _edges(tensors: Arrays) -> dict[str, list[Case]]:
    calls: dict[str, dict[int, Case]] = {}
    for key, array in tensors.items():
        if key.startswith("edge/"):
            _, graph, number, name = key.split("/")
            case = calls.setdefault(graph, {}).setdefault(int(number), Case({}, {}))
            if name.endswith(".expected"):
                case.expected[name.removesuffix(".expected")] = array
            else:
                case.feeds[name] = array
    return {graph: [cases[number] for number in sorted(cases)] for graph, cases in calls.items()}
