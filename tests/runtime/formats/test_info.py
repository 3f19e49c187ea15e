"""`wsra info` shows what it measured, not what a file claims, and one line for a damaged file; a bundle gets a short table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from wsra.runtime.backends.records import measured_ms, write_record
from wsra.runtime.backends.routes import Route
from wsra.runtime.device import this_device
from wsra.runtime.errors import WsraError
from wsra.runtime.formats.bundle import open_bundle, reject
from wsra.runtime.formats.describe import bundle_table, describe
from wsra.runtime.formats.features import Features, write_features
from wsra.runtime.terminal.display import stdout_console

pytestmark = pytest.mark.device


def test_metadata_do_not_replace_facts(make_features: Callable[..., Features], tmp_path: Path) -> None:
    features = make_features(7, 5)
    features.extra.update(kind="bundle", snippets="99", place="door")  # type: ignore[attr-defined]
    write_features(tmp_path / "a.feat", features)
    facts = describe(tmp_path / "a.feat")
    assert (facts["kind"], facts["snippets"], facts["place"]) == ("features", 7, "door")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "none.feat"])
def test_what_is_no_file_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(WsraError) as caught:
        describe(tmp_path / name)
    assert "\n" not in str(caught.value)


def shown(facts: dict[str, Any], speeds_ms: dict[str, float]) -> list[str]:
    """The lines of the table, with single spaces."""
    console = stdout_console()
    console.width = 200
    with console.capture() as capture:
        console.print(bundle_table(facts, speeds_ms))
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_bundle_is_a_short_table(bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    shutil.rmtree(tmp_path / "bundle" / "verified", ignore_errors=True)
    bundle, device = open_bundle(tmp_path / "bundle"), this_device()
    entry = {"precision": "fp16", "provider_asked": "cpu", "passed": True, "reason": None, "ms_per_query": 12.34}
    write_record(bundle, device, {Route("fp16", "cpu").name: entry})
    reject(bundle, "fp32", "a test says so")
    plan = tmp_path / "bundle" / "engines" / "some-gpu" / "fp16" / "text.plan"
    plan.parent.mkdir(parents=True)
    plan.write_bytes(b"engine")
    bundle, facts = open_bundle(tmp_path / "bundle"), describe(tmp_path / "bundle")
    lines = shown(facts, measured_ms(bundle, device))
    assert len(lines) < 15
    assert lines[0].startswith("finds spans of snippets") and f"(plan {bundle.manifest.plan}, theta " in lines[0]
    assert any(line.startswith(f"features {bundle.manifest.backbone}, ") for line in lines)
    assert f"presence calibrated on captions, {bundle.manifest.presence.hours:.3g} hours without the sentence" in lines
    assert "engines engines/some-gpu/fp16 (text)" in lines
    half = facts["precisions"]["fp16"]
    assert f"fp16 {half['bytes'] / 1e6:.1f} passed {half['grounding']['agreement']:.1f} fp16: 12.3" in lines
    assert any("FAILED: a test says so" in line and line.endswith("not measured") for line in lines if line.startswith("fp32 "))


@pytest.mark.parametrize("strange", [None, "many", True, -1, 10**400, float("nan")])
def test_figures_that_a_foreign_manifest_lacks_are_a_dash(bundle_folder: Path, strange: object) -> None:
    facts = describe(bundle_folder)
    facts["precisions"] = {"fp32": {"passed": True, "bytes": strange if strange is not True else [], "grounding": strange}}
    assert "fp32 - passed - not measured" in shown(facts, {})


def test_json_is_asked_for(bundle_folder: Path) -> None:
    from wsra.runtime.cli import app

    run = CliRunner().invoke(app, ["info", str(bundle_folder), "--json"])
    assert json.loads(run.stdout) == describe(bundle_folder)
    run = CliRunner().invoke(app, ["info", str(bundle_folder)])
    assert run.exit_code == 0 and run.stdout.startswith("finds ") and "sha256" not in run.stdout
