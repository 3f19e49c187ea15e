"""Inputs to features: where those of an input are kept, and making them where they are missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from wsra.runtime.archive.inputs import Input
from wsra.runtime.backbones.common.protocol import Backbone
from wsra.runtime.errors import OutputError, VideoError
from wsra.runtime.extraction.batch import extract_features
from wsra.runtime.extraction.provenance import is_extracted, is_of
from wsra.runtime.extraction.sidecar import FEAT, find_sidecar
from wsra.runtime.files.locks import locked, sweep_lock
from wsra.runtime.files.writing import refuse_existing
from wsra.runtime.formats.features import read_features, write_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.terminal.console import progress, say
from wsra.runtime.video.frames import Video


@dataclass(frozen=True)
class Source:
    """An input, where its features are kept, and whether they must be made first."""

    given: Input
    feat: Path
    missing: bool


def source_of(given: Input, grounder: Grounder) -> Source:
    """Where the features of an input are; refuses what cannot be used, quickly and without writing.

    Raises:
        FeatureError: a .feat file cannot be used, or is of another backbone than the bundle's.
        VideoError: a video cannot be opened, or another one would share its features; or a folder cannot be listed.
        OutputError: features are missing and could not be kept beside the video.
    """
    path = given.path
    if given.unlisted is not None:
        raise VideoError(f"{path}: this folder cannot be listed ({given.unlisted}); allow this user to read it, or ask for others")
    if given.twin is not None:
        raise VideoError(f"{path} and {given.twin.name}: two videos of one name would share {path.stem}{FEAT}; rename one of them")
    if path.suffix == FEAT:
        grounder.check(read_features(path))
        return Source(given, path, missing=False)
    feat, features = find_sidecar(path, grounder.manifest.backbone)
    if features is not None:
        grounder.check(features)
        if not is_extracted(features) or is_of(features, path):
            sweep_lock(feat)
            return Source(given, feat, missing=False)
        say(f"{path}: changed since it was extracted")
    refuse_existing(feat, overwrite=True)
    with Video(path, height_px=1, frames_per_s=1.0):
        pass
    if not feat.exists() and not os.access(path.parent, os.W_OK):
        raise OutputError(
            f"{path.parent}: not writable, so features cannot be kept there; run wsra extract {path} -o DIR and ground the {FEAT}"
        )
    return Source(given, feat, missing=True)


def extract_source(source: Source, snippet_s: float, backbone: Backbone) -> None:
    """Make the features of a video and keep them.

    Raises:
        VideoError: it cannot be decoded.
        BackboneError: the encoder gives something else than its JSON says.
        OutputError: the place cannot be written.
    """
    path = source.given.path
    with locked(source.feat, waiting=say):
        _, features = find_sidecar(path, backbone.id(snippet_s))
        if features is not None and is_extracted(features) and is_of(features, path):
            return  # another process made them while this one waited
        say(f"extracting {path}; the features are kept in {source.feat}")
        with progress("seconds", None) as bar:
            features = extract_features(
                path,
                backbone=backbone,
                snippet_s=snippet_s,
                progress=lambda done, total: bar.update(bar.task_ids[0], completed=done, total=total),
            )
        write_features(source.feat, features)
