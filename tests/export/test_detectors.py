"""RT-DETR and D-FINE of transformers as ONNX detectors, beside PyTorch; and from films of a moving camera to answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for library in ("av", "cv2", "torch", "onnxscript", "scipy"):
    pytest.importorskip(library)

import torch  # noqa: E402
from detectors import CLASSES, SIZE, make_detr  # noqa: E402
from moving import Pan, detector, drawn, told_of, truth  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from wsra.export.detector import export_detector  # noqa: E402
from wsra.export.publish import ExportOptions, export_bundle  # noqa: E402
from wsra.runtime.backbones.detectors.classes import known  # noqa: E402
from wsra.runtime.backbones.detectors.load import load_detector  # noqa: E402
from wsra.runtime.backbones.detectors.settings import read_detector  # noqa: E402
from wsra.runtime.backends.ort import OrtBackend  # noqa: E402
from wsra.runtime.cli import app  # noqa: E402
from wsra.runtime.errors import ConfigError  # noqa: E402
from wsra.runtime.extraction.gathering import gather  # noqa: E402
from wsra.runtime.formats.features import Features, write_features  # noqa: E402
from wsra.runtime.spans.moments import iou  # noqa: E402
from wsra.runtime.verification.detection_gate import LIMITS, DetectionReport, detection_gate  # noqa: E402
from wsra.runtime.verification.golden import Case  # noqa: E402
from wsra.train.command import train_run  # noqa: E402
from wsra.train.scenes.demo.render import frames  # noqa: E402
from wsra.train.scenes.demo.world import sample_clip  # noqa: E402

PRECISIONS = {"fp32": "", "fp16": "fp16", "int8": "int8"}
NEAR = {"fp32": (1e-4, 1e-4), "fp16": (0.01, 0.05), "int8": (0.03, 0.2)}  # of corners, in shares of the picture, and of scores
NAMED = {"rt_detr": "RT-DETR", "d_fine": "D-FINE"}


@pytest.fixture(scope="module", params=["rt_detr", pytest.param("d_fine", marks=pytest.mark.full)])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A tiny random model and its export in all precisions."""
    folder = tmp_path_factory.mktemp(request.param)
    make_detr(folder / "model", request.param)
    export_detector(str(folder / "model"), folder / "detector", fp16=True, int8=True)
    return request.param, folder


def by_hand(model: Any, images: list[np.ndarray], threshold: float) -> list[list[tuple[float, str, list[float]]]]:
    """What transformers' own model and its own rule say: score, class and corners as shares, the best first."""
    import cv2

    pixels = np.stack([cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)[..., ::-1] for image in images])
    with torch.no_grad():
        out = model(pixel_values=torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float() / 255)
    found = []
    for logits, boxes in zip(out.logits.sigmoid(), out.pred_boxes, strict=True):
        rows = []
        for scores, (x, y, wide, high) in zip(logits.tolist(), boxes.tolist(), strict=True):
            if max(scores) >= threshold:
                corners = [min(max(side, 0.0), 1.0) for side in (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)]
                rows.append((max(scores), CLASSES[scores.index(max(scores))], corners))
        found.append(sorted(rows, reverse=True))
    return found


@pytest.mark.slow
def test_what_the_export_finds_is_what_transformers_finds(
    exported: tuple[str, Path], tell_parity: Callable[[str, str, str, str], None]
) -> None:
    from transformers import AutoModelForObjectDetection

    kind, folder = exported
    model: Any = AutoModelForObjectDetection.from_pretrained(folder / "model").eval()
    images = [image.copy() for place, image in enumerate(frames(sample_clip("v", "test", 11))) if place in (20, 60, 100)]
    expected = by_hand(model, images, threshold=0.6)  # what is found is over 0.5: a rounding decides on none of these
    assert sum(map(len, expected)) >= 10
    assert np.ptp([rows[0][0] for rows in expected]) > 1e-3  # another picture is something else to it
    for precision, place in PRECISIONS.items():
        backbone = load_detector(folder / "detector" / place)
        settings = read_detector(folder / "detector" / place / "detector.json")
        assert settings.classes == CLASSES and settings.follow == tuple(known(CLASSES)) == ("person", "bicycle", "car", "dog")
        batches = OrtBackend(folder / "detector" / place / "detector.onnx").inputs["pixels"].shape
        assert batches[1:] == (SIZE, SIZE, 3) and isinstance(batches[0], str)
        agree = total = 0
        detector = backbone.detector
        for found, rows in zip(detector.find(detector.infer(detector.prepare(images))), expected, strict=True):
            for score, name, corners in rows:
                if name in settings.follow:
                    near = np.abs(found.boxes - np.array(corners)).max(axis=1) < NEAR[precision][0]
                    agree += bool((near & (np.abs(found.scores - score) < NEAR[precision][1])).any())
                    total += 1
        tell_parity(f"{NAMED[kind]} of transformers, {SIZE} x {SIZE}", precision, "ONNX Runtime", f"{agree} of {total} boxes")
        assert agree >= {"fp32": 1.0, "fp16": 0.95, "int8": 0.8}[precision] * total


@pytest.mark.slow
def test_each_precision_has_an_id_of_its_own_and_makes_rows(exported: tuple[str, Path]) -> None:
    _, folder = exported
    assert len({load_detector(folder / "detector" / place).id(1.0) for place in PRECISIONS.values()}) == 3
    assert (
        json.loads((folder / "detector" / "detector.json").read_text())["sha256"]
        not in (folder / "detector" / "fp16" / "detector.json").read_text()
    )


class Fake:
    """A graph that gives this."""

    def __init__(self, **outputs: np.ndarray) -> None:
        self._outputs = outputs

    def infer(self, feeds: Any) -> dict[str, np.ndarray]:
        return self._outputs


def test_the_gate_compares_boxes_and_not_places(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(b"any")
    path = detector(tmp_path / "g.onnx", size=(64, 64), outputs="detr", names=("logits", "boxes"), classes=("person", "car"))
    settings = read_detector(path)
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (2, 30, 2)).astype(np.float32)
    boxes = np.concatenate([rng.uniform(0.3, 0.7, (2, 30, 2)), rng.uniform(0.1, 0.3, (2, 30, 2))], axis=2).astype(np.float32)
    case = Case({"x": np.zeros((2, 3, 64, 64), np.float32)}, {"logits": logits, "boxes": boxes})
    order = rng.permutation(30)

    def judged(logits: np.ndarray, boxes: np.ndarray, precision: str = "fp32") -> DetectionReport:
        return detection_gate(Fake(logits=logits, boxes=boxes), [case], settings, LIMITS[precision])

    assert judged(logits[:, order], boxes[:, order]).passed
    assert "boxes agree with the reference's to an IoU of 0.99, the limit is 99.5 %" in (judged(logits, boxes[:, order]).reason or "")
    assert not judged(logits, boxes * 1.02).passed and judged(logits, boxes * 1.002, "int8").passed
    assert "the mean difference of their scores is" in (judged(logits + 0.01, boxes).reason or "")
    assert judged(logits + 0.01, boxes, "fp16").passed
    assert not judged(logits[..., ::-1], boxes).passed  # of another class
    assert not judged(logits[:, :15], boxes[:, :15]).passed  # half of them are not there
    assert "holds NaN" in (judged(logits * np.nan, boxes).reason or "")


def test_what_is_no_such_detector(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    ViTModel(ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)).save_pretrained(tmp_path / "vit")
    for name, message in (("vit", "a model of type vit; expected RT-DETR, RT-DETRv2 or D-FINE"), ("none", "cannot be loaded")):
        with pytest.raises(ConfigError, match=message) as error:
            export_detector(str(tmp_path / name), tmp_path / "out")
        assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
    make_detr(tmp_path / "detr", "rt_detr")
    table = json.loads((tmp_path / "detr" / "preprocessor_config.json").read_text())
    (tmp_path / "detr" / "preprocessor_config.json").write_text(json.dumps({**table, "size": {"shortest_edge": 800}}))
    with pytest.raises(ConfigError, match="its images have no fixed size"):
        export_detector(str(tmp_path / "detr"), tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--detector", "d", "--backbone", "b"), "--detector is a backbone of its own; leave out --backbone and --zero-shot"),
        (("runs/x", "--detector", "d"), "d has no detector.json; export it first"),
    ],
)
def test_options_that_do_not_fit(arguments: tuple[str, ...], message: str) -> None:
    run = CliRunner().invoke(app, ["export", *arguments])
    assert run.exit_code != 0 and message in " ".join(run.output.replace("│", " ").split())


def features_of(pan: Pan, backbone: Any, name: str) -> Features:
    rows = gather(backbone, pan.frames(), 1.0).until(pan.clip.duration_s)
    return Features(rows.values, rows.times_s, name, pan.clip.duration_s, backbone.id(1.0), {}, rows.tracks)


@pytest.mark.slow
def test_answers_under_a_moving_camera(tmp_path: Path) -> None:
    """From films whose camera turns, by a detector that knows where everybody is: trained on captions, bundled with it, asked."""
    counts = {"train": 20, "val": 8, "test": 4}
    pans, number, first = {}, 0, 0
    for split, count in counts.items():
        for place in range(count):
            pans[f"{split}{place}"] = drawn(number, first)
            number, first = number + 1, first + pans[f"{split}{place}"].count
    knowing = truth(list(pans.values()), tmp_path / "knowing")
    knowing.rename(tmp_path / "knowing" / "detector.json")
    backbone = load_detector(tmp_path / "knowing")
    for split in ("train", "val"):
        rows = []
        for place in range(counts[split]):
            name = f"{split}{place}"
            write_features(tmp_path / "features" / f"{name}.feat", features_of(pans[name], backbone, name))
            for sentence in sorted({told_of(actor) for actor, start, end in pans[name].visits if end - start >= 2}):
                rows.append({"qid": f"{split}{len(rows)}", "query": sentence, "vid": name, "duration": pans[name].clip.duration_s})
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "run.toml").write_text(
        '[data]\ncaptions = "train.jsonl"\nval_captions = "val.jsonl"\nfeatures = "features"\n[text]\nencoder = "minilm"\n'
        "[sampling]\nfirst = 1\nlast = 1\n[training]\nepochs = 30\nbatch = 16\nkey_width = 32\nlearning_rate = 0.003\n"
    )
    checkpoint = train_run(tmp_path / "run.toml", tmp_path / "runs", [], resume=False)
    export_bundle(checkpoint, tmp_path / "bundle", ExportOptions(), detector=tmp_path / "knowing")
    right, asked = 0, 0
    for place in range(counts["test"]):
        pan = pans[f"test{place}"]
        video = pan.write(tmp_path / f"test{place}.mp4")
        for sentence in sorted({told_of(actor) for actor, start, end in pan.visits if end - start >= 2}):
            run = CliRunner().invoke(app, ["ground", str(video), sentence, "-b", str(tmp_path / "bundle"), "--json"])
            assert run.exit_code == 0, run.output
            moments = json.loads(run.stdout)["moments"]
            true = np.array([(start, end) for actor, start, end in pan.visits if told_of(actor) == sentence])
            best = float(iou(true, np.array([moments[0]["start_s"], moments[0]["end_s"]])).max()) if moments else 0.0
            right, asked = right + (best >= 0.8), asked + 1
    assert asked >= 8 and right >= 0.75 * asked, (right, asked)
