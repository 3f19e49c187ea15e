"""Golden data: real inputs with PyTorch's outputs and moments, kept in the bundle to check it wherever it runs. Loads no torch and no onnx.

In golden.safetensors: `check/features` (T, Dv), `check/lengths` (V,), `check/pairs` (P, 2), `check/moments` (P, 2), `calib/features`,
`calib/lengths`, and `edge/GRAPH/NUMBER/TENSOR` with the inputs and outputs of the edge cases; sentences and names as JSON in its metadata.
Where rows are of objects, for both parts also `times_s` (T, 2), `durations_s` (V,), `track_counts` and `view_counts` (V,), and the tensors
of tracks by their names in a .feat file, those of all videos one after the other; then it is of version 3, else of version 2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from wsra.runtime.backends.protocol import Arrays
from wsra.runtime.errors import BundleError, FeatureError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.headers import read_header
from wsra.runtime.files.reading import json_value
from wsra.runtime.files.tensors import write_tensors
from wsra.runtime.formats.features import Features
from wsra.runtime.formats.tracks import TENSORS, Tracks

FORMAT, OF_SNIPPETS, OF_OBJECTS = "wsra.golden", "2", "3"
_COUNTED = {"of_row": "lengths", "boxes": "lengths", "lives_s": "track_counts", "continues": "track_counts"}  # the others: view_counts


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
    tensors: dict[str, NDArray[Any]] = {"check/pairs": golden.pairs, "check/moments": golden.moments}
    for part, videos in (("check", golden.videos), ("calib", golden.calibration_videos)):
        tensors |= {f"{part}/{name}": array for name, array in _tensors_of(videos).items()}
    for graph, cases in golden.edges.items():
        for number, case in enumerate(cases):
            for name, array in (case.feeds | {f"{name}.expected": array for name, array in case.expected.items()}).items():
                tensors[f"edge/{graph}/{number}/{name}"] = np.ascontiguousarray(array)
    first = golden.videos[0]
    told: dict[str, Any] = {
        "sentences": golden.sentences,
        "calibration_sentences": golden.calibration_sentences,
        "videos": [video.video for video in golden.videos],
        "calibration_videos": [video.video for video in golden.calibration_videos],
        "backbone": first.backbone,
    }
    if first.tracks is None:
        told["snippet_s"] = float(first.times_s[0, 1] - first.times_s[0, 0])
    version = OF_SNIPPETS if first.tracks is None else OF_OBJECTS
    write_tensors(path, tensors, {"format": FORMAT, "version": version, "golden": json.dumps(told)})


def _tensors_of(videos: Sequence[Features]) -> dict[str, NDArray[Any]]:
    """Rows of all videos one after the other; where they are of objects, also their times and tracks."""
    tensors: dict[str, NDArray[Any]] = {
        "features": np.concatenate([video.rows(0, len(video)) for video in videos]),
        "lengths": np.array([len(video) for video in videos], np.int64),
    }
    tracks = [video.tracks for video in videos if video.tracks is not None]
    if tracks:
        tensors["times_s"] = np.concatenate([video.times_s for video in videos])
        tensors["durations_s"] = np.array([video.duration_s for video in videos])
        tensors["track_counts"] = np.array([len(held) for held in tracks], np.int64)
        tensors["view_counts"] = np.array([len(held.view_of) for held in tracks], np.int64)
        tensors |= {name: np.concatenate([getattr(held, attribute) for held in tracks]) for attribute, (name, _, _) in TENSORS.items()}
    return tensors


def read_golden(path: Path) -> Golden:
    """Read golden.safetensors.

    Raises:
        BundleError: it is missing, damaged or of another version.
    """
    hint = "copy or export the bundle again"
    with one_file(path, BundleError, hint=f"{hint}."):
        try:
            metadata = read_header(path).metadata
            if metadata.get("format") != FORMAT or metadata.get("version") not in (OF_SNIPPETS, OF_OBJECTS):
                raise BundleError(f"{path}: not golden data of version {OF_SNIPPETS} or {OF_OBJECTS}; export the bundle again")
            tensors = load_file(path)
            told = json_value(metadata["golden"], place=str(path), error=BundleError, hint=hint)
            golden = _golden_of(tensors, told, of_objects=metadata["version"] == OF_OBJECTS)
            _check(golden)
        except (SafetensorError, OSError) as err:
            raise BundleError(f"{path}: cannot be read ({err}); {hint}") from err
        except (FeatureError, ValueError) as err:
            raise BundleError(f"{path}: is inconsistent ({err}); {hint}") from err
        except (KeyError, TypeError) as err:
            raise BundleError(f"{path}: a part is missing or of another type ({err}); {hint}") from err
    return golden


def _golden_of(tensors: Arrays, told: dict[str, Any], *, of_objects: bool) -> Golden:
    parts = {}
    for part, names in (("check", told["videos"]), ("calib", told["calibration_videos"])):
        held = {name.removeprefix(f"{part}/"): array for name, array in tensors.items() if name.startswith(f"{part}/")}
        if of_objects:
            parts[part] = _videos_of_objects(held, names, told["backbone"])
            continue
        rows, lengths = held["features"], held["lengths"].tolist()
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


def _videos_of_objects(held: Arrays, names: Sequence[str], backbone: str) -> list[Features]:
    """Cut rows, times and tracks of all videos into videos; raises ValueError where they do not fit each other."""
    cut = {name: _cut(held, name, "lengths") for name in ("features", "times_s")}
    cut |= {name: _cut(held, name, _COUNTED.get(attribute, "view_counts")) for attribute, (name, _, _) in TENSORS.items()}
    if len(held["durations_s"]) != len(names) or any(len(pieces) != len(names) for pieces in cut.values()):
        raise ValueError(f"durations_s and counts are not those of {len(names)} videos")
    return [
        Features(
            cut["features"][number],
            cut["times_s"][number],
            name,
            float(held["durations_s"][number]),
            backbone,
            tracks=Tracks.from_arrays({tensor: cut[tensor][number] for tensor, _, _ in TENSORS.values()}),
        )
        for number, name in enumerate(names)
    ]


def _cut(held: Arrays, name: str, counts: str) -> list[NDArray[Any]]:
    lengths = held[counts].tolist()
    if sum(lengths) != len(held[name]) or min(lengths) < 0:
        raise ValueError(f"{counts} are not those of {len(held[name])} rows of {name}")
    return np.split(held[name], np.cumsum(lengths)[:-1])


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
