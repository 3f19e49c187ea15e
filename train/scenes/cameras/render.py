"""Writes clips as H.264 files, and sentences and spans as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from wsra.runtime.files.writing import replacing
from wsra.train.scenes.cameras.backdrop import draw_backdrop
from wsra.train.scenes.cameras.body import draw_cloth, paint_actor, pose_of
from wsra.train.scenes.cameras.camera import FPS, HEIGHT_PX, WIDTH_PX
from wsra.train.scenes.cameras.light import Photography
from wsra.train.scenes.cameras.nuisances import draw_nuisances
from wsra.train.scenes.cameras.pen import Image
from wsra.train.scenes.cameras.sentences import CaptionedClip, Row, absent, caption_clip
from wsra.train.scenes.cameras.style import SPLITS, Split
from wsra.train.scenes.cameras.world import Clip, sample_clip

_CAPTION = ("qid", "query", "vid", "duration")


@dataclass(frozen=True)
class Sizes:
    """Number of clips in each split."""

    train: int
    val: int
    dev: int
    test: int

    @property
    def total(self) -> int:
        """Number of all clips."""
        return self.train + self.val + self.dev + self.test


def plan(sizes: Sizes, seed: int) -> list[Clip]:
    """All clips of a data set; the same seed gives the same clips, and a larger set begins with the smaller one's clips."""
    return [_clip(split, number, seed) for split in SPLITS for number in range(getattr(sizes, split))]


def _clip(split: Split, number: int, seed: int) -> Clip:
    return sample_clip(f"{split}-{number:05d}", split, seed * 1_000_003 + SPLITS.index(split) * 200_003 + number)


def frames(clip: Clip) -> Iterator[Image]:
    """Render a clip.

    Yields:
        (240, 320, 3) uint8 BGR, 8 per second.
    """
    scene = draw_backdrop(clip)
    cloths = [draw_cloth(actor) for actor in clip.actors]
    camera = Photography(clip)
    nuisances = draw_nuisances(clip)
    for number in range(int(clip.duration_s * FPS)):
        time_s = number / FPS
        frame = scene.copy()
        for nuisance in nuisances:
            if nuisance.on_ground:
                nuisance.paint(frame, time_s)
        poses = {i: pose_of(actor, time_s) for i, actor in enumerate(clip.actors) if actor.start_s <= time_s <= actor.end_s}
        for i in sorted(poses, key=lambda i: poses[i].place[1]):
            paint_actor(frame, clip.camera, clip.actors[i], poses[i], cloths[i], camera.sun)
        for nuisance in nuisances:
            if not nuisance.on_ground:
                nuisance.paint(frame, time_s)
        yield camera.take(frame, number, time_s)


def write_video(path: Path, images: Iterable[Image], quality: int) -> None:
    """Encode BGR frames (8 a second) as H.264 in MP4, under a temporary name first.

    Args:
        path: the file.
        images: (240, 320, 3) uint8 BGR.
        quality: constant rate factor; higher is worse.
    """
    with replacing(path) as part, av.open(str(part), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": str(quality), "threads": "1"}
        stream.time_base = Fraction(1, FPS)
        for number, image in enumerate(images):
            planar = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_ndarray(planar, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def render_clip(clip: Clip, folder: Path) -> Path:
    """Render one clip to `folder/NAME.mp4`, unless the file exists."""
    path = folder / f"{clip.name}.mp4"
    if not path.exists():
        quality = int(np.random.default_rng([clip.seed, 9]).integers(clip.style.quality[0], clip.style.quality[1] + 1))
        write_video(path, frames(clip), quality)
    return path


def _caption(job: tuple[Split, int, int]) -> CaptionedClip:
    cv2.setNumThreads(1)
    return caption_clip(_clip(*job))


def _render(job: tuple[Split, int, int, Path]) -> str:
    cv2.setNumThreads(1)
    split, number, seed, folder = job
    return render_clip(_clip(split, number, seed), folder).stem


def render_cameras(folder: Path, sizes: Sizes, *, seed: int = 0, jobs: int = 2) -> Iterator[str]:
    """Render a data set; existing clips are kept.

    Args:
        folder: gets `videos/*.mp4`, `captions-{split}.jsonl` without times, `spans-{split}.jsonl` with them, and `absent-dev.jsonl` and
            `absent-test.jsonl` with sentences that are true of nobody.
        sizes: clips per split.
        seed: decides everything that is random.
        jobs: number of processes.

    Yields:
        The name of each clip as it is finished.
    """
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    wanted = [(split, number, seed) for split in SPLITS for number in range(getattr(sizes, split))]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        captioned = list(pool.map(_caption, wanted, chunksize=8))
        for split in SPLITS:
            _write_rows(folder, split, [one for one in captioned if one.clip.split == split])
        yield from pool.map(_render, [(*job, videos) for job in wanted], chunksize=4)


def _write_rows(folder: Path, split: Split, captioned: list[CaptionedClip]) -> None:
    rows = [row for one in captioned for row in one.rows]
    files: dict[str, list[Row] | list[dict[str, Any]]] = {
        f"captions-{split}.jsonl": [{key: row[key] for key in _CAPTION} for row in rows],
        f"spans-{split}.jsonl": rows,
    }
    if split in ("dev", "test"):
        files[f"absent-{split}.jsonl"] = absent(captioned)
    for name, lines in files.items():
        with replacing(folder / name) as part:
            part.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
