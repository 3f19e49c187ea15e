"""Evaluation: a model or predictions against annotations, compared with chance, timing alone and wrong sentences."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.choice import choose
from wsra.runtime.backends.settings import DEFAULT, RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.errors import BundleError, ConfigError, DataError
from wsra.runtime.evaluation.answer_sources import SNIPPET_S, AnswerSource, BundleSource, PredictionSource
from wsra.runtime.evaluation.controls import FITTED_IOU, of_other_videos, plan_windows
from wsra.runtime.evaluation.metrics import percent
from wsra.runtime.evaluation.protocols import ProtocolName, Rules, rules_of
from wsra.runtime.files.limits import WINDOWED_S
from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.formats.bundle import MANIFEST, SpanPlan, open_bundle
from wsra.runtime.formats.describe import CHECKPOINT
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.progress import Progress, unseen

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
RESAMPLES = 2000
_BYTES = 64_000_000  # of counts held at a time


@dataclass(frozen=True)
class EvaluationRequest:
    """What is to be evaluated.

    Attributes:
        source: a bundle, or predictions as JSON lines.
        annotations: queries with their spans, in any known form.
        protocol: rules to follow.
        features: folder of .feat files, for a bundle.
        plan: of candidate spans, or None for the bundle's, or without one the protocol's.
        prior_from: annotations whose timing the prior fits, or None for the evaluated ones.
        durations: JSON with durations, for Charades-STA's text.
        clip_ends: clip true spans to the end of the video (ground truth B of Charades-STA).
        top_k: moments asked of a bundle per query.
        seed: of wrong sentences and of the bootstrap.
        settings: how the bundle runs.
    """

    source: Path
    annotations: Path
    protocol: ProtocolName
    features: Path | None = None
    plan: SpanPlan | None = None
    prior_from: Path | None = None
    durations: Path | None = None
    clip_ends: bool = False
    top_k: int = 10
    seed: int = 0
    settings: RunSettings = DEFAULT


@dataclass(frozen=True)
class Evaluation:
    """A result with its controls.

    Attributes:
        protocol: the rules.
        plan: of candidate spans.
        queries: how many were counted.
        videos: of how many videos.
        unanswered: queries without any answer, each counted 0.
        found: percent of the queries that the bundle finds by itself; None for predictions and for the protocol didemo.
        result: figures in percent.
        controls: name -> figures in percent; none where a control cannot be had.
        interval95: figure of the result -> 95 % interval in percent.
        notes: what each control is, for people.
        annotations: the queries that were counted.
        answers: per query (n, 3) start, end and score, best first.
    """

    protocol: ProtocolName
    plan: SpanPlan
    queries: int
    videos: int
    unanswered: int
    found: float | None
    result: dict[str, float]
    controls: dict[str, dict[str, float] | None]
    interval95: dict[str, tuple[float, float]]
    notes: dict[str, str]
    annotations: Sequence[Annotation]
    answers: Sequence[Array]


def evaluate(request: EvaluationRequest, progress: Progress = unseen) -> Evaluation:
    """Evaluate a bundle or predictions.

    Args:
        request: what is evaluated, and how.
        progress: called with "videos" or "videos, shuffled queries", how many are answered, and how many there are.

    Raises:
        WsraError: something of the request cannot be used.
    """
    if request.protocol == "didemo" and request.plan not in (None, "segments"):
        raise ConfigError(f"--plan {request.plan}: the protocol didemo ranks DiDeMo's 21 moments; leave --plan out")
    is_bundle = _is_bundle(request.source)
    annotations = _labelled(request.annotations, request)
    rules = rules_of(request.protocol, annotations)
    if not is_bundle:
        if request.features is not None:
            logger.info("features are not read: the predictions hold the answers")
        predictions = PredictionSource(request.source, annotations, rules, protocol=request.protocol, plan=request.plan)
        return _measured(request, annotations, rules, predictions)
    if request.features is None:
        raise ConfigError(f"{request.source}: a bundle, which needs the features of the videos: give their folder with --features")
    bundle, device = open_bundle(request.source), this_device(gpu=request.settings.device)
    route = choose(bundle, device, request.settings)
    with Grounder.of_route(bundle, route, device, request.settings) as grounder:
        logger.info(f"bundle {request.source} ({grounder.precision}, {grounder.scorer.provider}, {grounder.scorer.device})")
        found = BundleSource(
            grounder, annotations, request.features, protocol=request.protocol, plan=request.plan, top_k=request.top_k, progress=progress
        )
        return _measured(request, annotations, rules, found)


def _is_bundle(source: Path) -> bool:
    if not os.path.exists(source):  # noqa: PTH110 (which raises nothing over a name that is too long)
        raise DataError(f"{source}: no such file or folder; expected a bundle, or predictions as JSON lines")
    if not source.is_dir():
        return False
    if (source / CHECKPOINT).is_file() and not (source / MANIFEST).is_file():
        raise BundleError(f"{source}: a checkpoint; expected a bundle: export it first with wsra export {source} -o BUNDLE")
    return True


def _labelled(path: Path, request: EvaluationRequest) -> list[Annotation]:
    """Annotations with at least one true span, clipped where that is asked for."""
    annotations = read_annotations(path, durations=request.durations)
    labelled = [a for a in annotations if a.windows_s]
    if not labelled:
        raise DataError(f"{path}: none of the {len(annotations)} queries has a true span; expected relevant_windows with spans")
    if len(labelled) < len(annotations):
        logger.info(f"{path}: {len(annotations) - len(labelled)} of {len(annotations)} queries have no true span and are not counted")
    if not request.clip_ends:
        return labelled
    return [replace(a, windows_s=tuple((min(start, a.duration_s), min(end, a.duration_s)) for start, end in a.windows_s)) for a in labelled]


def _measured(request: EvaluationRequest, annotations: Sequence[Annotation], rules: Rules, source: AnswerSource) -> Evaluation:
    answers = source.answers()
    unanswered = sum(len(answer) == 0 for answer in answers)
    if unanswered:
        logger.info(f"{unanswered} of {len(annotations)} queries have no answer; each counts 0")
    scores = rules.scores(answers)
    videos = [a.vid for a in annotations]
    notes: dict[str, str] = {}
    controls: dict[str, dict[str, float] | None] = {}

    drawn_from, notes["chance"] = _chance_windows(request, annotations, source)
    controls["chance"] = percent(rules.chance(drawn_from))

    training = annotations if request.prior_from is None else _labelled(request.prior_from, request)
    where = "the EVALUATED data itself; give the training split with --prior-from" if request.prior_from is None else request.prior_from
    timing = "moments by frequency" if request.protocol == "didemo" else f"five fixed windows that hit most at IoU {FITTED_IOU}"
    notes["prior"] = f"{timing}, fitted on {where}"
    controls["prior"] = percent(rules.scores(rules.prior(training)))

    others = of_other_videos(annotations, seed=request.seed)
    notes["shuffled"] = source.shuffling if others is not None else "not to be had: all queries are of one video"
    controls["shuffled"] = None if others is None else percent(rules.scores(source.shuffled(others)))

    return Evaluation(
        protocol=request.protocol,
        plan=source.plan,
        queries=len(annotations),
        videos=len(set(videos)),
        unanswered=unanswered,
        found=None if source.found is None else round(100 * float(np.mean(source.found)), 3),
        result=percent(scores),
        controls=controls,
        interval95=intervals(scores, videos, seed=request.seed),
        notes=notes,
        annotations=annotations,
        answers=answers,
    )


def _chance_windows(request: EvaluationRequest, annotations: Sequence[Annotation], source: AnswerSource) -> tuple[list[Array], str]:
    """Windows of every query's video, once per video, and what they are."""
    if source.plan == "tracks":
        lives_s = {vid: source.lives_s(annotation) for vid, annotation in {a.vid: a for a in annotations}.items()}
        note = "a random ranking of the lives of the video's objects, exact; none is dropped for overlapping another"
        return [lives_s[annotation.vid] for annotation in annotations], note
    plan = "seconds" if source.plan == "peaks" or source.plan == "maximal" else source.plan
    if plan == "seconds" and isinstance(source, PredictionSource):
        total_s = sum({annotation.vid: annotation.duration_s for annotation in annotations}.values())
        if total_s > WINDOWED_S:
            raise DataError(
                f"{request.annotations}: its videos last {total_s:g} s together; expected {WINDOWED_S:g} s at most with the plan {plan},"
                " which ranks every window of every video: check the durations, or choose --plan relative"
            )
    windows: dict[str, Array] = {}
    for annotation in annotations:
        if annotation.vid not in windows:
            times_s = source.times_s(annotation) if plan == "seconds" else np.zeros((0, 2))
            windows[annotation.vid] = plan_windows(plan, annotation.duration_s, times_s)
    note = f"a random ranking of the windows of the plan {plan}, exact"
    if source.plan in ("peaks", "maximal"):
        note += f"; the spans of {source.plan} depend on the sentence, so there is nothing to draw from"
    if plan == "seconds" and isinstance(source, PredictionSource):
        note += f"; snippets of {SNIPPET_S:g} s"
    return [windows[annotation.vid] for annotation in annotations], note


def intervals(scores: Mapping[str, Array], videos: Sequence[str], *, seed: int) -> dict[str, tuple[float, float]]:
    """Percentiles 2.5 and 97.5 of each figure over 2000 samples of as many videos, drawn with replacement.

    Args:
        scores: per figure (Q,) values in [0, 1].
        videos: per query its video.
        seed: of the drawing.

    Returns:
        Low and high ends in percent with three decimals.
    """
    names, place = np.unique(np.asarray(videos), return_inverse=True)
    values = np.stack([np.ones(len(videos)), *scores.values()], axis=1)
    totals = np.zeros((len(names), values.shape[1]))
    np.add.at(totals, place, values)
    rng = np.random.default_rng(seed)
    at_once = max(1, _BYTES // (8 * len(names)))
    sums = np.concatenate(
        [
            rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=min(at_once, RESAMPLES - start)) @ totals
            for start in range(0, RESAMPLES, at_once)
        ]
    )
    low, high = np.percentile(100 * sums[:, 1:] / sums[:, :1], [2.5, 97.5], axis=0)
    return {name: (round(float(low[i]), 3), round(float(high[i]), 3)) for i, name in enumerate(scores)}
