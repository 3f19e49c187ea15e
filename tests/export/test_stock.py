"""The stock bundle: what comes with wsra becomes a bundle that answers, and `ground` asks it where none is given."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from wsra.export.publish import ExportOptions
from wsra.export.stock import CHECKPOINT, export_stock
from wsra.runtime.extraction.batch import extract_features
from wsra.runtime.formats.bundle import open_bundle
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.stock import own_bundle, stock_folder
from wsra.train.scenes.cameras.render import Sizes, plan, render_clip
from wsra.train.scenes.cameras.sentences import caption_clip


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stock") / "bundle"
    export_stock(folder, ExportOptions())
    return folder


def test_what_comes_with_wsra_is_small() -> None:
    sizes = {path.name: path.stat().st_size for path in CHECKPOINT.rglob("*") if path.is_file()}
    assert sizes["model.safetensors"] < 700_000 and sum(sizes.values()) < 3_000_000


def test_it_answers_about_clips_it_has_never_seen(stock: Path, tmp_path: Path) -> None:
    clips = plan(Sizes(0, 0, 0, 6), seed=77)  # of the test style, and of a seed that nothing was chosen on
    right = wrong = asked = 0
    with Grounder.open(stock, precision="fp32", provider="cpu", threads=1) as grounder:
        for clip in clips:
            rows = caption_clip(clip).rows
            features = extract_features(render_clip(clip, tmp_path))
            strange = [row["query"] for other in clips if other is not clip for row in caption_clip(other).rows][: len(rows)]
            for row, other in zip(rows, strange, strict=False):
                truth = np.array(row["relevant_windows"])
                for query, counts in ((row["query"], True), (other, False)):
                    moments = grounder.answer(features, query, top_k=1).moments
                    overlaps = [_iou((moments[0].start_s, moments[0].end_s), span) for span in truth] if moments else [0.0]
                    right += counts and max(overlaps) >= 0.5
                    wrong += not counts and max(overlaps) >= 0.5
                asked += 1
    assert asked >= 15
    assert right >= 0.5 * asked, f"{right} of {asked}"
    assert right >= 2 * wrong, f"sentences of other clips find as much: {wrong} beside {right}"


def _iou(one: tuple[float, float], other: np.ndarray) -> float:
    both = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return both / (one[1] - one[0] + other[1] - other[0] - both)


def test_ground_asks_it_where_no_bundle_is_given(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    stock_folder().parent.mkdir(parents=True)
    shutil.copytree(stock, stock_folder())
    clip = plan(Sizes(0, 0, 0, 1), seed=78)[0]
    render_clip(clip, tmp_path)
    command = [sys.executable, "-m", "wsra.runtime.cli", "ground", f"{clip.name}.mp4", caption_clip(clip).rows[0]["query"], "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "using the stock bundle" in done.stderr
    assert json.loads(done.stdout)["query"] == caption_clip(clip).rows[0]["query"]


def test_a_bundle_that_is_given_or_lies_here_goes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert own_bundle(Path("mine")) == Path("mine")
    monkeypatch.setenv("WSRA_BUNDLE", "its")
    assert own_bundle(None) == Path("its")
    monkeypatch.delenv("WSRA_BUNDLE")
    (tmp_path / "bundle").mkdir()
    assert own_bundle(None) == Path("bundle")


def test_where_it_cannot_be_made_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    without_torch = "import sys; sys.modules['torch'] = None; from wsra.runtime.cli import main; main()"
    command = [sys.executable, "-c", without_torch, "ground", "v.mp4", "man in red"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "making it needs torch" in done.stderr and "wsra export --stock -o DIR" in done.stderr
    assert not stock_folder().exists()


def test_the_command_exports_it(stock: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from wsra.runtime.cli import app_of

    done = CliRunner().invoke(app_of(["export", "ground"]), ["export", "--stock", "--zero-shot", "x", "-o", str(tmp_path / "out")])
    assert done.exit_code == 2 and "--stock needs no checkpoint" in done.output
    assert open_bundle(stock).manifest.plan == "tracks"
