"""Checkpoints that are damaged: every reader of them says so in one line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from tiny import make_run
from wsra.runtime.errors import ConfigError, DataError, WsraError
from wsra.runtime.formats.describe import describe
from wsra.runtime.formats.epochs import METRICS, read_metrics
from wsra.train.checkpoint import LAST, MODEL, Reached, load_checkpoint, load_last
from wsra.train.command import train_run
from wsra.train.model import Scorer

Tensors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run file and a checkpoint of one epoch, stopped within the second."""
    folder = tmp_path_factory.mktemp("trained")
    train_run(make_run(folder, epochs=1), folder / "runs" / "a", ["training.save_every_s=0"], resume=False)
    return folder


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "runs" / "a", tmp_path / "a"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2] + ",",
        lambda text: text.replace(",", ",,"),
        lambda text: text.split("\n")[0] + "\n1,2\n",
        lambda text: re.sub(r"\n[^,]*", "\nmuch", text, count=1),
        lambda text: text + "1" + ",2" * 200 + "\n",
        lambda text: text + "\0\n",
        lambda text: text + '"' + "9" * 200_000,
    ],
    ids=["cut", "more values than names", "fewer values than names", "no number", "a longer row", "a null", "an endless field"],
)
def test_metrics_that_are_damaged(spoil: Callable[[str], str], checkpoint: Path) -> None:
    """264 of 310 tracebacks of checkpoints were these."""
    path = checkpoint / METRICS
    path.write_text(spoil(path.read_text()))
    for read in (read_metrics, load_checkpoint, describe):
        with pytest.raises(ConfigError, match=r"metrics\.csv: damaged .*; restore it or train again") as caught:
            read(checkpoint)
        assert "\n" not in str(caught.value)


def test_a_checkpoint_without_metrics_is_one_of_no_epochs(checkpoint: Path) -> None:
    (checkpoint / METRICS).unlink()
    assert read_metrics(checkpoint) == [] and describe(checkpoint)["epochs"] == 0


def rewrite(path: Path, change: Callable[[Tensors, dict[str, str]], object]) -> None:
    with safe_open(path, framework="numpy") as file:
        metadata, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, metadata)
    save_file(tensors, path, metadata)


MODELS: dict[str, Callable[[Tensors, dict[str, str]], object]] = {
    "no weights of video": lambda tensors, _: tensors.pop("video.weight"),
    "no bias": lambda tensors, _: tensors.pop("text.bias"),
    "weights of one axis": lambda tensors, _: tensors.update({"video.weight": tensors["video.weight"].reshape(-1)}),
    "a key width that differs": lambda tensors, _: tensors.update({"text.weight": tensors["text.weight"][:1]}),
    "a key width of nothing": lambda tensors, _: tensors.update({"video.weight": np.zeros((0, 1 << 40), np.float32)}),
    "another width": lambda tensors, _: tensors.update({"feature_mean": tensors["feature_mean"][:2]}),
    "one tensor more": lambda tensors, _: tensors.update({"more": np.zeros(3, np.float32)}),
    "NaN": lambda tensors, _: tensors.update({"out.bias": np.full(1, np.nan, np.float32)}),
    "no backbone": lambda _, metadata: metadata.pop("backbone"),
    "snippets of words": lambda _, metadata: metadata.update(snippet_s="long"),
    "snippets of NaN": lambda _, metadata: metadata.update(snippet_s="nan"),
    "another format": lambda _, metadata: metadata.update(format="other"),
}


@pytest.mark.parametrize("change", MODELS.values(), ids=MODELS)
def test_weights_that_are_none(change: Callable[[Tensors, dict[str, str]], object], checkpoint: Path) -> None:
    rewrite(checkpoint / MODEL, change)
    with pytest.raises(ConfigError, match=r"model\.safetensors: ") as caught:
        load_checkpoint(checkpoint)
    assert "\n" not in str(caught.value)


def changed(**values: Any) -> Callable[[Tensors, dict[str, str]], object]:
    return lambda _, metadata: metadata.update(state=json.dumps({**json.loads(metadata["state"]), **values}))


STATES: dict[str, Callable[[Tensors, dict[str, str]], object]] = {
    "no state": lambda _, metadata: metadata.pop("state"),
    "a state nested 50,000 deep": lambda _, metadata: metadata.update(state="[" * 50_000),
    "a state that is a list": lambda _, metadata: metadata.update(state="[]"),
    "an unknown key": changed(more=1),
    "an epoch of words": changed(epoch="one"),
    "a step below 0": changed(step=-1),
    "rows of lists": changed(rows=[[1]]),
    "rows of words": changed(rows=[{"epoch": "one"}]),
    "fewer rows than epochs": changed(rows=[]),
    "sums of words": changed(sums={"loss": "high"}),
    "sums that are a list": changed(sums=[1]),
    "no best": changed(best=None),
    "no order": lambda tensors, _: tensors.pop("order"),
    "an order of floats": lambda tensors, _: tensors.update(order=np.zeros(3, np.float32)),
    "an order that holds one twice": lambda tensors, _: tensors.update(order=np.zeros(3, np.int64)),
    "no generator": lambda tensors, _: tensors.pop("generator"),
    "a short generator": lambda tensors, _: tensors.update(generator=np.zeros(3, np.uint8)),
    "no weights": lambda tensors, _: tensors.pop("model.video.weight"),
    "weights of another shape": lambda tensors, _: tensors.update({"model.out.bias": np.zeros(7, np.float32)}),
    "moments of a weight that is none": lambda tensors, _: tensors.update({"adam.77.step": np.zeros((), np.float32)}),
    "moments of another shape": lambda tensors, _: tensors.update({"adam.0.exp_avg": np.zeros(3, np.float32)}),
    "a moment is missing": lambda tensors, _: tensors.pop("adam.1.exp_avg_sq"),
    "a name of moments without a number": lambda tensors, _: tensors.update({"adam.x": np.zeros(3, np.float32)}),
}


def resume(checkpoint: Path) -> Reached:
    run = load_checkpoint(checkpoint)
    scorer = Scorer(run.scorer.feature_width, run.scorer.text_width, run.scorer.key_width)
    return load_last(checkpoint, scorer, torch.optim.Adam(scorer.parameters()), torch.Generator())


@pytest.mark.parametrize("change", STATES.values(), ids=STATES)
def test_a_state_that_cannot_be_resumed(change: Callable[[Tensors, dict[str, str]], object], checkpoint: Path) -> None:
    assert resume(checkpoint).epoch == 1
    rewrite(checkpoint / LAST, change)
    with pytest.raises(ConfigError, match=r"last\.safetensors.*start a new run in another --out") as caught:
        resume(checkpoint)
    assert "\n" not in str(caught.value)


def test_other_captions_than_a_run_was_begun_with(trained: Path, tmp_path: Path) -> None:
    """Within an epoch, where the order of the captions is kept."""
    folder = Path(shutil.copytree(trained, tmp_path / "copy"))
    run, out = folder / "run.toml", folder / "runs" / "a"
    config = out / "config.toml"
    config.write_text(config.read_text().replace(str(trained), str(folder)))
    run.write_text(run.read_text().replace(str(trained), str(folder)))

    def within_an_epoch(tensors: Tensors, metadata: dict[str, str]) -> None:
        changed(step=1, sums={})(tensors, metadata)
        tensors["order"] = np.arange(60)

    rewrite(out / LAST, within_an_epoch)
    lines = (folder / "train.jsonl").read_text().splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines[:50]))
    with pytest.raises(ConfigError, match="started with 60 captions, now there are 50; resume with the same captions"):
        train_run(run, out, ["training.epochs=2", "training.save_every_s=0"], resume=True)


def test_what_a_library_raises_over_a_folder_is_one_line(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **options: object) -> None:
        raise AttributeError("no slices")

    monkeypatch.setattr("wsra.runtime.formats.describe.read_header", fails)
    with pytest.raises(DataError, match=r"a: cannot be used \(AttributeError: no slices\)"):
        describe(checkpoint)
    with pytest.raises(WsraError):
        describe(Path("x" * 5000))
