"""The trials of each table: which set, which recipe, which settings over it, which seed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomllib

from wsra.train.config import Run, run_from_table

PAPER = Path(__file__).parents[2] / "configs" / "paper.toml"
EPOCHS = 8  # of every trial: the same budget for all
SEEDS = (0, 1, 2)
SETS = ("charades-easy", "charades-middle", "charades-hard", "uca")


@dataclass(frozen=True)
class Trial:
    """One training run and its measurement.

    Attributes:
        name: of its JSON.
        planted: the set.
        recipe: "ours" (the defaults of wsra train), "paper", "tga" or "skyline".
        settings: section.key -> value over the recipe.
        seed: of training.
        captions: "train", or "train-wrong10" and the like.
    """

    name: str
    planted: str
    recipe: str = "ours"
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    captions: str = "train"


def run_of(trial: Trial, sets: Path) -> Run:
    """The run of a trial: the recipe, the budget that all share, the trial's settings.

    The paper's recipe takes the text vectors, the key width, the epochs and the four drawn negatives of the others, so that budgets are
    alike; all its weights, margins and temperatures and the proposals are those of configs/paper.toml.
    """
    table: dict[str, Any] = tomllib.loads(PAPER.read_text(encoding="utf-8")) if trial.recipe == "paper" else {}
    if trial.recipe == "paper":
        table["text"] = {}
        table["sampling"]["draws"] = 4
    folder = sets / trial.planted
    table["data"] = {
        **table.get("data", {}),
        "captions": str(folder / f"captions-{trial.captions}.jsonl"),
        "val_captions": str(folder / "captions-val.jsonl"),
        "features": str(folder / "features"),
    }
    table["training"] = {**table.get("training", {}), "key_width": 128, "epochs": EPOCHS, "seed": trial.seed, "threads": 1}
    for key, value in trial.settings.items():
        section, _, name = key.partition(".")
        table.setdefault(section, {})[name] = value
    return run_from_table(table, trial.name)


# Every weak recipe is tuned on charades-middle by validation with as many trials each, learning rate by temperature of the attention.
RATES = (1e-3, 3e-3)
TEMPERATURES = {"ours": (0.25, 0.1), "tga": (1.0, 0.1), "paper": (1.0, 0.1)}
TGA = {"loss.margin": 0.2}
BEST: dict[str, dict[str, Any]] = {"ours": {}, "tga": TGA, "paper": {}, "skyline": {}}  # what tuning chose
MIDDLE = "charades-middle"
LOSSES = ("background", "association", "instance", "cross_video")


def _tuning() -> list[Trial]:
    return [
        _trial(
            "tune",
            f"{recipe}-lr{rate:g}-temperature{temperature:g}",
            recipe,
            {"training.learning_rate": rate, "loss.temperature": temperature},
        )
        for recipe, temperatures in TEMPERATURES.items()
        for rate in RATES
        for temperature in temperatures
    ]


def _trial(table: str, label: str, recipe: str = "ours", settings: dict[str, Any] | None = None, **rest: Any) -> Trial:
    trial = Trial("", rest.pop("planted", MIDDLE), recipe, {**BEST[recipe], **(settings or {})}, **rest)
    return replace(trial, name=f"{table}-{trial.planted}-{label}-{trial.seed}")


def _headline() -> list[Trial]:
    """Every model on every set; three seeds on the middle one."""
    trials = []
    for planted in (MIDDLE, "charades-easy", "charades-hard", "uca"):
        for seed in SEEDS if planted == MIDDLE else SEEDS[:1]:
            trials += [_trial("headline", recipe, recipe, planted=planted, seed=seed) for recipe in ("ours", "skyline", "tga", "paper")]
            trials.append(replace(_trial("headline", "printed", "paper", planted=planted, seed=seed), settings={}))
    return trials


def _ablation() -> list[Trial]:
    """Table 1 of the paper: its losses alone and together, in wsra's form and without the term that is not in the paper."""
    rows = ("b", "a", "i", "ba", "bi", "ai", "bai", "baic")
    weights = {loss[0]: f"loss.{loss}" for loss in LOSSES}
    return [
        _trial(
            "ablation",
            "+".join(loss for loss in LOSSES if loss[0] in row),
            settings={"loss.contrast": 0.0} | {weights[letter]: 0.0 for letter in weights if letter not in row},
            seed=seed,
        )
        for seed in SEEDS
        for row in rows
    ]


def _k() -> list[Trial]:
    """Fig. 5: how many of the most and of the least similar sentences are left out."""
    chosen = [(first, 2) for first in (0, 1, 3, 6, 12)] + [(3, last) for last in (0, 8, 16)]
    return [
        _trial("k", f"first{first}-last{last}", settings={"sampling.first": first, "sampling.last": last}, seed=seed)
        for seed in SEEDS
        for first, last in chosen
    ]


LEVERS: dict[str, dict[str, Any]] = {
    "contrast-0": {"loss.contrast": 0.0},
    "contrast-2": {"loss.contrast": 2.0},
    "contrast-only": {"loss.contrast": 1.0, "loss.background": 0.0, "loss.association": 0.0, "loss.instance": 0.0, "loss.cross_video": 0.0},
    "background-0": {"loss.background": 0.0},
    "background-0.2": {"loss.background": 0.2},
    "background-0.2-after": {"loss.background": 0.2, "loss.background_after": True},
    "windows": {"data.seen_as": "windows"},
    "draws-12": {"sampling.draws": 12},
    "hardest": {"sampling.hardest": True},
    "temperature-1": {"loss.temperature": 1.0},
    "instance-printed": {"loss.instance_scaled": False},
    "contrast-temperature-0.3": {"loss.contrast_temperature": 0.3},
    "contrast-temperature-3": {"loss.contrast_temperature": 3.0},
    "cross-video-keys": {"loss.cross_video_space": "keys", "loss.gate_quantile": 0.3},
    "feature-noise": {"training.feature_noise": 0.3},
    "key-width-256": {"training.key_width": 256},
    "words": {"text.pooling": "words"},
}


def _levers() -> list[Trial]:
    """What the paper does not have, one change at a time; and wrong captions for every weak recipe."""
    trials = [_trial("levers", label, settings=settings) for label, settings in LEVERS.items()]
    for recipe in ("ours", "tga", "paper"):
        trials += [_trial("levers", f"{recipe}-wrong{share}", recipe, captions=f"train-wrong{share}") for share in (10, 30)]
    return trials


TABLES = {"tune": _tuning(), "headline": _headline(), "ablation": _ablation(), "k": _k(), "levers": _levers()}
