"""Writes clips as H.264 files, and captions and spans as JSON lines."""

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
from wsra.train.scenes.demo.actors import paint, position
from wsra.train.scenes.demo.backdrop import Image, backdrop
from wsra.train.scenes.demo.wording import describe, no_single_attribute_decides
from wsra.train.scenes.demo.world import RELATIVE_LENGTH, UNSEEN, Actor, Clip, Split, sample_clip

WIDTH_PX, HEIGHT_PX, FPS = 320, 240, 8
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Sizes:
    """Number of clips in each split."""

    train: int
    val: int
    test: int


def frames(clip: Clip) -> Iterator[Image]:
    """Render a clip.

    Yields:
        (240, 320, 3) uint8 BGR, 8 per second.
    """
    rng = np.random.default_rng([clip.seed, 2])
    scene = backdrop(clip, WIDTH_PX, HEIGHT_PX)
    sigma = float(rng.uniform(2.0, 6.0))
    noise = [rng.normal(0, sigma, (HEIGHT_PX + 32, WIDTH_PX + 32, 3)).astype(np.int16) for _ in range(2)]
    shadow = float(rng.uniform(0.6, 0.85))
    swell, period_s = float(rng.uniform(0.0, 0.08)), float(rng.uniform(8.0, 30.0))
    cloud_at_s, cloud = float(rng.uniform(0, clip.duration_s)), float(rng.uniform(-0.2, 0.2) * (rng.random() < 0.4))
    for number in range(int(clip.duration_s * FPS)):
        time_s = number / FPS
        frame = scene.copy()
        present = [a for a in clip.actors if a.start_s <= time_s <= a.end_s]
        for actor in sorted(present, key=lambda a: position(a, time_s)[1]):
            paint(frame, clip, actor, time_s, shadow=shadow)
        light = 1.0 + swell * np.sin(2 * np.pi * time_s / period_s) + cloud * np.clip((time_s - cloud_at_s) / 2.5, 0, 1)
        row, column = (int(n) for n in rng.integers(0, 32, 2))
        grain = noise[number % 2][row : row + HEIGHT_PX, column : column + WIDTH_PX]
        frame = cv2.convertScaleAbs(frame, alpha=float(light))
        yield cv2.add(frame, grain, dtype=cv2.CV_8U)


def write_video(path: Path, images: Iterable[Image]) -> None:
    """Encode BGR frames (8 a second) as H.264 in MP4, under a temporary name first."""
    with replacing(path) as part, av.open(str(part), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "30", "threads": "1"}
        stream.time_base = Fraction(1, FPS)
        for number, image in enumerate(images):
            planar = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_ndarray(planar, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def visible_span(clip: Clip, actor: Actor) -> tuple[float, float]:
    """Seconds in which at least a third of an actor's length is inside the frame, to the nearest frame."""
    times = np.arange(round(clip.duration_s * FPS)) / FPS
    times = times[(times >= actor.start_s) & (times <= actor.end_s)]
    half = [RELATIVE_LENGTH[actor.kind] * clip.man_height(position(actor, t)[1]) * HEIGHT_PX / WIDTH_PX / 2 for t in times]
    x = np.array([position(actor, t)[0] for t in times])
    inside = np.minimum(x + half, 1.0) - np.maximum(x - half, 0.0)
    seen = times[inside >= np.array(half) * 2 / 3]
    return float(seen[0]), float(seen[-1] + 1 / FPS)


def caption_clip(clip: Clip) -> list[dict[str, Any]]:
    """Caption a clip, with the true spans of each sentence.

    Returns:
        Rows with `qid`, `query`, `vid`, `duration`, `relevant_windows`, `mentions`, `unseen`, `conjunction`. A test row is true of
        exactly one actor.
    """
    rng = np.random.default_rng([clip.seed, 3])
    test = clip.split == "test"
    spans = [visible_span(clip, actor) for actor in clip.actors]
    rows: list[dict[str, Any]] = []
    texts: set[str] = set()
    for actor in clip.actors:
        for _ in range(2 if test else 3):
            caption = describe(rng, actor, test=test)
            true_of = [i for i, other in enumerate(clip.actors) if caption.is_true_of(other)]
            if caption.text in texts or (test and len(true_of) > 1):
                continue
            texts.add(caption.text)
            rows.append(
                {
                    "qid": f"{clip.name}-{len(rows)}",
                    "query": caption.text,
                    "vid": clip.name,
                    "duration": clip.duration_s,
                    "relevant_windows": [list(spans[i]) for i in true_of],
                    "mentions": caption.mentions,
                    "unseen": (actor.kind, actor.colour) in UNSEEN,
                    "conjunction": no_single_attribute_decides(caption, clip.actors),
                }
            )
    return rows


def plan(sizes: Sizes, seed: int) -> list[Clip]:
    """All clips of a data set; the same seed gives the same clips, and a larger set begins with the smaller one's clips."""
    return [
        sample_clip(f"{split}-{number:04d}", split, seed * 1_000_003 + SPLITS.index(split) * 100_003 + number)
        for split in SPLITS
        for number in range(getattr(sizes, split))
    ]


def render_clip(clip: Clip, folder: Path) -> Path:
    """Render one clip to `folder/NAME.mp4`, unless the file exists."""
    path = folder / f"{clip.name}.mp4"
    if not path.exists():
        write_video(path, frames(clip))
    return path


def _render(job: tuple[Clip, Path]) -> str:
    cv2.setNumThreads(1)
    return render_clip(*job).stem


def render_scenes(folder: Path, sizes: Sizes, *, seed: int = 0, jobs: int = 2) -> Iterator[str]:
    """Render a data set; existing clips are kept.

    Args:
        folder: gets `videos/*.mp4`, `captions-{split}.jsonl` without times, and `spans-{split}.jsonl` with them.
        sizes: clips per split.
        seed: decides everything that is random.
        jobs: number of processes.

    Yields:
        The name of each clip as it is finished.
    """
    clips = plan(sizes, seed)
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        rows = [row for clip in clips if clip.split == split for row in caption_clip(clip)]
        captions = [{key: row[key] for key in ("qid", "query", "vid", "duration")} for row in rows]
        for stem, lines in (("captions", captions), ("spans", rows)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            with replacing(folder / f"{stem}-{split}.jsonl") as part:
                part.write_text(text, encoding="utf-8")
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_render, [(clip, videos) for clip in clips], chunksize=4)
