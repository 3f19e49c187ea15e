"""`wsra calibrate`: presence follows the labels of a user, everything else of the bundle stays, and a failure changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from wsra.runtime.backends.routes import Route
from wsra.runtime.cli import app_of
from wsra.runtime.device import this_device
from wsra.runtime.errors import DataError, OutputError
from wsra.runtime.formats.bundle import GOLDEN, open_bundle, sealed_files
from wsra.runtime.formats.features import read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.verification.golden import read_golden
from wsra.runtime.verification.route_check import gate_route

pytestmark = pytest.mark.device


@pytest.fixture
def rows(rows_bundle_folder: Path) -> list[dict[str, object]]:
    """Spans of the validation videos, and of each video a sentence that is true of the next one alone."""
    present = [json.loads(line) for line in (rows_bundle_folder.parent / "spans-val.jsonl").read_text().splitlines()]
    own: dict[str, list[str]] = {}
    for row in present:
        own.setdefault(row["vid"], []).append(row["query"])
    return present + list(_absent(own))


def _absent(own: dict[str, list[str]]) -> Iterator[dict[str, object]]:
    names = list(own)
    for number, name in enumerate(names):
        for query in own[names[(number + 1) % len(names)]]:
            if query not in own[name]:
                yield {"qid": f"{name} {query}", "query": query, "vid": name, "duration": 30.0, "relevant_windows": []}


def calibrate(bundle: Path, rows: list[dict[str, object]], folder: Path, features: Path, *options: str) -> str:
    (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["calibrate", str(bundle), str(folder / "labels.jsonl"), "--features", str(features), *options]
    run = CliRunner().invoke(app_of(["calibrate"]), command, catch_exceptions=False)
    assert run.exit_code == 0, run.output
    return run.stdout


def test_presence_follows_the_labels_and_nothing_else_changes(
    rows_bundle_folder: Path, rows: list[dict[str, object]], tmp_path: Path
) -> None:
    features, out, before = rows_bundle_folder.parent / "features", tmp_path / "out", sealed_files(rows_bundle_folder)
    printed = json.loads(calibrate(rows_bundle_folder, rows, tmp_path, features, "-o", str(out), "--json"))
    assert sealed_files(rows_bundle_folder) == before
    old, new = open_bundle(rows_bundle_folder).manifest, open_bundle(out).manifest
    assert (old.presence.source, new.presence.source, new.presence.scores) == ("captions", "labels", printed["scores"])
    assert replace(new, presence=old.presence, files=old.files) == old
    assert {name for name in before if new.files[name] != old.files[name]} == {GOLDEN} and new.files.keys() == old.files.keys()
    searched_s = sum(30.0 - sum(end - start for start, end in row["relevant_windows"]) for row in rows)  # type: ignore[attr-defined]
    assert new.presence.hours == pytest.approx(searched_s / 3600)

    video, query = read_features(features / "val1.feat"), str(rows[2]["query"])
    with Grounder.open(rows_bundle_folder, precision="fp32", threads=1) as one, Grounder.open(out, precision="fp32", threads=1) as other:
        first, second = (grounder.ground(video, query, false_alarms=np.inf) for grounder in (one, other))
    assert [(m.start_s, m.end_s, m.score, m.presence) for m in first] == [(m.start_s, m.end_s, m.score, m.presence) for m in second]
    assert first and all(m.confidence != n.confidence for m, n in zip(first, second, strict=True))


def test_the_golden_confidences_follow(rows_bundle_folder: Path, rows: list[dict[str, object]], tmp_path: Path) -> None:
    calibrate(rows_bundle_folder, rows, tmp_path, rows_bundle_folder.parent / "features", "-o", str(tmp_path / "out"))
    bundle, route = open_bundle(tmp_path / "out"), Route("fp16", "cpu")
    golden, old = read_golden(bundle.folder / GOLDEN), read_golden(rows_bundle_folder / GOLDEN)
    np.testing.assert_array_equal(golden.moments, old.moments)
    assert gate_route(bundle, this_device(), route, golden).passed
    refused = gate_route(bundle, this_device(), route, replace(golden, confidence=old.confidence)).reason
    assert refused is not None and "confidence: its mean error" in refused


def test_too_few_labels_leave_the_bundle_as_it_was(rows_bundle_folder: Path, rows: list[dict[str, object]], tmp_path: Path) -> None:
    features, before = rows_bundle_folder.parent / "features", sealed_files(rows_bundle_folder)
    manifest = (rows_bundle_folder / "manifest.json").read_bytes()
    with pytest.raises(DataError, match="8 of each are needed: give more sentences and videos"):
        calibrate(rows_bundle_folder, rows[:4], tmp_path, features)
    assert sealed_files(rows_bundle_folder) == before and (rows_bundle_folder / "manifest.json").read_bytes() == manifest
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="exists"):
        calibrate(rows_bundle_folder, rows, tmp_path, features, "-o", str(tmp_path / "there"))
