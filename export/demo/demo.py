"""`wsra demo`: renders scenes, extracts features, trains from captions, exports, and evaluates the bundle on unseen clips."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wsra.export.demo.checks import Known, failed_checks
from wsra.export.demo.controls import TestSet, forced, forced_scorer, last_scorer, life_controls, own_sentences, sentence_controls
from wsra.export.demo.oracles import event_spans, events_of_test_clips, oracle_controls
from wsra.export.precisions import Calibration
from wsra.export.publish import ExportOptions, export_bundle
from wsra.runtime.errors import ExportError, OutputError, VideoError
from wsra.runtime.extraction.batch import extract_batch
from wsra.runtime.files.locks import locked
from wsra.runtime.files.writing import replacing
from wsra.runtime.formats.annotations import read_annotations
from wsra.runtime.formats.bundle import read_manifest
from wsra.runtime.formats.epochs import read_metrics
from wsra.runtime.formats.features import read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.terminal.console import messages_indented
from wsra.runtime.workers.pool import open_pool
from wsra.train.checkpoint import load_checkpoint
from wsra.train.config import SPANS, Run, read_run
from wsra.train.run import TrainingSets, permuted, prepare, train
from wsra.train.scenes.demo.render import Sizes, caption_clip, render_clip, render_scenes
from wsra.train.scenes.demo.world import Clip, sample_clip

logger = logging.getLogger(__name__)

MARK = "demo.json"
QUERY = "man in yellow shirt"
SHOWCASE = "yellow-shirt"

RUN_TOML = """\
# The run of `wsra demo`. docs/train.md lists every key and its default.
[data]
captions = "captions-train.jsonl"
val_captions = "captions-val.jsonl"
features = "features"

[text]
encoder = "minilm"

[training]
epochs = {epochs}
seed = {seed}
"""


@dataclass
class Clock:
    """Durations of the steps in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, message: str) -> Iterator[None]:
        """Log a step and time it. Messages logged during the step are indented below it."""
        logger.info(f"[{len(self.seconds) + 1}] {message}")
        start = time.monotonic()
        with messages_indented():
            yield
        self.seconds[name] = round(time.monotonic() - start, 1)


def run_demo(out: Path, *, clips: int, epochs: int, seed: int, jobs: int, progress: Progress = unseen) -> dict[str, Any]:
    """Run the whole demo.

    Args:
        out: an empty or new folder, or one that holds an interrupted demo.
        clips: number of training clips; an eighth as many for validation and a quarter as many for testing come on top.
        epochs: number of training epochs.
        seed: random seed for the whole demo.
        jobs: number of processes for rendering and extraction.
        progress: called with what is counted ("clips", "videos", "epochs", or as in `export_bundle`), the number done and the total.

    Returns:
        The content of report.json.

    Raises:
        OutputError: `out` holds something else, or another process is writing it.
        WsraError: a step failed.
    """
    with locked(out):
        return _demo(out, clips=clips, epochs=epochs, seed=seed, jobs=jobs, progress=progress)


def _demo(out: Path, *, clips: int, epochs: int, seed: int, jobs: int, progress: Progress) -> dict[str, Any]:
    sizes = Sizes(clips, max(8, clips // 8), max(8, clips // 4))
    settings = {"clips": clips, "epochs": epochs, "seed": seed}
    _claim(out, settings)
    timer = Clock()
    with timer.step(
        "render",
        f"rendering {clips} training, {sizes.val} validation and {sizes.test} test clips to H.264 in {out}/videos",
    ):
        total = clips + sizes.val + sizes.test
        progress("clips", 0, total)
        for done, _ in enumerate(render_scenes(out, sizes, seed=seed, jobs=jobs), 1):
            progress("clips", done, total)
        showcase = _showcase(out, seed)
    with timer.step("extract", "extracting motion features (background subtraction; no weights, pixels only)"):
        _extract(out, jobs, progress)
    with replacing(out / "run.toml") as part:
        part.write_text(RUN_TOML.format(epochs=epochs, seed=seed), encoding="utf-8")
    run = read_run(out / "run.toml")
    with timer.step("text", "encoding the captions with all-MiniLM-L6-v2"):
        prepared = prepare(run, out / "runs" / "text-cache")
    count = len(prepared.train[0].captions)
    with timer.step("train", f"training from {count} captions without times"):
        _train(run, out / "runs" / "wsra", prepared, progress)
    with timer.step("skyline", "control: the same scorer trained WITH spans (skyline)"):
        _train_skyline(run, out, prepared, progress)
    with timer.step("shuffled_training", "control: the same scorer trained on permuted captions"):
        _train(run, out / "runs" / "shuffled", permuted(prepared, seed), progress, at_last=True)
    with timer.step(
        "export",
        f"exporting the bundle {out}/bundle (ONNX in FP32, FP16 and INT8), and checking it against PyTorch",
    ):
        calibration = Calibration(out / "captions-train.jsonl", out / "features")
        precisions = _export(out, calibration, progress)
    with (
        timer.step("evaluate", "grounding the test queries with the exported bundle, and evaluating the controls"),
        _open_bundle(out) as grounder,
    ):
        report = _measure(out, grounder, sizes.test, seed)
    report |= {
        "parity": precisions,
        "seconds": {**timer.seconds, "total": round(sum(timer.seconds.values()), 1)},
        "settings": settings,
    }
    with _open_bundle(out) as grounder:
        report["examples"] = _examples(out, showcase, grounder)
    with replacing(out / "report.json") as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _claim(out: Path, settings: dict[str, int]) -> None:
    """Claim an empty folder, or one that holds a demo with the same settings."""
    mark = out / MARK
    if mark.is_file():
        if json.loads(mark.read_text(encoding="utf-8")) != settings:
            raise OutputError(f"{out}: holds a demo with other settings; choose another --out or remove the folder")
        logger.info(f"{out} holds an unfinished demo; continuing it")
    elif out.exists() and not out.is_dir():
        raise OutputError(f"{out}: a file; expected an empty or new folder: choose another --out")
    elif out.exists() and any(out.iterdir()):
        raise OutputError(f"{out}: not empty; expected an empty or new folder: choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    with replacing(mark) as part:
        part.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def _showcase(out: Path, seed: int) -> Clip:
    """Render one more test clip, in which a man in a yellow shirt passes among others. No figure includes it."""
    number = 0
    while True:
        clip = sample_clip(SHOWCASE, "test", seed * 1_000_003 + 900_000 + number)
        looks = {(actor.kind, actor.colour) for actor in clip.actors}
        if ("man", "yellow") in looks and len(clip.actors) == 4 and len({kind for kind, _ in looks}) == 2:
            render_clip(clip, out / "videos")
            return clip
        number += 1


def _extract(out: Path, jobs: int, progress: Progress) -> None:
    videos = sorted((out / "videos").glob("*.mp4"))
    progress("videos", 0, len(videos))
    with open_pool(jobs=jobs) as pool:
        for count, done in enumerate(extract_batch(videos, out / "features", pool=pool), 1):
            if done.error is not None:
                raise VideoError(done.error)
            progress("videos", count, len(videos))


def _train(run: Run, folder: Path, prepared: TrainingSets, progress: Progress, *, at_last: bool = False) -> None:
    """Train a run, or finish it; `at_last`: the scorer of the last epoch is used, so no best one is reported."""
    if (folder / "last.safetensors").is_file() and _epochs_done(folder) >= run.training.epochs:
        return
    progress("epochs", 0, run.training.epochs)
    rows = train(
        run,
        folder,
        prepared,
        resume=(folder / "last.safetensors").is_file(),
        report=lambda row: progress("epochs", row["epoch"], run.training.epochs),
    )
    kept, which = (rows[-1], "last") if at_last else (max(rows, key=lambda row: row["val_match"]), "best")
    logger.info(
        f"{which} epoch {kept['epoch']}: a video's own sentence beats another's in {kept['val_match']:.1f} % of comparisons (chance 50)"
    )
    if rows[-1]["collapsed"]:
        logger.warning("attention has collapsed onto the background (the association loss stays at its margin); see docs/train.md")


def _epochs_done(folder: Path) -> int:
    return len(read_metrics(folder))


def _train_skyline(run: Run, out: Path, prepared: TrainingSets, progress: Progress) -> None:
    data = replace(run.data, captions=str(out / "spans-train.jsonl"), val_captions=str(out / "spans-val.jsonl"))
    _train(replace(run, data=data, training=replace(run.training, objective=SPANS)), out / "runs" / "skyline", prepared, progress)


def _export(out: Path, calibration: Calibration, progress: Progress) -> dict[str, dict[str, Any]]:
    """Export every precision. One that fails its gate gives a warning, and the demo continues with FP32."""
    run, bundle = out / "runs" / "wsra", out / "bundle"
    try:
        export_bundle(run, bundle, ExportOptions(fp16=True, int8=True, calibration=calibration), progress=progress)
    except ExportError as err:
        if not bundle.is_dir():
            raise
        logger.warning(str(err))
    return read_manifest(bundle).precisions


def _open_bundle(out: Path) -> Grounder:
    return Grounder.open(out / "bundle", precision="fp32", provider="cpu", threads=2)


def _measure(out: Path, grounder: Grounder, clips: int, seed: int) -> dict[str, Any]:
    """Figures of the bundle and of the controls on `clips` test clips, and the checks of the controls that failed."""
    annotations, training = (read_annotations(out / f"spans-{split}.jsonl") for split in ("test", "train"))
    names = {a.vid for a in annotations}
    test = TestSet(annotations, {name: read_features(out / "features" / f"{name}.feat") for name in names})
    events = events_of_test_clips(clips, seed)
    text = grounder.encoder.encode([a.query for a in annotations])
    answers = test.answers(grounder, text=text)
    unseen = [bool(a.row["unseen"]) for a in annotations]
    conjunction = [bool(a.row["conjunction"]) for a in annotations]
    model, always = test.ranked(answers), own_sentences(test, forced(grounder), text)
    skyline = own_sentences(test, forced_scorer(load_checkpoint(out / "runs" / "skyline").scorer, grounder), text)
    controls = {
        **oracle_controls(test, events),
        **life_controls(test, training),
        **sentence_controls(test, grounder, text),
        "shuffled_training": own_sentences(test, forced_scorer(last_scorer(out / "runs" / "shuffled"), grounder), text),
    }
    known = Known(test, event_spans(test, events), training, controls["prior"], model, always)
    failed = failed_checks({"skyline": skyline, **controls}, known)
    for message in failed:
        logger.warning(f"a control is not sound: {message}")
    return {
        "test": model.row(),
        "test_forced": always.row(),
        "seen_combinations": test.ranked(answers, chosen=[not flag for flag in unseen]).row(),
        "unseen_combinations": test.ranked(answers, chosen=unseen).row(),
        "conjunctions": test.ranked(answers, chosen=conjunction).row(),
        "skyline": skyline.row(),
        "controls": {name: control.row() for name, control in controls.items()},
        "failed_checks": failed,
    }


def _examples(out: Path, clip: Clip, grounder: Grounder) -> list[dict[str, Any]]:
    """Three queries on the showcase clip, with answers and true spans."""
    features = read_features(out / "features" / f"{clip.name}.feat")
    rows = {(row["mentions"]["kind"], row["mentions"].get("colour")): row for row in caption_clip(clip) if "colour" in row["mentions"]}
    yellow = {**rows.pop(("man", "yellow")), "query": QUERY}
    others = list(rows.values())[:2]
    examples = []
    for row in (yellow, *others):
        answer = grounder.answer(features, row["query"], top_k=1)
        best = answer.moments[0] if answer.moments else None
        examples.append(
            {
                "video": f"{out}/videos/{clip.name}.mp4",
                "query": row["query"],
                "answer_s": [best.start_s, best.end_s] if best else None,
                "truth_s": row["relevant_windows"],
                "curve": [round(float(value), 3) for value in answer.curve],
                "times_s": answer.times_s.tolist(),
                "duration_s": features.duration_s,
            }
        )
    return examples
