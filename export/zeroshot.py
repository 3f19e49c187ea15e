"""`wsra export --zero-shot`: a bundle without training, whose scorer is the cosine between the towers of CLIP, SigLIP and their like.

Its golden data are rendered scenes seen through the image tower: nothing is learned from them, they are there to check with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from wsra.export.base import Source, base_bundle
from wsra.export.cosine import NEUTRAL, CosineScorer
from wsra.export.encoder import scene_pixels, write_encoder
from wsra.export.golden import Golden
from wsra.export.pack import Wanted, publish
from wsra.export.reference import TorchBackend
from wsra.runtime.annotations import Caption
from wsra.runtime.backbones.onnx_backbone import OnnxBackbone
from wsra.runtime.backbones.regions import SLOTS, Regions
from wsra.runtime.backbones.registry import SnippetBackbone
from wsra.runtime.bundle import Bundle, Manifest
from wsra.runtime.video.frames import Frame
from wsra.train.data import CaptionedVideos
from wsra.train.scenes.render import FPS, frames, tell
from wsra.train.scenes.world import Clip, sample_clip
from wsra.train.towers import Towers, load_towers

Say = Callable[[str], None]
CLIPS = 24  # rendered clips that become golden data


def export_zero_shot(
    name: str,
    out: Path,
    wanted: Wanted,
    *,
    regions: Regions = "whole",
    snippet_s: float = 1.0,
    say: Say = print,
) -> Manifest:
    """Export a model of two towers as a bundle that grounds without training.

    Args:
        name: hub name or folder of the model.
        out: the bundle. If it holds a bundle of the same model and regions, what is missing is added.
        wanted: what it shall hold beside FP32.
        regions: what of a frame the image tower sees; the best of them counts.
        snippet_s: length of a snippet in seconds.
        say: told each step.

    Raises:
        WsraError: the model cannot be used, or see `wsra.export.pack.publish`.
    """
    towers = load_towers(name)

    def base(part: Path) -> tuple[Bundle, Golden]:
        (part / "fp32").mkdir()
        settings, graph = write_encoder(towers, part, part / "fp32", say)
        encoder = OnnxBackbone(settings, part / "fp32" / settings.graph, regions=regions)
        say(f"looking at {CLIPS} rendered clips through it, for golden data")
        source = Source(
            scorer=cosine_scorer(towers, SLOTS[regions]),
            kind="cosine",
            encoder=towers.text,
            data=scene_data(encoder, snippet_s),
            sha256=identity,
            backbone=encoder.id(snippet_s),
            snippet_s=snippet_s,
            plan="maximal",
            span_score="additive",
            theta=0.0,
            image=TorchBackend(graph),
            images={"pixels": scene_pixels(settings)},
        )
        return base_bundle(part, source, say)

    identity = f"{towers.text.digest()}+{regions}@{snippet_s:g}s"
    return publish(out, identity, base, wanted, say=say)


@torch.no_grad()
def cosine_scorer(towers: Towers, slots: int) -> CosineScorer:
    """The cosine against the neutral sentences of this model."""
    return CosineScorer(towers.text.encode(NEUTRAL), slots=slots, scale=towers.scale).eval()


def scene_data(backbone: SnippetBackbone, snippet_s: float) -> CaptionedVideos:
    """Rendered clips with their captions, as a backbone sees them."""
    captions, values, video_of = [], [], []
    for number in range(CLIPS):
        clip = sample_clip(f"scene-{number}", "val", number)
        rows = [row for _, row in backbone.features(_shown(clip), snippet_s)]
        values.append(torch.from_numpy(np.stack(rows)))
        for row in tell(clip):
            captions.append(Caption(row["qid"], row["query"], clip.name))
            video_of.append(number)
    return CaptionedVideos(captions, values, torch.tensor(video_of), backbone.id(snippet_s), snippet_s)


def _shown(clip: Clip) -> Iterator[Frame]:
    for number, image in enumerate(frames(clip)):
        yield Frame(number / FPS, image)
