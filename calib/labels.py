"""Calibrate the presence of a bundle again on a user's labels, without training."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsra.calib.refinement import refine_presence
from wsra.runtime.backends.routes import Route
from wsra.runtime.device import this_device
from wsra.runtime.errors import DataError, FeatureError, OutputError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.locks import locked
from wsra.runtime.files.names import feat_of
from wsra.runtime.files.writing import replacing_folder
from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.formats.bundle import GOLDEN, open_bundle, sealed_files, write_manifest
from wsra.runtime.formats.features import read_features
from wsra.runtime.formats.presence import Presence
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.spans.moments import Moment
from wsra.runtime.verification.gates import first_moments
from wsra.runtime.verification.golden import read_golden, write_golden


def calibrate_on_labels(folder: Path, labels: Path, features: Path, out: Path | None = None, progress: Progress = unseen) -> Presence:
    """Refine presence with labels, scored by FP32 on the CPU, and write the bundle with it.

    The best candidate that overlaps a true span of its sentence is true. Every candidate that overlaps none is false, and what is outside
    the true spans counts as searched. The golden confidences are those of FP32 with the new presence.

    Args:
        folder: the bundle.
        labels: annotations; a sentence without a true span is absent.
        features: folder of the .feat files, named by video.
        out: folder for the new bundle; None replaces the old one.
        progress: called with "videos", how many are done, and how many there are.

    Raises:
        DataError: a label or its features cannot be used, there are too few, or true moments do not score higher.
        BundleError: the bundle cannot be used.
        OutputError: `out` exists, or cannot be written.
    """
    out = folder if out is None else out
    if out != folder and out.exists():
        raise OutputError(f"{out}: exists already; choose another folder, or leave --out away to calibrate the bundle in its place")
    bundle = open_bundle(folder)
    by_video: dict[str, list[Annotation]] = {}
    for label in read_annotations(labels):
        by_video.setdefault(label.vid, []).append(label)
    paths = {vid: feat_of(features, vid, error=DataError, source=labels) for vid in by_video}
    with Grounder.of_route(bundle, Route("fp32", "cpu"), this_device()) as grounder:
        true, false, hours = _scores(grounder, by_video, paths, progress)
        refined = refine_presence(bundle.manifest.presence, true, false, max(hours, 1e-9))
        grounder.manifest = replace(bundle.manifest, presence=refined)
        golden = read_golden(folder / GOLDEN)
        _, confidence = first_moments(grounder, golden.videos, golden.sentences, golden.pairs)
    with locked(out), replacing_folder(out) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True)
        write_golden(part / GOLDEN, replace(golden, confidence=confidence))
        write_manifest(part, replace(grounder.manifest, files=sealed_files(part)))
        open_bundle(part)
    return grounder.manifest.presence


def _scores(
    grounder: Grounder, by_video: Mapping[str, Sequence[Annotation]], paths: Mapping[str, Path], progress: Progress
) -> tuple[list[float], list[float], float]:
    """Presence scores of true and of false moments, and the hours that were searched for false ones."""
    true: list[float] = []
    false: list[float] = []
    searched_s = 0.0
    for done, (vid, labels) in enumerate(by_video.items(), 1):
        with one_file(paths[vid], FeatureError):
            video = read_features(paths[vid])
            queries = [label.query for label in labels]
            answers = grounder.answers(video, queries, top_k=sys.maxsize, false_alarms=np.inf)
        for label, answer in zip(labels, answers, strict=True):
            inside = [_overlaps(moment, label) for moment in answer.moments]
            if label.windows_s:
                true.append(max((m.presence for m, hit in zip(answer.moments, inside, strict=True) if hit), default=-np.inf))
            false += [m.presence for m, hit in zip(answer.moments, inside, strict=True) if not hit]
            searched_s += max(0.0, video.duration_s - sum(end - start for start, end in label.windows_s))
        progress("videos", done, len(by_video))
    return true, false, searched_s / 3600


def _overlaps(moment: Moment, label: Annotation) -> bool:
    return any(moment.start_s < end and start < moment.end_s for start, end in label.windows_s)
