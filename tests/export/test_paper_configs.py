"""The shipped run files on small files of their layouts: convert, train, export, evaluate; every row of docs/paper-tables.md."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tiny import SENTENCES, make_encoder
from wsra.export.publish import ExportOptions, export_bundle
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.conversion.published import Published, convert_all
from wsra.runtime.evaluation.evaluate import EvaluationRequest, evaluate
from wsra.runtime.formats.epochs import read_metrics
from wsra.train.command import train_run
from wsra.train.config import read_run

h5py = pytest.importorskip("h5py")
ROOT = Path(__file__).parents[2]
VIDEOS = 16
BLOCKS = re.findall(r"<!-- rows -->\n```\n(.*?)```", (ROOT / "docs" / "paper-tables.md").read_text(encoding="utf-8"), re.DOTALL)
ROWS = [
    line.replace("$S", name)
    for block in BLOCKS
    for line in block.strip().splitlines()
    for name in (("didemo", "charades") if "$S" in line else ("",))
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("gpt2"), "gpt2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`didemo/`, `charades/`, `paper/` and `words/`, each with the files that its run file names."""
    place, rng = tmp_path_factory.mktemp("sets"), np.random.default_rng(0)
    names = [f"v{number}.avi" for number in range(2 * VIDEOS)]
    parts = {"train": names[:VIDEOS], "val": names[VIDEOS:]}
    for name in ("didemo", "charades", "paper", "words"):
        (place / name).mkdir()
        shutil.copy(ROOT / "configs" / f"{name}.toml", place / name / "run.toml")
    sentences = {name: rng.choice(SENTENCES, 2, replace=False).tolist() for name in names}
    for width, kind in ((8, "rgb"), (4, "flow")):
        with h5py.File(place / f"{kind}.h5", "w") as file:
            for number, name in enumerate(names):
                file[name] = rng.random((6, width)) * (np.arange(6) < 6 - number % 2)[:, None]
    convert_all(Published(place / "rgb.h5", "didemo", place / "flow.h5", {}, None), place / "didemo" / "features", overwrite=False)
    (place / "i3d").mkdir()
    for name in names:
        np.save(place / "i3d" / f"{name}.npy", rng.random((12, 6)).astype(np.float32))
    durations_s = dict.fromkeys(names, 30.0)
    for name in ("charades", "paper", "words"):
        convert_all(Published(place / "i3d", "charades-i3d", None, durations_s, None), place / name / "features", overwrite=False)
    for split, videos in parts.items():
        asked = [(name, sentence) for name in videos for sentence in sentences[name]]
        rows = [
            {"annotation_id": i, "video": vid, "description": query, "num_segments": 6 - names.index(vid) % 2, "times": [[1, 1]] * 4}
            for i, (vid, query) in enumerate(asked)
        ]
        (place / "didemo" / f"{split}_data.json").write_text(json.dumps(rows))
        (place / "charades" / f"{split}.txt").write_text("".join(f"{vid} 3.0 35.5##{query}\n" for vid, query in asked))
        lines = [json.dumps({"qid": i, "vid": vid, "query": query}) for i, (vid, query) in enumerate(asked)]
        for name in ("paper", "words"):
            (place / name / f"captions-{split}.jsonl").write_text("\n".join(lines))
    (place / "charades.json").write_text(json.dumps({name: {"duration": 30.0} for name in names}))
    return place


def settings(encoder: Path) -> list[str]:
    return ["training.epochs=1", "training.key_width=8", "training.threads=1", f"text.encoder={encoder}"]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "configs").glob("*.toml")))
def test_every_run_file_trains(folder: Path, encoder: Path, tmp_path: Path, name: str) -> None:
    checkpoint = train_run(folder / name / "run.toml", tmp_path / "runs" / name, settings(encoder), resume=False)
    (row,) = read_metrics(checkpoint)
    assert np.isfinite(row["loss"]) and np.isfinite(row["val_loss"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["didemo", "charades"])
def test_from_the_run_file_to_the_row_of_the_table(folder: Path, encoder: Path, tmp_path: Path, name: str) -> None:
    checkpoint = train_run(folder / name / "run.toml", tmp_path / "runs" / name, settings(encoder), resume=False)
    export_bundle(checkpoint, tmp_path / "bundle", ExportOptions(fp16=False))
    annotations = folder / name / ("val_data.json" if name == "didemo" else "val.txt")
    report = evaluate(
        EvaluationRequest(
            tmp_path / "bundle",
            annotations,
            name,  # type: ignore[arg-type]
            features=folder / name / "features",
            durations=folder / "charades.json" if name == "charades" else None,
            settings=RunSettings(threads=1),
        )
    )
    assert (report.queries, report.videos, report.unanswered) == (2 * VIDEOS, VIDEOS, 0)
    assert report.plan == ("segments" if name == "didemo" else "relative")
    prior = report.controls["prior"]
    assert prior is not None and prior["r1" if name == "didemo" else "r1_iou50"] == 100.0  # one moment is true of all of them


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_a_command_that_reads(folder: Path, row: str) -> None:
    program, command, path, *rest = shlex.split(row)
    assert (program, command) == ("wsra", "train")
    options = list(zip(rest[::2], rest[1::2], strict=True))
    assert {option for option, _ in options} <= {"--out", "--set"}
    run = read_run(folder / path, [value for option, value in options if option == "--set"])
    out = dict(options)["--out"].removeprefix("runs/")
    letters = {"background": "bg", "association": "vas", "instance": "ins", "cross_video": "all"}
    on = [short for loss, short in letters.items() if asdict(run.loss)[loss] > 0]
    if "-K" in out:
        assert run.sampling.first == int(out.split("-K")[1])
    elif "bg" in out or "vas" in out or "ins" in out:
        assert "-".join(on) == out.split("-", 1)[1]
    else:
        assert on == list(letters.values())


def test_every_row_has_its_own_run() -> None:
    outs = [row.split("--out ")[1].split()[0] for row in ROWS]
    assert len(set(outs)) == len(ROWS) == 16 + 4 + 2 + 6


def test_wsra_star_is_the_papers_recipe_over_word_vectors(folder: Path) -> None:
    paper, words = (asdict(read_run(ROOT / "configs" / f"{name}.toml")) for name in ("paper", "words"))
    assert words["text"] == paper["text"] | {"pooling": "words"} and words | {"text": 0} == paper | {"text": 0}
    stars = [row for row in ROWS if "-words" in row]
    assert [read_run(folder / row.split()[2], [row.split("--set ")[1]]).text.pooling for row in stars] == ["words", "words"]


def test_didemo_is_seen_as_its_proposals(folder: Path) -> None:
    """Each proposal is the mean of its segments beside the mean over all proposals of the video, 21 or 15 of them."""
    from wsra.train.data import load

    run = read_run(folder / "didemo" / "run.toml")
    data = load(Path(run.data.captions), Path(run.data.features), seen_as=run.data.seen_as)
    with h5py.File(folder / "rgb.h5") as rgb, h5py.File(folder / "flow.h5") as flow:
        for values, caption in zip(data.values, data.captions[::2], strict=True):
            rows = np.hstack([rgb[caption.vid], flow[caption.vid]])
            count = 6 if rows[5].any() else 5
            runs = [(i, i + 1) for i in range(count)] + [(i, j + 1) for i in range(count) for j in range(i + 1, count)]
            pooled = np.array([rows[first:stop].mean(axis=0) for first, stop in runs])
            np.testing.assert_allclose(values.numpy(), np.hstack([pooled, np.tile(pooled.mean(axis=0), (len(runs), 1))]), atol=1e-5)
