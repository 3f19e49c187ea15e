"""Golden data: real inputs and PyTorch's outputs, kept in the bundle to check it again wherever it runs.

Shapes: Q sentences, L tokens, V videos, T snippets of all videos together, Dv, Dt, H widths.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor
from wsra.runtime.errors import DataError
from wsra.runtime.features import Features
from wsra.train.data import CaptionedVideos
from wsra.train.model import Scorer
from wsra.train.text import TextEncoder

CHECK_SHARE = 0.75  # of the videos; the rest is for calibration
MOST_SENTENCES = 400


@dataclass(frozen=True)
class Part:
    """Some captioned videos.

    Attributes:
        sentences: the captions.
        video_of: index into `videos` of each.
        videos: features of each video.
    """

    sentences: list[str]
    video_of: list[int]
    videos: list[Features]


@dataclass(frozen=True)
class Golden:
    """The two parts; they share no video and no sentence."""

    calibration: Part
    check: Part


def _part(data: CaptionedVideos, videos: list[int], without: frozenset[str] = frozenset()) -> Part:
    chosen = [i for i, v in enumerate(data.video_of.tolist()) if v in videos and data.captions[i].query not in without]
    chosen = chosen[:MOST_SENTENCES]
    rows = [_features(data, video) for video in videos]
    return Part([data.captions[i].query for i in chosen], [videos.index(int(data.video_of[i])) for i in chosen], rows)


def _features(data: CaptionedVideos, video: int) -> Features:
    values = data.values[video].numpy()
    starts = np.arange(len(values)) * data.snippet_s
    times = np.stack([starts, starts + data.snippet_s], axis=1)
    return Features(values, times, f"golden-{video}", len(values) * data.snippet_s, data.backbone)


def choose_golden(data: CaptionedVideos, *, seed: int = 0) -> Golden:
    """Split validation videos into a calibration and a check part.

    Raises:
        DataError: there are too few videos for both.
    """
    count = len(data.values)
    if count < 4:
        raise DataError(f"golden data need at least 4 validation videos; there are {count}: give more captions for validation")
    order = np.random.default_rng(seed).permutation(count).tolist()
    cut = round(CHECK_SHARE * count)
    check = _part(data, order[:cut])
    return Golden(_part(data, order[cut:], frozenset(check.sentences)), check)


def _padded(encoder: TextEncoder, sentences: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ids, mask = encoder.tokens(sentences)
    return ids.numpy(), mask.numpy()


@torch.no_grad()
def write_golden(path: Path, golden: Golden, scorer: Scorer, encoder: TextEncoder) -> None:
    """Write golden.safetensors.

    `check/` holds input_ids, attention_mask (Q, L), text (Q, Dt), features (T, Dv), lengths (V,), keys (T, H), video_of (Q,) and logits
    (Q, T); `calib/` holds input_ids, attention_mask, features and lengths.
    """
    tensors: dict[str, NDArray[np.generic]] = {}
    for name, part in (("calib", golden.calibration), ("check", golden.check)):
        tensors[f"{name}/input_ids"], tensors[f"{name}/attention_mask"] = _padded(encoder, part.sentences)
        tensors[f"{name}/features"] = np.concatenate([video.values for video in part.videos]).astype(np.float32)
        tensors[f"{name}/lengths"] = np.array([len(video) for video in part.videos], np.int64)
    text: Tensor = encoder.encode(golden.check.sentences)
    keys = scorer.keys(torch.from_numpy(tensors["check/features"]))
    logits = torch.stack([scorer.logits(keys, row[None]) for row in text])
    tensors["check/text"], tensors["check/keys"], tensors["check/logits"] = text.numpy(), keys.numpy(), logits.numpy()
    tensors["check/video_of"] = np.array(golden.check.video_of, np.int64)
    save_file(tensors, path, {"format": "wsra.golden", "version": "1"})
