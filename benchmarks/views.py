"""How many pictures `--regions tracks` encodes per hour of video, beside one for each track and second in which it is seen.

    python benchmarks/views.py [--clips 40] [VIDEO ...]

Rendered test clips, together one row of the table, then a row for each video. The encoder is the mean colour at 224 x 224: what it costs is
not measured here, and what is chosen does not depend on it.
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
from wsra.runtime.video.frames import Frame, Video
from wsra.train.scenes.demo.render import FPS, frames
from wsra.train.scenes.demo.world import sample_clip

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
encoders: Any = import_module("encoders")


class Counts(NamedTuple):
    """Of some video: its seconds, tracks, rows (one for each track and second), pictures that were encoded, and calls of the encoder."""

    seconds: float = 0.0
    tracks: int = 0
    rows: int = 0
    pictures: int = 0
    calls: int = 0

    def plus(self, other: Counts) -> Counts:
        """The sums of both."""
        seconds, *counts = (one + more for one, more in zip(self, other, strict=True))
        return Counts(seconds, *(int(count) for count in counts))


def counted(shown: Iterator[Frame], seconds: float, encoder: Encoder) -> Counts:
    """Follow and encode."""
    views = ViewEncoder(encoder)
    found = object_rows(shown, 1.0, onlooker=views)
    views.embeddings(found.numbers.tolist())
    return Counts(seconds, len(found.tracks), len(found.values), views.encoded, views.calls)


def rendered(clips: int, encoder: Encoder) -> Counts:
    """Test clips, one after the other."""
    total = Counts()
    for number in range(clips):
        clip = sample_clip(f"test-{number}", "test", number)
        shown = (Frame(place / FPS, image) for place, image in enumerate(frames(clip)) if place % (FPS // 4) == 0)
        total = total.plus(counted(shown, clip.duration_s, encoder))
    return total


def filmed(path: Path, encoder: Encoder) -> Counts:
    """A video file."""
    with Video(path, **TrackedBackbone(encoder).reads_at(1.0)._asdict()) as video:
        counts = counted(video.frames(), 0.0, encoder)
        return counts._replace(seconds=video.end_s)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("videos", nargs="*", type=Path)
    given = parser.parse_args()
    print("| video | minutes | tracks an hour | rows an hour | pictures an hour | of one a row | calls an hour |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        graph = encoders.mean_colour(Path(folder) / "e.onnx", shape=("n", 3, 224, 224))
        encoder = Encoder(encoders.settings_of(graph, size=(224, 224)), graph, threads=1)
        print_counts(f"{given.clips} rendered clips", rendered(given.clips, encoder))
        for path in given.videos:
            print_counts(path.name, filmed(path, encoder))


def print_counts(name: str, counts: Counts) -> None:
    """A row of the table."""
    per_hour = 3600.0 / counts.seconds
    cells = [f"{per_hour * number:,.0f}" for number in (counts.tracks, counts.rows, counts.pictures)]
    share = f"{counts.pictures / max(counts.rows, 1):.2f}"
    print(f"| {name} | {counts.seconds / 60:.1f} | {' | '.join(cells)} | {share} | {per_hour * counts.calls:,.0f} |")


if __name__ == "__main__":
    main()
