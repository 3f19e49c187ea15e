"""Number of pictures that `--regions tracks` encodes per hour of video, compared with one per row (each track and second).

    python benchmarks/views.py [--clips 40] [VIDEO ...]

The first row of the table is for all rendered test clips, then follows one for each VIDEO. The encoder is the mean colour at 224 x 224; the
choice of pictures does not depend on the encoder, and its cost is not measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from wsra.runtime.backbones.encoders.encoder import Encoder
from wsra.runtime.backbones.encoders.tracked import TrackedBackbone
from wsra.runtime.backbones.encoders.view_encoder import ViewEncoder
from wsra.runtime.backbones.tracking.motion import object_rows
from wsra.runtime.backends.settings import GraphSettings
from wsra.runtime.video.frames import Frame, Video
from wsra.train.scenes.demo.render import FPS, frames
from wsra.train.scenes.demo.world import sample_clip

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
encoders: Any = import_module("encoders")


class Counts(NamedTuple):
    """Counts over some video: seconds, tracks, rows (one per track and second), encoded pictures, and calls of the encoder."""

    seconds: float = 0.0
    tracks: int = 0
    rows: int = 0
    pictures: int = 0
    calls: int = 0

    def plus(self, other: Counts) -> Counts:
        """Add two counts."""
        seconds, *counts = (one + more for one, more in zip(self, other, strict=True))
        return Counts(seconds, *(int(count) for count in counts))


def counted(shown: Iterator[Frame], seconds: float, encoder: Encoder) -> Counts:
    """Track objects and encode their pictures."""
    views = ViewEncoder(encoder)
    found = object_rows(shown, 1.0, onlooker=views)
    views.embeddings(found.numbers.tolist())
    return Counts(seconds, len(found.tracks), len(found.values), views.encoded, views.calls)


def rendered(clips: int, encoder: Encoder) -> Counts:
    """Count over rendered test clips."""
    total = Counts()
    for number in range(clips):
        clip = sample_clip(f"test-{number}", "test", number)
        shown = (Frame(place / FPS, image) for place, image in enumerate(frames(clip)) if place % (FPS // 4) == 0)
        total = total.plus(counted(shown, clip.duration_s, encoder))
    return total


def filmed(path: Path, encoder: Encoder) -> Counts:
    """Count over a video file."""
    with Video(path, **TrackedBackbone(encoder).reads_at(1.0)._asdict()) as video:
        counts = counted(video.frames(), 0.0, encoder)
        return counts._replace(seconds=video.end_s)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("videos", nargs="*", type=Path)
    given = parser.parse_args()
    print("| video | minutes | tracks per hour | rows per hour | pictures per hour | share of one per row | calls per hour |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        graph = encoders.mean_colour(Path(folder) / "e.onnx", shape=("n", 3, 224, 224))
        encoder = Encoder(encoders.settings_of(graph, size=(224, 224)), graph, GraphSettings(threads=1))
        print_counts(f"{given.clips} rendered clips", rendered(given.clips, encoder))
        for path in given.videos:
            print_counts(path.name, filmed(path, encoder))


def print_counts(name: str, counts: Counts) -> None:
    """Print a row of the table."""
    per_hour = 3600.0 / counts.seconds
    cells = [f"{per_hour * number:,.0f}" for number in (counts.tracks, counts.rows, counts.pictures)]
    share = f"{counts.pictures / max(counts.rows, 1):.2f}"
    print(f"| {name} | {counts.seconds / 60:.1f} | {' | '.join(cells)} | {share} | {per_hour * counts.calls:,.0f} |")


if __name__ == "__main__":
    main()
