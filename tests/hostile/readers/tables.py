"""Text that people write or other tools make: annotations, predictions, durations, captions, queries."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from hostile.cases import Damage, Reader
from hostile.mutate import jsons, raw, texts
from hostile.readers.asking import searched
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.evaluation.evaluate import EvaluationRequest, evaluate
from wsra.runtime.evaluation.protocols import ProtocolName
from wsra.runtime.evaluation.report import evaluation_json
from wsra.runtime.formats.annotations import read_captions

VIDEOS = ("val1", "val2", "val3")
SPANS = ([2.0, 5.0], [7.0, 12.5], [0.0, 3.0])
SENTENCES = ("a man in a yellow shirt", "the red car", "a dog “runs” past")


def rows() -> list[dict[str, Any]]:
    """Annotations in the field's JSON lines."""
    return [
        {"qid": str(number), "query": sentence, "vid": vid, "duration": 18.0, "relevant_windows": [span]}
        for number, (vid, span, sentence) in enumerate(zip(VIDEOS, SPANS, SENTENCES, strict=True))
    ]


def lines_damaged(rng: Random, values: list[Any]) -> tuple[bytes, str]:
    """JSON lines with one row damaged, or the whole as text."""
    lines = [json.dumps(row).encode() for row in values]
    if rng.random() < 0.3:
        return texts.damaged(rng, b"\n".join(lines).decode() + "\n")
    place = rng.randrange(len(values))
    lines[place], what = jsons.damaged(rng, values[place])
    return b"\n".join(lines) + b"\n", f"line {place}: {what}"


class AnnotationsReader(Reader):
    """`wsra evaluate PREDICTIONS ANNOTATIONS` with damaged annotations in each known form."""

    name = "annotations"
    forms: ClassVar[tuple[str, ...]] = ("lines", "didemo", "uca", "charades")

    def lay(self, place: Path) -> None:
        self._write(place, "lines", *rows_as("lines"))

    def damage(self, rng: Random, place: Path) -> Damage:
        form = rng.choice(self.forms)
        value, text = rows_as(form)
        if form == "lines":
            data, what = lines_damaged(rng, value)
        elif form == "charades":
            data, what = texts.damaged(rng, text)
        else:
            data, what = jsons.damaged(rng, value)
        self._write(place, form, value, data)
        return Damage(f"{form}: {what}")

    def _write(self, place: Path, form: str, value: Any, text: str | bytes) -> None:
        (place / "annotations").write_bytes(text if isinstance(text, bytes) else text.encode())
        windows = [[0.0, 5.0, 1.0], [5.0, 10.0, 0.5]]
        known: dict[str, list[Any]] = {"uca": [f"{vid}#0" for vid in VIDEOS], "charades": ["1", "2", "3"], "didemo": [0, 1, 2]}
        qids = known.get(form, ["0", "1", "2"])
        predictions = [{"qid": qid, "pred_relevant_windows": windows} for qid in qids]
        (place / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in predictions))
        (place / "form").write_text(form)
        (place / "durations.json").write_text(json.dumps({vid: {"duration": 18.0} for vid in VIDEOS}))

    def read(self, place: Path) -> Any:
        form = (place / "form").read_text()
        protocol: ProtocolName = "didemo" if form == "didemo" else "charades" if form == "charades" else "spans"
        durations = place / "durations.json" if form == "charades" else None
        request = EvaluationRequest(place / "predictions.jsonl", place / "annotations", protocol, durations=durations)
        return evaluation_json(evaluate(request))


def rows_as(form: str) -> tuple[Any, str]:
    """The annotations in one of the known forms: as a value, and as text."""
    value: Any
    if form == "lines":
        value = rows()
        return value, "".join(json.dumps(row) + "\n" for row in value)
    if form == "charades":
        text = "".join(f"{vid} {a} {b}##{s}.\n" for vid, (a, b), s in zip(VIDEOS, SPANS, SENTENCES, strict=True))
        return text, text
    if form == "didemo":
        value = [
            {"annotation_id": n, "description": s, "video": vid, "times": [[0, 0], [0, 1], [1, 1], [0, 0]], "num_segments": 6}
            for n, (vid, s) in enumerate(zip(VIDEOS, SENTENCES, strict=True))
        ]
    else:
        value = {
            vid: {"duration": 18.0, "timestamps": [span], "sentences": [s]} for vid, span, s in zip(VIDEOS, SPANS, SENTENCES, strict=True)
        }
    return value, json.dumps(value)


class PredictionsReader(AnnotationsReader):
    """`wsra evaluate` with damaged predictions."""

    name = "predictions"

    def damage(self, rng: Random, place: Path) -> Damage:
        windows = [[0.0, 5.0, 1.0], [5.0, 10.0, 0.5]]
        values = [{"qid": row["qid"], "query": row["query"], "vid": row["vid"], "pred_relevant_windows": windows} for row in rows()]
        data, what = lines_damaged(rng, values)
        (place / "predictions.jsonl").write_bytes(data)
        return Damage(what)


class DurationsReader(AnnotationsReader):
    """`wsra evaluate --durations` with damaged durations."""

    name = "durations"

    def lay(self, place: Path) -> None:
        self._write(place, "charades", *rows_as("charades"))

    def damage(self, rng: Random, place: Path) -> Damage:
        data, what = jsons.damaged(rng, {vid: {"duration": 18.0} for vid in VIDEOS} | {"other": 3})
        (place / "durations.json").write_bytes(data)
        return Damage(what)


class BundleAnnotationsReader(AnnotationsReader):
    """`wsra evaluate BUNDLE ANNOTATIONS --features DIR`: names of videos become paths."""

    name = "annotations of a bundle"
    weight = 0.1

    def lay(self, place: Path) -> None:
        super().lay(place)
        (place / "features").mkdir()
        for vid in VIDEOS:
            shutil.copyfile(self.materials.features / f"{vid}.feat", place / "features" / f"{vid}.feat")
        shutil.copyfile(self.materials.feat, place / "secret.feat")

    def damage(self, rng: Random, place: Path) -> Damage:
        if rng.random() < 0.1:
            values = rows()
            values[rng.randrange(3)]["vid"] = rng.choice(("../secret", str(place / "secret"), "x/../../secret", "./../secret"))
            (place / "annotations").write_text("".join(json.dumps(row) + "\n" for row in values))
            return Damage("a vid that leaves the folder", "refused")
        data, what = lines_damaged(rng, rows())
        (place / "annotations").write_bytes(data)
        return Damage(what)

    def read(self, place: Path) -> Any:
        request = EvaluationRequest(
            self.materials.bundle, place / "annotations", "spans", features=place / "features", settings=RunSettings("fp32", "cpu", 1)
        )
        return evaluation_json(evaluate(request))


class CaptionsReader(Reader):
    """The captions of `wsra train` and of `wsra export --calib`."""

    name = "captions"

    def lay(self, place: Path) -> None:
        (place / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
        shutil.copyfile(self.materials.feat, place / "secret.feat")

    def damage(self, rng: Random, place: Path) -> Damage:
        values = rows()
        if rng.random() < 0.02:
            values[rng.randrange(3)]["vid"] = rng.choice(("../secret", str(place / "secret"), "x/../../secret"))
            (place / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in values))
            return Damage("a vid that leaves the folder", "refused")
        data, what = lines_damaged(rng, values)
        (place / "captions.jsonl").write_bytes(data)
        return Damage(what)

    def read(self, place: Path) -> Any:
        from wsra.train.data import load

        read_captions(place / "captions.jsonl")
        data = load(place / "captions.jsonl", self.materials.features, seen_as="snippets")
        return [(caption.qid, caption.query, caption.vid) for caption in data.captions]


class QueriesReader(Reader):
    """`wsra ground X.feat --queries FILE`."""

    name = "queries"
    weight = 0.2

    def lay(self, place: Path) -> None:
        shutil.copyfile(self.materials.feat, place / "v.feat")
        (place / "queries.txt").write_text("".join(f"{sentence}\n" for sentence in SENTENCES))

    def damage(self, rng: Random, place: Path) -> Damage:
        text = (place / "queries.txt").read_text()
        data, what = texts.damaged(rng, text) if rng.random() < 0.7 else raw.damaged(rng, text.encode())
        (place / "queries.txt").write_bytes(data)
        return Damage(what)

    def made(self, place: Path) -> frozenset[str]:
        return frozenset({"v.keys"})

    def read(self, place: Path) -> Any:
        return searched(self.materials, place / "v.feat", queries=place / "queries.txt")
