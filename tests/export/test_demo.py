"""The whole way on small scenes; the figures of the released settings are in the README."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wsra.export.demo import run_demo
from wsra.runtime.cli import app
from wsra.runtime.errors import OutputError

FIELDS = {"queries", "r1_iou30", "r1_iou50", "r1_iou70", "r5_iou50", "miou"}


@pytest.mark.slow
def test_demo_end_to_end(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    run = CliRunner().invoke(app, ["demo", "--out", str(out), "--clips", "100", "--epochs", "8"], env={"COLUMNS": "100"})
    assert run.exit_code == 0, run.output
    report = json.loads((out / "report.json").read_text())
    for name in ("test", "unseen_combinations", "conjunctions", "skyline"):
        assert set(report[name]) == FIELDS
    assert set(report["controls"]) == {"chance", "prior", "shuffled", "other_event", "most_motion", "shuffled_training"}
    assert set(report["parity"]) == {"fp32", "fp16"} and all(parity["passed"] for parity in report["parity"].values())
    assert report["test"]["queries"] >= 100
    # A quarter of the released clips learns less, but sentences must already decide.
    strongest = max(control["r1_iou50"] for control in report["controls"].values())
    assert report["test"]["r1_iou50"] > strongest + 15
    assert "man in yellow shirt" in run.stdout and "truth" in run.stdout and "wsra ground" in run.stdout

    with pytest.raises(OutputError, match="other settings"):
        run_demo(out, clips=30, epochs=1, seed=0, jobs=1)


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        run_demo(tmp_path, clips=30, epochs=1, seed=0, jobs=1)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
