from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wsra.runtime.errors import ConfigError
from wsra.train.config import Run, read_run, table_from_run

BASE = '[data]\ncaptions = "c.jsonl"\nval_captions = "v.jsonl"\nfeatures = "f"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text)
    return path


def test_defaults_and_relative_paths(tmp_path: Path) -> None:
    run = read_run(write(tmp_path, BASE))
    assert run.data.captions == str(tmp_path / "c.jsonl")
    assert run.training.batch == 42 and run.sampling.first == 3


def test_paths_of_settings_are_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run = read_run(write(tmp_path, BASE), ["data.captions=mine.jsonl"])
    assert run.data.captions == str(tmp_path / "here" / "mine.jsonl") and run.data.features == str(tmp_path / "f")


def test_settings_come_on_top(tmp_path: Path) -> None:
    run = read_run(write(tmp_path, BASE + "[training]\nepochs = 3\n"), ["training.epochs=7", "loss.gate_quantile=0.3", "text.encoder=gpt2"])
    assert (run.training.epochs, run.loss.gate_quantile, run.text.encoder) == (7, 0.3, "gpt2")


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (BASE + "[trainig]\n", [], "unknown key trainig"),
        (BASE + "[loss]\nmargn = 1\n", [], "unknown key loss.margn"),
        ("[data]\ncaptions = 'a'\nfeatures = 'f'\n", [], "data.val_captions is missing"),
        (BASE + "[training]\nepochs = 'many'\n", [], "training.epochs is 'many'"),
        (BASE + "[training]\nepochs = 0\n", [], "training.epochs is 0"),
        (BASE + "[loss]\nmargin = -1\n", [], "loss.margin is -1"),
        (BASE + "[data\n", [], "not valid TOML"),
        (BASE + "[training]\nepochs = '3'\n", [], "training.epochs is '3'"),
        (BASE + "[training]\nbatch = true\n", [], "training.batch is True"),
        (BASE, ["epochs=3"], "expected section.key=value"),
        (BASE, ["training.epoch=3"], "unknown key training.epoch"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        read_run(write(tmp_path, text), settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (BASE + "[training]\nseed = " + "9" * 5000, [], "run.toml: not valid TOML"),
        (BASE + "[training]\nseed = " + "9" * 400, [], "training.seed is"),
        (BASE + "[training]\nseed = 0x" + "f" * 5000, [], "run.toml: cannot be used .*integer string conversion"),
        (BASE + "[training]\nkey_width = 1000000000\n", [], "training.key_width is 1000000000"),
        (BASE + "[training]\nlearning_rate = inf\n", [], "training.learning_rate is inf"),
        (BASE + "[loss]\nmargin = nan\n", [], "loss.margin is nan"),
        (BASE + "[loss]\nmargin = 1" + "0" * 400, [], "loss.margin is"),
        (BASE + "x = " + "[" * 50_000, [], "run.toml: not valid TOML"),
        (BASE + "[training]\nthreads = " + "[" * 500 + "]" * 500, [], "not valid TOML .nested too deeply|training.threads is"),
        (BASE, ["training.epochs=" + "[" * 5000], "--set training.epochs=.*: not valid TOML .nested too deeply|training.epochs is"),
        (BASE, ["training.epochs=" + "[" * 90 + "]" * 90], "training.epochs is"),
        (BASE, ["training.epochs=" + "9" * 5000], "--set training.epochs=9.*: not valid TOML"),
        (BASE, ["training.threads=99999999999999"], "training.threads is 99999999999999"),
        ("data = 3", ["data.captions=x"], "data is not a section"),
    ],
)
def test_absurd_values_are_one_line(tmp_path: Path, text: str, settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        read_run(write(tmp_path, text), settings)
    assert "\n" not in str(error.value) and len(str(error.value)) < 3100


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir], ids=["pipe", "device", "folder"])
def test_a_run_file_that_never_ends_is_refused_at_once(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "run.toml")
    with pytest.raises(ConfigError, match=r"run\.toml: cannot be read .*; expected a run file in TOML"):
        read_run(tmp_path / "run.toml")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_run(tmp_path / "none.toml")


def test_the_table_gives_the_run_back(tmp_path: Path) -> None:
    import tomli_w

    run = read_run(write(tmp_path, BASE), ["loss.gate_quantile=0.3"])
    assert read_run(write(tmp_path, tomli_w.dumps(table_from_run(run)))) == run


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "configs").glob("*.toml")), ids=lambda p: p.name)
def test_every_shipped_run_file_is_valid(path: Path) -> None:
    assert isinstance(read_run(path), Run)
