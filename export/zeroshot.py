"""`wsra export --zero-shot`: a bundle without training, whose scorer is the cosine between the towers of a CLIP or SigLIP model.

Its golden data are rendered scenes, seen through the image tower. They only serve for checks; nothing is learned from them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from wsra.export.base import BundleSource, base_bundle
from wsra.export.encoder import write_encoder
from wsra.export.pictures import BYTES, scene_pixels
from wsra.export.publish import ExportOptions, publish
from wsra.export.reference import TorchBackend
from wsra.runtime.backbones.common.protocol import Backbone
from wsra.runtime.backbones.encoders.regions import SLOTS, Regions
from wsra.runtime.backbones.registry import encoder_backbone
from wsra.runtime.backbones.tracking.motion import WIDTH
from wsra.runtime.extraction.gathering import gather
from wsra.runtime.formats.bundle import Bundle, Manifest
from wsra.runtime.formats.features import Features, write_features
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.verification.golden import Golden
from wsra.runtime.video.frames import Frame
from wsra.train.data import CaptionedVideos, load
from wsra.train.scenes.demo.render import FPS, caption_clip, frames
from wsra.train.scenes.demo.world import Clip, sample_clip
from wsra.train.towers import Towers, load_towers

logger = logging.getLogger(__name__)

CLIPS = 24  # rendered clips that become golden data
# These describe any frame of a camera. A sentence that fits a frame no better than the best of them does not describe it.
NEUTRAL = ("a photo", "a video frame", "an empty scene", "a street", "a building", "a room", "people", "the ground")


def export_zero_shot(
    name: str,
    out: Path,
    options: ExportOptions,
    *,
    regions: Regions = "whole",
    snippet_s: float = 1.0,
    progress: Progress = unseen,
) -> Manifest:
    """Export a model of two towers as a bundle that grounds without training.

    Args:
        name: hub name or folder of the model.
        out: folder for the bundle. If it holds a bundle of the same model and regions, only what is missing is added.
        options: what the bundle holds besides FP32.
        regions: which parts of a frame the image tower sees; the best one counts. "tracks" takes the best views of each moving object.
        snippet_s: length of a snippet in seconds.
        progress: see `wsra.export.publish.publish`.

    Raises:
        WsraError: the model cannot be used; see also `wsra.export.publish.publish`.
    """
    towers = load_towers(name)

    def base(part: Path) -> tuple[Bundle, Golden]:
        (part / "fp32").mkdir()
        settings, graph = write_encoder(towers, part, part / "fp32")
        of_objects = regions == "tracks"
        with TemporaryDirectory(prefix="wsra-scenes-") as scenes:
            encoder = encoder_backbone(settings, part / "fp32" / settings.graph, regions=regions)
            logger.info(f"extracting features of {CLIPS} rendered clips for golden data")
            source = BundleSource(
                scorer=cosine_scorer(towers, SLOTS[regions], skipped=WIDTH if of_objects else 0),
                kind="cosine",
                encoder=towers.text,
                data=scene_data(encoder, snippet_s, Path(scenes)),
                sha256=identity,
                backbone=encoder.id(snippet_s),
                snippet_s=snippet_s,
                plan="tracks" if of_objects else "peaks",
                span_score="lives" if of_objects else "additive",
                theta=0.0,
                image=TorchBackend(graph),
                images={settings.input: scene_pixels(settings, BYTES)},
                captions_of="rendered scenes",
            )
            return base_bundle(part, source)

    identity = f"{towers.text.digest()}+{regions}@{snippet_s:g}s"
    return publish(out, identity, base, options, progress)


@torch.no_grad()
def cosine_scorer(towers: Towers, slots: int, *, skipped: int = 0) -> CosineScorer:
    """The cosine against the neutral sentences of this model; see `CosineScorer`."""
    return CosineScorer(towers.text.encode(NEUTRAL), slots=slots, scale=towers.scale, skipped=skipped).eval()


def scene_data(backbone: Backbone, snippet_s: float, folder: Path) -> CaptionedVideos:
    """Features and captions of rendered clips.

    Args:
        backbone: backbone of snippets or of objects.
        snippet_s: length of a snippet in seconds.
        folder: folder for the captions and features.
    """
    captions = []
    for number in range(CLIPS):
        clip = sample_clip(f"scene-{number}", "val", number)
        shown = _shown(clip, backbone.reads_at(snippet_s).frames_per_s)
        rows = gather(backbone, shown, snippet_s).until(clip.duration_s)
        features = Features(rows.values, rows.times_s, clip.name, clip.duration_s, backbone.id(snippet_s), tracks=rows.tracks)
        write_features(folder / f"{clip.name}.feat", features)
        captions += [
            {"qid": row["qid"], "query": row["query"], "vid": clip.name, "duration": clip.duration_s} for row in caption_clip(clip)
        ]
    (folder / "captions.jsonl").write_text("".join(json.dumps(caption) + "\n" for caption in captions), encoding="utf-8")
    return load(folder / "captions.jsonl", folder, seen_as="snippets")


def _shown(clip: Clip, frames_per_s: float) -> Iterator[Frame]:
    for number, image in enumerate(frames(clip)):
        if number % max(1, int(FPS / frames_per_s)) == 0:
            yield Frame(number / FPS, image.copy())


class CosineScorer(nn.Module):
    """The scorer: how much nearer a sentence is to an image than neutral sentences are.

    logit = scale * (max over R of cos(vector, sentence) - max over R and K of cos(vector, neutral)).

    Above 0 the sentence fits the snippet better than every neutral sentence does, so theta is 0 and needs no calibration.
    Shapes: T snippets, N keys, Q sentences, R vectors per snippet (the whole frame and its regions), D their width, K neutral sentences.

    Args (constructor):
        neutral: (K, D) vectors of length 1.
        slots: R, vectors per snippet.
        scale: factor on the cosine with which the towers were trained.
        skipped: numbers before the vectors in each row, which the cosine ignores.
    """

    neutral: Tensor
    scale: Tensor

    def __init__(self, neutral: Tensor, *, slots: int, scale: float, skipped: int = 0) -> None:
        super().__init__()
        self.slots, self.skipped = slots, skipped
        self.register_buffer("neutral", neutral)
        self.register_buffer("scale", torch.tensor([scale]))

    @property
    def feature_width(self) -> int:
        """Dv: the skipped numbers, and R times D."""
        return self.skipped + self.slots * self.text_width

    @property
    def text_width(self) -> int:
        """Dt: D."""
        return int(self.neutral.shape[1])

    @property
    def key_width(self) -> int:
        """H: the vectors, and the cosine of the nearest neutral sentence."""
        return self.slots * self.text_width + 1

    def keys(self, features: Tensor) -> Tensor:
        """Vectors (T, R * D) of length 1 and the nearest neutral cosine: (T, H)."""
        vectors = nn.functional.normalize(features[:, self.skipped :].reshape(-1, self.slots, self.text_width), dim=-1)
        nearest = (vectors @ self.neutral.T).reshape(-1, self.slots * len(self.neutral)).amax(dim=1, keepdim=True)
        return torch.cat([vectors.reshape(-1, self.slots * self.text_width), nearest], dim=1)

    def matrix(self, keys: Tensor, text: Tensor) -> Tensor:
        """Logits (Q, N) of keys (N, H) and sentences (Q, Dt)."""
        vectors = keys[:, :-1].reshape(-1, self.text_width)
        cosines = (nn.functional.normalize(text, dim=-1) @ vectors.T).reshape(text.shape[0], -1, self.slots)
        return self.scale * (cosines.amax(dim=2) - keys[None, :, -1])
