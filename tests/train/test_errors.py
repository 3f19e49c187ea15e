"""What cannot be trained on is refused in one line before training starts, and what is not read is reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from tiny import make_run
from wsra.runtime.cli import main
from wsra.runtime.errors import ConfigError, WsraError
from wsra.runtime.formats.features import read_features
from wsra.train.command import train_run
from wsra.train.config import read_run
from wsra.train.device import autocast, choose_device


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the numbers of a .feat file behind the back of its writer."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    features = read_features(path)
    save_file({"features": change(np.array(features.values)), "times_s": features.times_s}, path, metadata)


def spoiled(values: np.ndarray) -> np.ndarray:
    return np.full_like(values, np.nan)


def no_rows(path: Path) -> None:
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    save_file({"features": np.zeros((0, 5), np.float32), "times_s": np.zeros((0, 2))}, path, metadata)


def rename_videos(folder: Path, to: str) -> None:
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    (folder / "train.jsonl").write_text("".join(json.dumps({**row, "vid": to}) + "\n" for row in rows))


def share_a_video(folder: Path) -> None:
    with (folder / "val.jsonl").open("a") as file:
        file.write(json.dumps({"qid": "x", "query": "a man", "vid": "train3"}) + "\n")


def other_backbone(folder: Path) -> None:
    make_run(folder / "other", width=7)
    for path in (folder / "other" / "features").glob("val*.feat"):
        path.replace(folder / "features" / path.name)


BAD: dict[str, tuple[Callable[[Path], object], tuple[str, ...], str]] = {
    "NaN in training": (lambda f: rewrite(f / "features" / "train3.feat", spoiled), (), r"train3\.feat: .* nan in snippet 0, number 0"),
    "NaN in validation": (lambda f: rewrite(f / "features" / "val3.feat", spoiled), (), r"val3\.feat: .* nan in snippet 0, number 0"),
    "no rows": (lambda f: no_rows(f / "features" / "train3.feat"), (), r"train3\.feat: .* features are empty \(0, 5\)"),
    "validation is made otherwise": (other_backbone, (), r"training features are .* wide\), validation features .* \(7 wide\)"),
    "a video in both": (share_a_video, (), r"1 videos are in data\.captions and in data\.val_captions \(the first: train3\)"),
    "one video": (lambda f: rename_videos(f, "train0"), (), "at most 0 sentences of other videos .* give more captions of other videos"),
    "a small batch": (lambda f: None, ("training.batch=3",), r"enlarge training\.batch"),
    "few captions": (lambda f: None, ("sampling.first=80", "training.batch=100"), "at most 58 sentences .* give more captions"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused_before_training(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = make_run(tmp_path), tmp_path / "runs" / "a"
    spoil, settings, message = BAD[case]
    spoil(tmp_path)
    with pytest.raises(WsraError, match=message) as error:
        train_run(path, out, settings, resume=False)
    assert "\n" not in str(error.value) and not out.exists()
    if case == "a small batch":  # at the command line: one line, exit code 1
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["wsra", "train", str(path), "--out", str(out), "--set", settings[0]])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1 and capsys.readouterr().err.count("\n") == 1


def test_a_missing_gpu_is_refused_and_a_cpu_computes_in_full_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = make_run(tmp_path)
    with pytest.raises(ConfigError, match=r"training\.device is 'cuda'.* set training\.device=cpu"):
        train_run(path, tmp_path / "runs" / "a", ["training.device=cuda"], resume=False)
    with pytest.raises(ConfigError, match=r"training\.device"):
        read_run(path, ["training.device=tpu"])
    training = read_run(path).training
    assert training.autocast and choose_device(training) == torch.device("cpu")
    with autocast(training, torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    on, off = (train_run(path, tmp_path / "runs" / f, [f"training.autocast={f}"], resume=False) for f in ("true", "false"))
    assert (on / "model.safetensors").read_bytes() == (off / "model.safetensors").read_bytes()


def test_spans_are_not_read_and_that_is_reported_once(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    path = make_run(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    text = "".join(json.dumps({**row, "relevant_windows": [[0, 1]]}) + "\n" for row in rows)
    (tmp_path / "train.jsonl").write_text(text)
    train_run(path, tmp_path / "runs" / "a", [], resume=False)
    message = logged.text
    assert message.count("carry relevant_windows; training does not read them") == 1
    assert "train.jsonl: 60 of 60 captions" in message and "pairs/s" in message


def test_videos_of_spoiled_can_be_trained_with(tmp_path: Path) -> None:
    path = make_run(tmp_path)
    for number in (0, 1, 2):
        feat = tmp_path / "features" / f"train{number}.feat"
        with safe_open(feat, framework="numpy") as file:
            metadata = file.metadata()
        features = read_features(feat)
        save_file({"features": np.array(features.values[:1]), "times_s": np.array(features.times_s[:1])}, feat, metadata)
    assert (train_run(path, tmp_path / "runs" / "a", [], resume=False) / "model.safetensors").is_file()


def test_curves_are_a_picture(tmp_path: Path) -> None:
    out = train_run(make_run(tmp_path), tmp_path / "runs" / "a", [], resume=False)
    picture = (out / "curves.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 5000
