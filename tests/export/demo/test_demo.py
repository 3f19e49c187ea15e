"""The whole way on small scenes; the figures of the released settings are in the README."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas import check
from wsra.export.demo.checks import CHECKS
from wsra.export.demo.demo import run_demo
from wsra.runtime.cli import app
from wsra.runtime.errors import OutputError

FIELDS = {"queries", "r1_iou30", "r1_iou50", "r1_iou70", "r5_iou30", "r5_iou50", "r5_iou70", "miou", "unanswered"}


# A quarter of the released clips learns less, but sentences must already decide; of a few clips nothing is expected but the way.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("clips", "epochs", "above_controls"), [(30, 2, None), pytest.param(100, 8, 15.0, marks=pytest.mark.full)], ids=["few-clips", "quarter"]
)
def test_demo_end_to_end(tmp_path: Path, clips: int, epochs: int, above_controls: float | None) -> None:
    out = tmp_path / "demo"
    run = CliRunner().invoke(app, ["demo", "--out", str(out), "--clips", str(clips), "--epochs", str(epochs)], env={"COLUMNS": "100"})
    assert run.exit_code == 0, run.output
    report = json.loads((out / "report.json").read_text())
    for name in ("test", "test_forced", "unseen_combinations", "conjunctions", "skyline"):
        assert set(report[name]) == FIELDS
    assert {*report["controls"], "skyline"} == CHECKS.keys()
    assert set(report["parity"]) == {"fp32", "fp16", "int8"} and report["parity"]["fp32"]["passed"] and report["parity"]["fp16"]["passed"]
    check("demo", report)
    if above_controls is not None:
        assert report["test"]["queries"] >= 100 and report["failed_checks"] == []
        controls = report["controls"]
        assert 45 < controls["kind_only"]["r1_iou50"] < 75 and 45 < controls["colour_only"]["r1_iou50"] < 75
        assert 15 < controls["random_event"]["r1_iou50"] < 40
        strongest = max(control["r1_iou50"] for control in controls.values())
        assert report["test_forced"]["r1_iou50"] > strongest + above_controls
    assert "man in yellow shirt" in run.stdout and "truth" in run.stdout and "wsra ground" in run.stdout

    # The real MiniLM in every precision: verified with labels, and compiled.
    labels = ["--data", str(out / "spans-test.jsonl"), "--features", str(out / "features")]
    verified = CliRunner().invoke(app, ["verify", str(out / "bundle"), *labels, "--json"])
    assert verified.exit_code == 0, verified.output
    entries = json.loads(verified.stdout)["precisions"]
    assert entries["fp16"]["grounding"]["labelled"]["queries"] == report["test"]["queries"]
    assert entries["fp32"]["grounding"]["labelled"]["miou"] == pytest.approx(report["test_forced"]["miou"])
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")
    built = CliRunner().invoke(app, ["build", str(out / "bundle")])
    assert built.exit_code == 0, built.output
    assert len(list((out / "bundle" / "engines").glob("*/*/*.plan"))) == 3 * len(entries)

    with pytest.raises(OutputError, match="other settings"):
        run_demo(out, clips=clips + 1, epochs=1, seed=0, jobs=1)


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        run_demo(tmp_path, clips=30, epochs=1, seed=0, jobs=1)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
