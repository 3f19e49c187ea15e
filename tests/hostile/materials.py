"""What the attacks start from, made once: a trained checkpoint, a bundle, features, tiny films. Kept where a run is to go on later."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

FRAMES = 10
SIZE_PX = (64, 48)
FPS = 5
LONG = 5_000  # rows
PLACES = {"captions": "train.jsonl", "val_captions": "val.jsonl", "features": "features"}


@dataclass(frozen=True)
class Materials:
    """Where they lie.

    Attributes:
        folder: everything: run.toml, captions, features/, runs/tiny (a checkpoint), bundle/, films/.
    """

    folder: Path

    @property
    def bundle(self) -> Path:
        """A bundle in FP32, FP16 and INT8."""
        return self.folder / "bundle"

    @property
    def slim(self) -> Path:
        """The same in FP32 alone, quick to open."""
        return self.folder / "slim"

    @property
    def plain_bundle(self) -> Path:
        """As a plain export writes it: FP32 alone."""
        return self.folder / "plain-bundle"

    @property
    def other_bundle(self) -> Path:
        """The same of the other checkpoint."""
        return self.folder / "other-bundle"

    @property
    def checkpoint(self) -> Path:
        """What it was exported from."""
        return self.folder / "runs" / "tiny"

    @property
    def other(self) -> Path:
        """Another checkpoint of the same data."""
        return self.folder / "runs" / "other"

    @property
    def features(self) -> Path:
        """A folder of .feat files."""
        return self.folder / "features"

    @property
    def feat(self) -> Path:
        """One of them, without keys beside it."""
        return self.features / "val1.feat"

    @property
    def long_feat(self) -> Path:
        """Features of more than an hour, whose keys are written in several pieces."""
        return self.films / "long.feat"

    @property
    def sentence(self) -> str:
        """What is true of that file."""
        rows = (json.loads(line) for line in (self.folder / "val.jsonl").read_text().splitlines())
        return next(str(row["query"]) for row in rows if row["vid"] == self.feat.stem)

    @property
    def films(self) -> Path:
        """Tiny films, one of each container."""
        return self.folder / "films"


def make(folder: Path) -> Materials:
    """Make what is missing of them in a folder; about a minute."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Materials(folder)
    if not (made.bundle / "manifest.json").is_file():
        from tiny import make_rows_bundle

        make_rows_bundle(folder)
    for keys in made.features.glob("*.keys"):
        keys.unlink()
    if not (made.slim / "manifest.json").is_file():
        _slim(made)
    if not (made.films / "made.json").is_file():
        _films(made.films)
    if not made.long_feat.is_file():
        _long(made)
    return made


def _slim(made: Materials) -> None:
    """The bundle of FP32 alone; of the large golden data only what reading needs."""
    from wsra.runtime.formats.bundle import GOLDEN, read_manifest, sealed_files, write_manifest
    from wsra.runtime.verification.golden import read_golden, write_golden

    shutil.rmtree(made.slim, ignore_errors=True)
    shutil.copytree(made.bundle, made.slim, ignore=shutil.ignore_patterns("fp16", "int8", "engines"))
    golden = read_golden(made.bundle / GOLDEN)
    few = golden.pairs[:, 1] < 2
    pairs, moments, confidence = golden.pairs[few], golden.moments[few], golden.confidence[few]
    edges = {name: cases[:1] for name, cases in golden.edges.items()}
    small = replace(
        golden,
        pairs=pairs,
        moments=moments,
        confidence=confidence,
        edges=edges,
        videos=golden.videos[:2],
        calibration_videos=golden.calibration_videos[:1],
    )
    write_golden(made.slim / GOLDEN, small)
    manifest = read_manifest(made.bundle)
    precisions = {"fp32": manifest.precisions["fp32"]}
    write_manifest(made.slim, replace(manifest, precisions=precisions, files=sealed_files(made.slim)))


def _long(made: Materials) -> None:
    from wsra.runtime.bench.stages import repeated
    from wsra.runtime.formats.features import read_features, write_features

    short = read_features(made.feat)
    write_features(made.long_feat, repeated(short, LONG * short.duration_s / len(short) / 3600))


def _films(folder: Path) -> None:
    from films import Film

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    times = tuple(1000 * number // FPS for number in range(FRAMES))
    fragmented = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    films = {
        "plain.mp4": Film(shown_ms=times, size=SIZE_PX, bframes=1),
        "fragmented.mp4": Film(shown_ms=times, size=SIZE_PX, group=4, container=fragmented),
        "plain.mkv": Film(shown_ms=times, size=SIZE_PX),
        "plain.avi": Film(codec="mpeg4", shown_ms=times, size=SIZE_PX),
        "plain.ts": Film(shown_ms=times, size=SIZE_PX, format="mpegts"),
        "bare.h264": Film(shown_ms=times, size=SIZE_PX, format="h264"),
        "bare.mjpeg": Film(codec="mjpeg", shown_ms=times, size=SIZE_PX, format="mjpeg"),
    }
    for name, film in films.items():
        film.write(folder / name)
    (folder / "made.json").write_text(json.dumps(sorted(films)))
