"""An archive whose videos a browser plays, or does not, with a bundle that finds everything in it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from films import Film
from pages import SETTINGS
from presences import ALWAYS

from handed import picture, write_film
from wsra.runtime.archive.videos import open_backbone
from wsra.runtime.backends.choice import choose
from wsra.runtime.device import this_device
from wsra.runtime.extraction.batch import extract_features
from wsra.runtime.formats.bundle import Bundle, open_bundle, read_manifest, write_manifest
from wsra.runtime.formats.features import write_features

MARKUP = "<img src=x onerror=alert(1)>"


def sure_bundle(known: Path, place: Path) -> Bundle:
    """A copy of a bundle, so sure that it finds everything."""
    shutil.copytree(known, place)
    write_manifest(place, replace(read_manifest(place), presence=ALWAYS))
    return open_bundle(place, trust_unchanged=True)


def write_watched(root: Path, bundle: Bundle, clip: Path) -> Path:
    """Two cameras, one of which has a name like markup; a video without a clock, which no browser plays; and one without features."""
    (root / "new").mkdir(parents=True)
    backbone = open_backbone(bundle, choose(bundle, this_device(gpu=0), SETTINGS), SETTINGS)
    for name in ("gate-1_2026-11-23_14-05-00.mp4", f"{MARKUP}_2026-11-23_14-06-00.mp4"):
        shutil.copy(clip, root / name)
    Film("mpeg4", shown_ms=range(0, 12_000, 40), picture=lambda number: picture(number // 2)).write(root / "old.avi")
    for video in [*root.glob("*.mp4"), root / "old.avi"]:
        write_features(video.with_suffix(".feat"), extract_features(video, backbone=backbone, snippet_s=bundle.manifest.snippet_s))
    write_film(root / "new" / "later.mp4", shown_ms=range(0, 6_000, 100))
    return root
