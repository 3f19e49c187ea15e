"""Copies a run of benchmarks/stock.toml into the package: weights, settings, vocabulary, and the validation data that export needs.

    python benchmarks/stock_checkpoint.py RUN SCENES

RUN is the checkpoint of `wsra train`, SCENES the folder of `wsra scenes` that it was trained on. See docs/stock.md.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import tomli_w

from wsra.export.stock import CHECKPOINT
from wsra.export.vocabulary import vocabulary_of
from wsra.runtime.formats.annotations import read_captions
from wsra.runtime.formats.epochs import METRICS
from wsra.runtime.formats.vocabulary import VOCABULARY, write_vocabulary
from wsra.train.checkpoint import CONFIG, MODEL, load_checkpoint
from wsra.train.config import table_from_run

CAPTIONS, FEATURES = "captions-val.jsonl", "features"


def main(run: Path, scenes: Path) -> int:
    """Copy the files; return the exit code."""
    settings = load_checkpoint(run).run
    settings = replace(settings, data=replace(settings.data, captions=CAPTIONS, val_captions=CAPTIONS, features=FEATURES))
    shutil.rmtree(CHECKPOINT, ignore_errors=True)
    (CHECKPOINT / FEATURES).mkdir(parents=True)
    for name in (MODEL, METRICS):
        shutil.copy2(run / name, CHECKPOINT / name)
    shutil.copy2(scenes / CAPTIONS, CHECKPOINT / CAPTIONS)
    training = [caption.query for caption in read_captions(scenes / "captions-train.jsonl")]
    write_vocabulary(CHECKPOINT / VOCABULARY, vocabulary_of(training, source="training"))
    (CHECKPOINT / CONFIG).write_text(tomli_w.dumps(table_from_run(settings)), encoding="utf-8")
    for name in dict.fromkeys(caption.vid for caption in read_captions(CHECKPOINT / CAPTIONS)):
        shutil.copy2(scenes / "features" / f"{name}.feat", CHECKPOINT / FEATURES / f"{name}.feat")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
