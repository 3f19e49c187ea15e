"""A whole run: reads captions and features, encodes the captions, and trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from wsra.runtime.errors import ConfigError, DataError
from wsra.runtime.files.locks import locked
from wsra.runtime.progress import Progress
from wsra.train.config import CAPTIONS, SPANS, Run
from wsra.train.custom import imported
from wsra.train.data import CaptionedVideos, load
from wsra.train.loop import Report, fit
from wsra.train.objective import CaptionObjective, Objective
from wsra.train.spans import SpanObjective, span_objective
from wsra.train.text import cached_vectors, load_encoder

TextProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class TrainingSets:
    """Training and validation set: captioned videos with the vectors of their captions (captions, Dt)."""

    train: tuple[CaptionedVideos, Tensor]
    val: tuple[CaptionedVideos, Tensor]


def prepare(run: Run, cache: Path, progress: TextProgress | None = None) -> TrainingSets:
    """Read data and encode captions.

    Args:
        run: the settings.
        cache: folder of text vectors.
        progress: called with the number of sentences encoded and the total.

    Raises:
        DataError: captions or features cannot be used.
        ConfigError: the text encoder cannot be loaded.
    """
    torch.set_num_threads(run.training.threads)
    sets = [
        load(
            Path(path),
            Path(run.data.features),
            seen_as=run.data.seen_as,
            longest=run.data.longest,
            cache_mb=run.training.cache_mb,
        )
        for path in (run.data.captions, run.data.val_captions)
    ]
    check_sets(run, *sets)
    encoder = load_encoder(run.text.encoder, run.text.pooling)
    sentences = [caption.query for data in sets for caption in data.captions]
    vectors = cached_vectors(encoder, sentences, cache, progress)
    first = len(sets[0].captions)
    return TrainingSets((sets[0], vectors[:first]), (sets[1], vectors[first:]))


def check_sets(run: Run, train: CaptionedVideos, val: CaptionedVideos) -> None:
    """Refuse data that would fail, or give meaningless results, hours later.

    Raises:
        DataError: training and validation share videos, their features differ in kind, or a set leaves no negatives.
    """
    shared = sorted({caption.vid for caption in train.captions} & {caption.vid for caption in val.captions})
    if shared:
        raise DataError(
            f"{len(shared)} videos are in data.captions and in data.val_captions (the first: {shared[0]}); the best epoch must be chosen"
            " on other videos: move the captions of each video to one of the two"
        )
    one, two = ((data.backbone, data.values[0].shape[1], data.of_objects) for data in (train, val))
    if one != two:
        kinds = [f"{made} ({width} wide{', of objects' if objects else ''})" for made, width, objects in (one, two)]
        raise DataError(f"training features are {kinds[0]}, validation features {kinds[1]}; extract both with the same settings")
    first, last, batch = run.sampling.first, run.sampling.last, run.training.batch
    for key, data in (("captions", train), ("val_captions", val)):
        most = min(batch, len(data.captions))
        others = min(most - 1, len(data.captions) - int(torch.bincount(data.video_of).max()))
        if others - first - last >= 1:
            continue
        todo = "enlarge training.batch" if batch < len(data.captions) and most - 1 == others else "give more captions of other videos"
        raise DataError(
            f"data.{key}: a batch has at most {others} sentences of other videos for a pair; dropping the first {first} and the"
            f" last {last} leaves no negative: {todo}, or lower sampling.first and sampling.last"
        )


def permuted(prepared: TrainingSets, seed: int) -> TrainingSets:
    """Assign the training captions to wrong videos: a control that cannot learn what sentences mean."""
    data, text = prepared.train
    order = torch.randperm(len(data.captions), generator=torch.Generator().manual_seed(seed))
    return replace(prepared, train=(replace(data, video_of=data.video_of[order]), text))


def objectives_of(run: Run, prepared: TrainingSets) -> tuple[Objective, Objective]:
    """The objectives for training and for validation that `training.objective` names.

    Raises:
        ConfigError: the user's own objective cannot be imported, or is none.
        DataError: spans are to be read, and a caption has none.
    """
    name = run.training.objective
    if name == SPANS:
        (train_data, _), (val_data, _) = prepared.train, prepared.val
        return (
            span_objective(train_data, Path(run.data.captions), run.sampling),
            span_objective(val_data, Path(run.data.val_captions), run.sampling),
        )
    objective: Objective = CaptionObjective(run.loss, run.sampling)
    if name != CAPTIONS:
        objective = imported(name, "training.objective")(run)
        if not callable(objective):
            raise ConfigError(
                f"training.objective {name}: gives a {type(objective).__name__}; expected a function (scorer, batch, generator) -> (loss,"
                " figures)"
            )
    return objective, objective


def _name_of(objective: Objective) -> str:
    """The module and name of an objective that was not named."""
    if isinstance(objective, CaptionObjective | SpanObjective):
        return CAPTIONS if isinstance(objective, CaptionObjective) else SPANS
    kind = objective if hasattr(objective, "__qualname__") else type(objective)
    return f"{kind.__module__}:{kind.__qualname__}"


def train(
    run: Run,
    out: Path,
    prepared: TrainingSets,
    *,
    objective: Objective | None = None,
    val_objective: Objective | None = None,
    resume: bool = False,
    report: Report | None = None,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Train with the objective of the run (`training.objective`), or with a given one; see `fit`.

    The name of a given objective, the module and the name of its function or class, becomes `training.objective` of the checkpoint, so
    that a run is not resumed with another one.

    Raises:
        OutputError: another process is writing `out`.
        WsraError: as in `fit`, or as in `objectives_of`.
    """
    if objective is None:
        chosen, val_objective = objectives_of(run, prepared)
    else:
        chosen, run = objective, replace(run, training=replace(run.training, objective=_name_of(objective)))
    with locked(out):
        return fit(
            run,
            out,
            prepared.train,
            prepared.val,
            objective=chosen,
            val_objective=val_objective,
            resume=resume,
            report=report,
            progress=progress,
        )
