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

CHECK_SHARE = 0.75  # of the videos, and of the distinct sentences; the rest is for calibration
MOST_SENTENCES = 400


@dataclass(frozen=True)
class Golden:
    """Validation data in two parts that share no video and no sentence.

    Attributes:
        sentences: to check with; each is said of one of `videos`.
        video_of: index into `videos` of each sentence.
        videos: to check with.
        calibration_sentences: for ranges.
        calibration_videos: for ranges.
    """

    sentences: list[str]
    video_of: list[int]
    videos: list[Features]
    calibration_sentences: list[str]
    calibration_videos: list[Features]


def _features(data: CaptionedVideos, video: int) -> Features:
    values = data.values[video].numpy()
    starts = np.arange(len(values)) * data.snippet_s
    times = np.stack([starts, starts + data.snippet_s], axis=1)
    return Features(values, times, f"golden-{video}", len(values) * data.snippet_s, data.backbone)


def _split(count: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    order = rng.permutation(count).tolist()
    cut = round(CHECK_SHARE * count)
    return order[:cut], order[cut:]


def choose_golden(data: CaptionedVideos, *, seed: int = 0) -> Golden:
    """Split validation videos and sentences into a check and a calibration part.

    Raises:
        DataError: there are too few of them for both parts.
    """
    distinct = list(dict.fromkeys(caption.query for caption in data.captions))
    rng = np.random.default_rng(seed)
    (videos, other_videos), (chosen, others) = _split(len(data.values), rng), _split(len(distinct), rng)
    sentences = {distinct[i] for i in chosen}
    pairs = [
        (caption.query, videos.index(video))
        for caption, video in zip(data.captions, data.video_of.tolist(), strict=True)
        if video in videos and caption.query in sentences
    ][:MOST_SENTENCES]
    if not pairs or not other_videos or not others:
        raise DataError(
            f"{len(data.values)} validation videos with {len(distinct)} distinct sentences do not split into a check and a calibration"
            " part; give more captions in data.val_captions"
        )
    return Golden(
        [sentence for sentence, _ in pairs],
        [video for _, video in pairs],
        [_features(data, video) for video in videos],
        [distinct[i] for i in others][:MOST_SENTENCES],
        [_features(data, video) for video in other_videos],
    )


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
    parts = {"check": (golden.sentences, golden.videos), "calib": (golden.calibration_sentences, golden.calibration_videos)}
    for name, (sentences, videos) in parts.items():
        tensors[f"{name}/input_ids"], tensors[f"{name}/attention_mask"] = _padded(encoder, sentences)
        tensors[f"{name}/features"] = np.concatenate([video.values for video in videos]).astype(np.float32)
        tensors[f"{name}/lengths"] = np.array([len(video) for video in videos], np.int64)
    text: Tensor = encoder.encode(golden.sentences)
    keys = scorer.keys(torch.from_numpy(tensors["check/features"]))
    logits = torch.stack([scorer.logits(keys, row[None]) for row in text])
    tensors["check/text"], tensors["check/keys"], tensors["check/logits"] = text.numpy(), keys.numpy(), logits.numpy()
    tensors["check/video_of"] = np.array(golden.video_of, np.int64)
    save_file(tensors, path, {"format": "wsra.golden", "version": "1"})
