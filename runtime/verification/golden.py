"""Golden data: real inputs with PyTorch's outputs and moments. A bundle carries them, so that it can be checked wherever it runs.

golden.safetensors holds `check/features` (T, Dv), `check/lengths` (V,), `check/pairs` (P, 2), `check/moments` (P, 2), `check/confidence`
(P,), `calib/features`, `calib/lengths`, and `edge/GRAPH/NUMBER/TENSOR` with the inputs and outputs of the edge cases. Sentences and names
are in its metadata.
Version 5 is for rows of objects. There both parts also have `times_s` (T, 2), `durations_s` (V,), `track_counts` and `view_counts` (V,),
and the tensors of tracks under their names in a .feat file, those of all videos one after the other. Otherwise it is version 4.
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

FORMAT, OF_SNIPPETS, OF_OBJECTS = "wsra.golden", "4", "5"
_COUNTED = {"of_row": "lengths", "boxes": "lengths", "lives_s": "track_counts", "continues": "track_counts"}  # the others: view_counts


@dataclass(frozen=True)
class Case:
    """One call of a graph: its inputs, and PyTorch's outputs."""

    feeds: Arrays
    expected: Arrays


@dataclass(frozen=True)
class Golden:
    """Validation data in two parts that share no video and no sentence.

    Attributes:
        sentences: sentences to check with, each once.
        videos: features of the videos to check with.
        pairs: (P, 2) int64, the number of a sentence and of the video in which it is searched.
        moments: (P, 2) float64 seconds, PyTorch's first answer to each pair, found or not; NaN where it has no candidate.
        confidence: (P,) float64, PyTorch's confidence of the best candidate of each pair, asked of its video alone; 0 where there is none.
        edges: graph -> calls at the edges of its shapes; "words" -> calls of the text graph with words from the whole vocabulary.
        calibration_sentences: sentences to calibrate on.
        calibration_videos: features of the videos to calibrate on.
    """

    sentences: list[str]
    videos: list[Features]
    pairs: NDArray[np.int64]
    moments: NDArray[np.float64]
    confidence: NDArray[np.float64]
    edges: dict[str, list[Case]]
    calibration_sentences: list[str]
    calibration_videos: list[Features]


def write_golden(path: Path, golden: Golden) -> None:
    """Write golden.safetensors."""
    tensors: dict[str, NDArray[Any]] = {"check/pairs": golden.pairs, "check/moments": golden.moments, "check/confidence": golden.confidence}
    for part, videos in (("check", golden.videos), ("calib", golden.calibration_videos)):
        tensors |= {f"{part}/{name}": array for name, array in _tensors_of(videos).items()}
    for graph, cases in golden.edges.items():
        for number, case in enumerate(cases):
            for name, array in (case.feeds | {f"{name}.expected": array for name, array in case.expected.items()}).items():
                tensors[f"edge/{graph}/{number}/{name}"] = np.ascontiguousarray(array)
    first = golden.videos[0]
    texts: dict[str, Any] = {
        "sentences": golden.sentences,
        "calibration_sentences": golden.calibration_sentences,
        "videos": [video.video for video in golden.videos],
        "calibration_videos": [video.video for video in golden.calibration_videos],
        "backbone": first.backbone,
    }
    if first.tracks is None:
        texts["snippet_s"] = float(first.times_s[0, 1] - first.times_s[0, 0])
    version = OF_SNIPPETS if first.tracks is None else OF_OBJECTS
    write_tensors(path, tensors, {"format": FORMAT, "version": version, "golden": json.dumps(texts)})


def _tensors_of(videos: Sequence[Features]) -> dict[str, NDArray[Any]]:
    """Rows of all videos, one after the other; for rows of objects, also their times and tracks."""
    tensors: dict[str, NDArray[Any]] = {
        "features": np.concatenate([video.rows(0, len(video)) for video in videos]),
        "lengths": np.array([len(video) for video in videos], np.int64),
    }
    tracks = [video.tracks for video in videos if video.tracks is not None]
    if tracks:
        tensors["times_s"] = np.concatenate([video.times_s for video in videos])
        tensors["durations_s"] = np.array([video.duration_s for video in videos])
        tensors["track_counts"] = np.array([len(video_tracks) for video_tracks in tracks], np.int64)
        tensors["view_counts"] = np.array([len(video_tracks.view_of) for video_tracks in tracks], np.int64)
        tensors |= {
            name: np.concatenate([getattr(video_tracks, attribute) for video_tracks in tracks])
            for attribute, (name, _, _) in TENSORS.items()
        }
    return tensors


def read_golden(path: Path) -> Golden:
    """Read golden.safetensors.

    Raises:
        BundleError: the file is missing, damaged or of another version.
    """
    hint = "copy or export the bundle again"
    with one_file(path, BundleError, hint=f"{hint}."):
        try:
            metadata = read_header(path).metadata
            if metadata.get("format") != FORMAT or metadata.get("version") not in (OF_SNIPPETS, OF_OBJECTS):
                raise BundleError(f"{path}: not golden data of version {OF_SNIPPETS} or {OF_OBJECTS}; export the bundle again")
            tensors = load_file(path)
            texts = json_value(metadata["golden"], place=str(path), error=BundleError, hint=hint)
            golden = _golden_of(tensors, texts, of_objects=metadata["version"] == OF_OBJECTS)
            _check(golden)
        except (SafetensorError, OSError) as err:
            raise BundleError(f"{path}: cannot be read ({err}); {hint}") from err
        except (FeatureError, ValueError) as err:
            raise BundleError(f"{path}: is inconsistent ({err}); {hint}") from err
        except (KeyError, TypeError) as err:
            raise BundleError(f"{path}: a part is missing or of another type ({err}); {hint}") from err
    return golden


def _golden_of(tensors: Arrays, texts: dict[str, Any], *, of_objects: bool) -> Golden:
    parts = {}
    for part, names in (("check", texts["videos"]), ("calib", texts["calibration_videos"])):
        arrays = {name.removeprefix(f"{part}/"): array for name, array in tensors.items() if name.startswith(f"{part}/")}
        if of_objects:
            parts[part] = _videos_of_objects(arrays, names, texts["backbone"])
            continue
        rows, lengths = arrays["features"], arrays["lengths"].tolist()
        if sum(lengths) != len(rows) or min(lengths) < 1:
            raise ValueError(f"{part}/lengths do not fit {len(rows)} rows of features")
        parts[part] = regular_videos(rows, lengths, names, texts["backbone"], texts["snippet_s"])
    return Golden(
        texts["sentences"],
        parts["check"],
        tensors["check/pairs"],
        tensors["check/moments"],
        tensors["check/confidence"],
        _edges(tensors),
        texts["calibration_sentences"],
        parts["calib"],
    )


def _check(golden: Golden) -> None:
    """Raise ValueError if a part has another type or shape than `Golden` documents, or does not fit the others."""
    pairs, moments, words = golden.pairs, golden.moments, golden.sentences + golden.calibration_sentences
    if not words or not all(isinstance(sentence, str) for sentence in words):
        raise ValueError("sentences are not a list of strings")
    if pairs.dtype != np.int64 or pairs.ndim != 2 or pairs.shape[1] != 2 or moments.shape != pairs.shape or moments.dtype != np.float64:
        raise ValueError(f"pairs are {pairs.dtype} {pairs.shape}, moments {moments.dtype} {moments.shape}")
    confidence = golden.confidence
    if confidence.dtype != np.float64 or confidence.shape != (len(pairs),) or not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError(f"confidence is {confidence.dtype} {confidence.shape}; expected float64 ({len(pairs)},) between 0 and 1")
    if len(pairs) == 0 or pairs.min() < 0 or (pairs.max(axis=0) >= [len(golden.sentences), len(golden.videos)]).any():
        raise ValueError(f"a pair is outside of {len(golden.sentences)} sentences and {len(golden.videos)} videos")
    if missing := [graph for graph in ("text", "words", "keys", "scorer") if not golden.edges.get(graph)]:
        raise ValueError(f"there is no case of {', '.join(missing)}")


def regular_videos(
    rows: NDArray[np.float32], lengths: Sequence[int], names: Sequence[str], backbone: str, snippet_s: float
) -> list[Features]:
    """Split rows (T, Dv) of all videos into videos, whose snippets all have one length."""
    videos = []
    for values, name in zip(np.split(rows, np.cumsum(lengths)[:-1]), names, strict=True):
        starts = np.arange(len(values)) * snippet_s
        videos.append(Features(values, np.stack([starts, starts + snippet_s], axis=1), name, len(values) * snippet_s, backbone))
    return videos


def _videos_of_objects(arrays: Arrays, names: Sequence[str], backbone: str) -> list[Features]:
    """Split rows, times and tracks of all videos into videos; raise ValueError if they do not fit each other."""
    pieces = {name: _split(arrays, name, "lengths") for name in ("features", "times_s")}
    pieces |= {name: _split(arrays, name, _COUNTED.get(attribute, "view_counts")) for attribute, (name, _, _) in TENSORS.items()}
    if len(arrays["durations_s"]) != len(names) or any(len(per_video) != len(names) for per_video in pieces.values()):
        raise ValueError(f"durations_s and counts do not belong to {len(names)} videos")
    return [
        Features(
            pieces["features"][number],
            pieces["times_s"][number],
            name,
            float(arrays["durations_s"][number]),
            backbone,
            tracks=Tracks.from_arrays({tensor: pieces[tensor][number] for tensor, _, _ in TENSORS.values()}),
        )
        for number, name in enumerate(names)
    ]


def _split(arrays: Arrays, name: str, counts: str) -> list[NDArray[Any]]:
    lengths = arrays[counts].tolist()
    if sum(lengths) != len(arrays[name]) or min(lengths) < 0:
        raise ValueError(f"{counts} do not fit {len(arrays[name])} rows of {name}")
    return np.split(arrays[name], np.cumsum(lengths)[:-1])


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
