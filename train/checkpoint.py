"""A checkpoint is a folder: model.safetensors (best weights), last.safetensors (state for resuming), config.toml, metrics.csv.

Each file is replaced atomically, and last.safetensors after the others. A run that is killed between two writes resumes from the state
before, and writes the same files again. Equal states give equal bytes.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wsra.runtime.errors import ConfigError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.reading import json_value
from wsra.runtime.files.tensors import write_tensors
from wsra.runtime.files.writing import replacing
from wsra.runtime.formats.epochs import METRICS, read_metrics
from wsra.train.base_scorer import BaseScorer
from wsra.train.config import OWN_SCORER, Run, read_run, table_from_run
from wsra.train.custom import new_scorer
from wsra.train.model import Scorer

MODEL, LAST, CONFIG = "model.safetensors", "last.safetensors", "config.toml"
UPPER_BOUND = "trained with the spans of its captions"  # in the metadata of such weights


@dataclass(frozen=True)
class Checkpoint:
    """A trained scorer with its settings and metrics.

    Attributes:
        folder: the folder of the checkpoint.
        scorer: the best weights.
        run: the settings.
        backbone: the backbone that made the features.
        snippet_s: length of a snippet in seconds.
        metrics: one row per epoch.
        upper_bound: whether spans were read in training.
    """

    folder: Path
    scorer: BaseScorer
    run: Run
    backbone: str
    snippet_s: float
    metrics: list[dict[str, float]]
    upper_bound: bool = False


@dataclass
class Reached:
    """The progress of a run.

    Attributes:
        epoch: number of finished and validated epochs.
        step: number of steps done in the current epoch.
        order: order of the captions in the current epoch; empty before its first step.
        sums: figures of the current epoch, summed over its steps.
        best: `goodness` of the best epoch so far.
        rows: figures of each finished epoch.
    """

    epoch: int = 0
    step: int = 0
    order: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    sums: dict[str, float] = field(default_factory=dict)
    best: float = -1.0
    rows: list[dict[str, float]] = field(default_factory=list)


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    with replacing(path, durable=True) as part:
        write_tensors(part, {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}, metadata)


def save_model(folder: Path, scorer: BaseScorer, *, backbone: str, snippet_s: float, epoch: int, upper_bound: bool) -> None:
    """Write the best weights; an upper bound is marked as such in the metadata."""
    metadata = {
        "format": "wsra.checkpoint",
        "version": "1",
        "backbone": backbone,
        "snippet_s": repr(snippet_s),
        "epoch": str(epoch),
        **({"upper_bound": UPPER_BOUND} if upper_bound else {}),
    }
    _write(folder / MODEL, scorer.state_dict(), metadata)


def save_run(folder: Path, run: Run) -> None:
    """Write the settings."""
    with replacing(folder / CONFIG) as part:
        part.write_text(tomli_w.dumps(table_from_run(run)), encoding="utf-8")


def save_metrics(folder: Path, rows: list[dict[str, float]]) -> None:
    """Write one line per epoch, with numbers as Python prints them, so that they are read back exactly."""
    with replacing(folder / METRICS) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def save_last(folder: Path, scorer: BaseScorer, optimizer: torch.optim.Optimizer, generator: torch.Generator, reached: Reached) -> None:
    """Write the state for resuming into one file: weights, Adam's moments, the random generator, and the progress of the run."""
    tensors: dict[str, Tensor] = {f"model.{name}": value for name, value in scorer.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors.update({f"adam.{number}.{name}": value for name, value in moments.items()})
    tensors |= {"generator": generator.get_state(), "order": reached.order}
    state = {"epoch": reached.epoch, "step": reached.step, "sums": reached.sums, "best": reached.best, "rows": reached.rows}
    _write(folder / LAST, tensors, {"state": json.dumps(state)})


def load_last(folder: Path, scorer: BaseScorer, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> Reached:
    """Restore what `save_last` wrote, in place.

    Returns:
        The progress of the run.

    Raises:
        ConfigError: there is no state to resume from, or it is damaged.
    """
    path = folder / LAST
    if not path.is_file():
        raise ConfigError(f"{folder}: no {LAST} to resume from; start the run without --resume")
    hint = "start a new run in another --out"
    with one_file(path, ConfigError, hint=f"{hint}."):
        try:
            with safe_open(path, framework="pt") as file:
                state = json_value(file.metadata()["state"], place=str(path), error=ConfigError, hint=hint)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            reached = Reached(**state, order=tensors["order"])
            _check_reached(reached)
            moments = _moments(tensors, optimizer)
        except (SafetensorError, KeyError, TypeError, ValueError) as err:
            raise ConfigError(f"{path}: damaged, or written by another version of wsra ({err}); {hint}") from err
        scorer.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        generator.set_state(tensors["generator"])
    return reached


def _check_reached(reached: Reached) -> None:
    """Raise ValueError if a value has a wrong type, or the values contradict each other."""
    numbers = [reached.best, *reached.sums.values(), *(value for row in reached.rows for value in row.values())]
    if not all(type(count) is int and count >= 0 for count in (reached.epoch, reached.step)):
        raise ValueError(f"epoch {reached.epoch!r} and step {reached.step!r} are not counts")
    if not all(type(number) in (int, float) for number in numbers):
        raise ValueError("a figure is not a number")
    if len(reached.rows) != reached.epoch:
        raise ValueError(f"{len(reached.rows)} rows for {reached.epoch} epochs")
    if reached.order.ndim != 1 or reached.order.dtype != torch.long:
        raise ValueError(f"the order of captions is {reached.order.dtype} {tuple(reached.order.shape)}")
    if not torch.equal(reached.order.sort().values, torch.arange(len(reached.order))):
        raise ValueError("the order of captions is not a permutation")


def _moments(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """Adam's moments by parameter number: none before the first step, then one set for each; ValueError if they do not fit."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, number, moment = name.split(".")
            moments.setdefault(int(number), {})[moment] = value
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if moments and sorted(moments) != list(range(len(weights))):
        raise ValueError(f"moments for the parameters {sorted(moments)}, expected {len(weights)} parameters")
    for at, kept in moments.items():
        shapes = {name: tuple(value.shape) for name, value in kept.items()}
        expected = {"exp_avg": tuple(weights[at].shape), "exp_avg_sq": tuple(weights[at].shape)}
        if shapes not in ({"step": (1,), **expected}, {"step": (), **expected}):
            raise ValueError(f"moments of parameter {at} have the shapes {shapes}")
    return moments


def load_checkpoint(folder: Path, *, scorer: str = OWN_SCORER) -> Checkpoint:
    """Read the best weights of a run.

    Args:
        folder: the checkpoint.
        scorer: `training.scorer` of the run. A checkpoint may come from a stranger, so the code of a scorer that is not wsra's own is run
            only if it is named here.

    Raises:
        ConfigError: the folder is not a checkpoint, it is damaged, or its scorer is another one.
    """
    path = folder / MODEL
    if not path.is_file() or not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder}: not a checkpoint (no {MODEL} and {CONFIG}); train one with wsra train RUN.toml")
    run = read_run(folder / CONFIG)
    if run.training.scorer != scorer:
        named = f"give --scorer {run.training.scorer}, which runs this code" if run.training.scorer != OWN_SCORER else "leave out --scorer"
        raise ConfigError(f"{folder}: was trained with the scorer {run.training.scorer}, not with {scorer}; {named}")
    hint = "train again or use another checkpoint"
    with one_file(path, ConfigError, hint=f"{hint}."):
        try:
            with safe_open(path, framework="pt") as file:
                metadata: dict[str, Any] = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata.get("format") != "wsra.checkpoint":
                raise ConfigError(f"{path}: a safetensors file that wsra did not write; expected a checkpoint of wsra train")
            model = _scorer_of(weights) if scorer == OWN_SCORER else _custom_scorer(weights, run)
            backbone, snippet_s = metadata["backbone"], float(metadata["snippet_s"])
            if not 0 < snippet_s < math.inf:
                raise ValueError(f"snippets of {snippet_s} s")
        except (SafetensorError, OSError) as err:
            raise ConfigError(f"{path}: cannot be read ({err}); it may be truncated: {hint}") from err
        except (KeyError, ValueError) as err:
            raise ConfigError(f"{path}: a part is missing or does not fit ({err}); {hint}") from err
    return Checkpoint(folder, model.eval(), run, backbone, snippet_s, read_metrics(folder), "upper_bound" in metadata)


# Earlier checkpoints have no cosine; with zeros for its weights it adds nothing.
COSINE = {"direction.weight", "direction.bias", "gain"}


def _scorer_of(weights: Mapping[str, Tensor]) -> Scorer:
    """A scorer with these weights. Raises ValueError if they do not fit, before memory is allocated for it."""
    key_width, feature_width = weights["video.weight"].shape
    text_key_width, text_width = weights["text.weight"].shape
    if text_key_width != key_width or min(key_width, feature_width, text_width) < 1:
        raise ValueError(f"keys of {key_width} and {text_key_width} numbers, of {feature_width} of features and {text_width} of text")
    _check_finite(weights)
    scorer = Scorer(feature_width, text_width, key_width)
    if not weights.keys() & COSINE:
        weights = {**weights, **{name: torch.zeros_like(scorer.state_dict()[name]) for name in COSINE}}
    scorer.load_state_dict(dict(weights))
    return scorer


def _custom_scorer(weights: Mapping[str, Tensor], run: Run) -> BaseScorer:
    """A scorer of the user's own with these weights."""
    _check_finite(weights)
    scorer = new_scorer(run.training.scorer, len(weights["feature_mean"]), len(weights["text_mean"]), run.training.key_width)
    scorer.load_state_dict(dict(weights))
    return scorer


def _check_finite(weights: Mapping[str, Tensor]) -> None:
    if wrong := [name for name, value in weights.items() if not torch.isfinite(value).all()]:
        raise ValueError(f"{wrong[0]} holds NaN or infinite numbers")
