"""Runs that are killed, interrupted and resumed end as ones that were not."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tiny import make_run
from wsra.runtime.errors import ConfigError
from wsra.runtime.formats.epochs import read_metrics
from wsra.train.command import train_run

SUPPORT = Path(__file__).parent.parent / "support"
EPOCHS, STEPS = 2, 3
HELD = """
import itertools, time
from wsra.runtime import cli
from wsra.train.loop import Trainer
count, step = itertools.count(), Trainer.step
def held(*given):
    figures = step(*given)
    while next(count) >= 80: time.sleep(0.01)
    return figures
Trainer.step = held
cli.main()
"""  # after so many steps, of which an epoch has eight, it waits: whoever wants to stop it is never late


def with_settings(path: Path, **settings: object) -> Path:
    """Add keys to the section [training], which ends the file."""
    path.write_text(path.read_text() + "".join(f"{key} = {value}\n" for key, value in settings.items()))
    return path


# Per epoch: the best model if it improves, metrics and last (two moments each); at the start settings and last.
LEAST = 2 * 2 + EPOCHS * (STEPS + 2 * 2) + 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("save_every_s", "moments"), [pytest.param(0, LEAST + 2 * EPOCHS * STEPS, marks=pytest.mark.full), (1000, LEAST)], ids=["step", "epoch"]
)
def test_a_run_killed_at_any_moment_ends_as_one_that_was_not(tmp_path: Path, save_every_s: int, moments: int) -> None:
    """Byte for byte, with a saving after every step and with none within an epoch."""
    run = with_settings(make_run(tmp_path, epochs=EPOCHS), threads=1, save_every_s=save_every_s)
    run.write_text(run.read_text().replace("batch = 8", "batch = 20"))  # 60 captions
    done = subprocess.run([sys.executable, SUPPORT / "killed.py", run, tmp_path / "runs"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) in (moments, moments + 2)  # the second epoch may be the better one or not


@pytest.mark.slow
def test_the_command_killed_interrupted_and_resumed(tmp_path: Path) -> None:
    run = with_settings(make_run(tmp_path, epochs=40), threads=1, save_every_s=0)
    out, whole = tmp_path / "runs" / "killed", train_run(run, tmp_path / "runs" / "whole", [], resume=False)
    command = [sys.executable, "-c", HELD, "train", str(run), "--out", str(out)]

    def stopped(*more: str, by: signal.Signals) -> subprocess.CompletedProcess[str]:
        before = (out / "last.safetensors").read_bytes() if more else None
        child = subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True)
        while not (out / "last.safetensors").exists() or (out / "last.safetensors").read_bytes() == before:
            assert child.poll() is None, child.communicate()
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.2))
        child.send_signal(by)
        _, stderr = child.communicate(timeout=300)
        return subprocess.CompletedProcess(command, child.returncode, "", stderr)

    assert stopped(by=signal.SIGKILL).returncode == -signal.SIGKILL
    interrupted = stopped("--resume", by=signal.SIGINT)
    assert interrupted.returncode == 130
    assert f"wsra train {run} --out {out} --resume" in interrupted.stderr and "Traceback" not in interrupted.stderr
    assert len(read_metrics(out)) < 40
    train_run(run, out, [], resume=True)
    for name in ("model.safetensors", "last.safetensors", "metrics.csv", "config.toml"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize("spoil", ["cut", "other"])
def test_a_state_that_cannot_be_gone_on_from(tmp_path: Path, spoil: str) -> None:
    run = make_run(tmp_path)
    out = train_run(run, tmp_path / "runs" / "a", [], resume=False)
    last, model = out / "last.safetensors", out / "model.safetensors"
    last.write_bytes(last.read_bytes()[:-10] if spoil == "cut" else model.read_bytes())
    with pytest.raises(ConfigError, match=r"last\.safetensors: damaged, or written by another version"):
        train_run(run, out, [], resume=True)
