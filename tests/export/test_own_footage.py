"""Every command of docs/own-footage.md, as it stands there, on a tiny CLIP and rendered clips."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from towers import make_towers
from wsra.runtime.cli import app
from wsra.train.scenes.demo.render import caption_clip, render_clip
from wsra.train.scenes.demo.world import sample_clip

PAGE = Path(__file__).parents[2] / "docs" / "own-footage.md"
MODEL = "openai/clip-vit-base-patch32"


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny model, videos, captions without times, labels, and the run file of the page."""
    make_towers(tmp_path / "model", "clip")
    (tmp_path / "videos").mkdir()
    rows = {"train": [], "val": []}  # type: ignore[var-annotated]
    for number in range(16):
        clip = sample_clip(f"clip{number}", "train", number)
        render_clip(clip, tmp_path / "videos")
        rows["val" if number % 2 else "train"] += caption_clip(clip)
    for split, captioned in rows.items():
        captions = [{"qid": row["qid"], "query": row["query"], "vid": row["vid"]} for row in captioned]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in captions))
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows["val"]))
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    small = "[training]\nepochs = 3\nbatch = 8\nkey_width = 16\n[sampling]\nfirst = 1\nlast = 1\ndraws = 2\n"
    (tmp_path / "run.toml").write_text(toml.replace(MODEL, "model") + small)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_every_command_of_the_page_runs(place: Path) -> None:
    outputs = {}
    for line in commands():
        words = shlex.split(line.replace(MODEL, "model"))
        assert words[0] == "wsra"
        arguments = [str(found) for word in words[1:] for found in (sorted(Path().glob(word)) if "*" in word else [word])]
        run = CliRunner().invoke(app, arguments, env={"COLUMNS": "140"})
        assert run.exit_code == 0, f"{line}: {run.output}"
        outputs[line] = run.output
    assert sum(line.startswith("wsra ground") for line in outputs) == 2
    tables = [output for line, output in outputs.items() if line.startswith("wsra verify")]
    assert len(tables) == 2 and all("R@1 .5" in table and "fp32" in table for table in tables)
    assert len(list((place / "features").glob("*.feat"))) == 16 and len(list((place / "videos").glob("*.feat"))) == 16
    manifest = json.loads((place / "mine" / "manifest.json").read_text())
    assert manifest["scorer"] == "trained" and "image" in manifest["tensors"]
    assert (place / "mine" / "fp16" / "image.onnx").is_file()
    assert json.loads((place / "zero" / "manifest.json").read_text())["scorer"] == "cosine"
