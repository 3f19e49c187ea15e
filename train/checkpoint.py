"""A checkpoint is a folder: model.safetensors (the best), last.safetensors (all that resuming needs), config.toml, metrics.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from wsra.runtime.errors import ConfigError
from wsra.runtime.files import replacing
from wsra.train.config import Run, read_run, table_from_run
from wsra.train.model import Scorer

MODEL, LAST, CONFIG, METRICS = "model.safetensors", "last.safetensors", "config.toml", "metrics.json"


@dataclass(frozen=True)
class Checkpoint:
    """A trained scorer and how it came about.

    Attributes:
        folder: where it lies.
        scorer: the best weights.
        run: the settings.
        backbone: what made the features.
        snippet_s: length of a snippet in seconds.
        metrics: one row per epoch.
    """

    folder: Path
    scorer: Scorer
    run: Run
    backbone: str
    snippet_s: float
    metrics: list[dict[str, float]]


def save_model(folder: Path, scorer: Scorer, *, backbone: str, snippet_s: float, epoch: int) -> None:
    """Write the best weights."""
    metadata = {
        "format": "wsra.checkpoint",
        "version": "1",
        "backbone": backbone,
        "snippet_s": repr(snippet_s),
        "epoch": str(epoch),
    }
    with replacing(folder / MODEL) as part:
        save_file(scorer.state_dict(), part, metadata)


def save_run(folder: Path, run: Run) -> None:
    """Write the settings."""
    with replacing(folder / CONFIG) as part:
        part.write_text(tomli_w.dumps(table_from_run(run)), encoding="utf-8")


def save_metrics(folder: Path, rows: list[dict[str, float]]) -> None:
    """Write one row per epoch."""
    with replacing(folder / METRICS) as part:
        part.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def save_last(folder: Path, scorer: Scorer, optimizer: torch.optim.Optimizer, generator: torch.Generator, state: dict[str, float]) -> None:
    """Write all that resuming needs in one file: weights, Adam's moments, the source of chance, and where the run stands."""
    tensors: dict[str, Tensor] = {f"model.{name}": value for name, value in scorer.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors.update({f"adam.{number}.{name}": value for name, value in moments.items()})
    tensors["generator"] = generator.get_state()
    with replacing(folder / LAST) as part:
        save_file(tensors, part, {"state": json.dumps(state)})


def load_last(folder: Path, scorer: Scorer, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> dict[str, float]:
    """Restore what `save_last` wrote, in place.

    Returns:
        The `state` given to `save_last`.

    Raises:
        ConfigError: there is nothing to resume, or it is damaged.
    """
    path = folder / LAST
    if not path.is_file():
        raise ConfigError(f"{folder}: no {LAST} to resume from; start the run without --resume")
    try:
        with safe_open(path, framework="pt") as file:
            state: dict[str, float] = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as err:
        raise ConfigError(f"{path}: damaged ({err}); start the run without --resume") from err
    scorer.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, number, moment = name.split(".")
            moments.setdefault(int(number), {})[moment] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    generator.set_state(tensors["generator"])
    return state


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """One row per epoch; none where there are none yet.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / METRICS
    try:
        rows: list[dict[str, float]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    except ValueError as err:
        raise ConfigError(f"{path}: damaged ({err}); restore it or train again") from err
    return rows


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read the best weights of a run.

    Raises:
        ConfigError: the folder is no checkpoint, or it is damaged.
    """
    path = folder / MODEL
    if not path.is_file() or not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder}: not a checkpoint (no {MODEL} and {CONFIG}); train one with wsra train RUN.toml")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as err:
        raise ConfigError(f"{path}: cannot be read ({err}); it may be truncated: train again or use another checkpoint") from err
    if metadata.get("format") != "wsra.checkpoint":
        raise ConfigError(f"{path}: a safetensors file, but not of wsra; expected a checkpoint of wsra train")
    key_width, feature_width = weights["video.weight"].shape
    scorer = Scorer(feature_width, weights["text.weight"].shape[1], key_width)
    scorer.load_state_dict(weights)
    metrics = read_metrics(folder)
    run = read_run(folder / CONFIG)
    return Checkpoint(folder, scorer.eval(), run, metadata["backbone"], float(metadata["snippet_s"]), metrics)
