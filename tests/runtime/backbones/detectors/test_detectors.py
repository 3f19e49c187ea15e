"""A detector as a backbone: a moving camera, people who never move, and what a wrong graph is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for library in ("av", "cv2", "scipy", "onnx", "onnxruntime"):
    pytest.importorskip(library)

from moving import COCO, MOST, Pan, along, crowd, detector, look, reading, truth  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from graphs import save  # noqa: E402
from wsra.runtime.backbones.common.protocol import ObjectBackbone, SnippetBackbone  # noqa: E402
from wsra.runtime.backbones.detectors.backbone import NAMES, DetectorBackbone  # noqa: E402
from wsra.runtime.backbones.detectors.classes import CLASSES, class_of  # noqa: E402
from wsra.runtime.backbones.detectors.detections import DetectorCall, DetectorOutputs, Found  # noqa: E402
from wsra.runtime.backbones.detectors.load import load_detector  # noqa: E402
from wsra.runtime.backbones.registry import backbone_of  # noqa: E402
from wsra.runtime.backbones.tracking.tracker import Objects  # noqa: E402
from wsra.runtime.errors import BackboneError, BackendError, BundleError  # noqa: E402
from wsra.runtime.formats.bundle import open_bundle, read_manifest, sealed_files, write_manifest  # noqa: E402
from wsra.runtime.formats.features import read_features  # noqa: E402
from wsra.runtime.formats.tracks import Tracks, check_tracks  # noqa: E402
from wsra.runtime.spans.moments import iou  # noqa: E402
from wsra.runtime.video.frames import Frame, Reading  # noqa: E402
from wsra.train.scenes.demo.world import sample_clip  # noqa: E402

LEAST_IOU = 0.8  # of a life and a visit


@pytest.fixture(scope="module")
def pan() -> Pan:
    return crowd()


@pytest.fixture(scope="module")
def knowing(pan: Pan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return truth([pan], tmp_path_factory.mktemp("truth"))


@pytest.fixture(scope="module")
def followed(pan: Pan, knowing: Path) -> Objects:
    return load_detector(knowing).objects(pan.frames(), 1.0)


def visits_of(tracks: Tracks, pan: Pan) -> list[int]:
    """The visit that each track is, where lives and boxes agree; every visit is one track and every track one visit."""
    lives = np.array([[start, end] for _, start, end in pan.visits])
    return [int(np.argmax(iou(lives, life))) for life in tracks.lives_s]


def test_under_a_moving_camera_the_tracks_are_the_truth(pan: Pan, followed: Objects) -> None:
    check_tracks(followed.tracks, rows=len(followed.values), video="scene")
    kinds = [actor.kind for actor, _, _ in pan.visits]
    assert kinds == ["woman", "car", "woman", "man", "dog", "woman"]  # who leaves the picture for long and comes back comes anew
    visits = visits_of(followed.tracks, pan)
    assert sorted(visits) == list(range(len(kinds)))
    overlaps = [
        float(iou(life[None], np.array(pan.visits[visit][1:]))[0]) for life, visit in zip(followed.tracks.lives_s, visits, strict=True)
    ]
    assert min(overlaps) >= LEAST_IOU, overlaps


def test_rows_hold_boxes_class_and_score(pan: Pan, followed: Objects) -> None:
    assert followed.values.shape[1] == len(NAMES) == 197
    visits, column = visits_of(followed.tracks, pan), {name: number for number, name in enumerate(NAMES)}
    expected = {"man": "person", "woman": "person", "car": "car", "dog": "dog"}
    for row, (values, track) in enumerate(zip(followed.values, followed.tracks.of_row, strict=True)):
        actor = pan.visits[visits[track]][0]
        assert values[column[f"is {expected[actor.kind]}"]] == 1 and sum(values[column[f"is {name}"]] for name in CLASSES) == 1
        assert values[column["score"]] == pytest.approx(0.9, abs=1e-3)
        start_s, end_s = followed.times_s[row]
        times = np.arange(start_s, end_s, 0.25)
        boxes = [box for time_s in times if (box := pan.box(actor, time_s)) is not None]
        np.testing.assert_allclose(followed.tracks.boxes[row], np.mean(boxes, axis=0), atol=0.01)
    red, yellow = column["upper red"], column["upper yellow"]
    for kind, more, less in (("man", red, yellow), ("woman", yellow, red)):
        of = [pan.visits[visits[track]][0].kind == kind for track in followed.tracks.of_row]
        assert followed.values[of][:, more].mean() > 0.5 > followed.values[of][:, less].mean()


def test_who_never_moves_is_found_from_the_first_frame_to_the_last(tmp_path: Path) -> None:
    """Nothing of it is foreground, and there is no warm-up."""
    still = Pan(
        replace(sample_clip("still", "train", 3), duration_s=12.0, actors=(along(look("woman", "red"), (0.0, 12.0), (0.5, 0.5), 0.8),)), 0.0
    )
    found = load_detector(truth([still], tmp_path)).objects(still.frames(), 1.0)
    np.testing.assert_allclose(found.tracks.lives_s, [[0.0, 12.0]])
    assert len(found.values) == 12 and np.ptp(found.tracks.boxes, axis=0).max() < 0.01


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_the_size_of_a_batch_changes_nothing(pan: Pan, knowing: Path, followed: Objects, tmp_path: Path, batch: int) -> None:
    shutil.copy(knowing.with_suffix(".onnx"), tmp_path)
    path = tmp_path / knowing.name
    path.write_text(json.dumps({**json.loads(knowing.read_text()), "batch": batch}))
    backbone = load_detector(path)
    assert backbone.detector.per_call == batch and backbone.id(1.0) == load_detector(knowing).id(1.0)
    found = backbone.objects(pan.frames(), 1.0)
    np.testing.assert_array_equal(found.values, followed.values)
    np.testing.assert_array_equal(found.times_s, followed.times_s)
    for name, array in found.tracks.arrays().items():
        np.testing.assert_array_equal(array, followed.tracks.arrays()[name])


class Told:
    """A detector that is told what to find in each frame."""

    id, height_px, frames_per_s, per_call = "told", 240, 4.0, 4

    def __init__(self, frames: Sequence[Sequence[tuple[str, tuple[float, float, float, float]]]]) -> None:
        self._frames = iter(frames)

    def prepare(self, images: Sequence[Any]) -> DetectorCall:
        return DetectorCall(np.stack(images), [(240, 320)] * len(images))

    def infer(self, call: DetectorCall) -> DetectorOutputs:
        return DetectorOutputs([], len(call.pixels), call.sizes)

    def find(self, outputs: DetectorOutputs) -> list[Found]:
        found = []
        for _ in outputs.sizes:
            given = next(self._frames)
            boxes = np.array([box for _, box in given], np.float32).reshape(-1, 4)
            found.append(Found(boxes, np.full(len(given), 0.8, np.float32), np.array([class_of(name) for name, _ in given], np.int64)))
        return found


def blank(count: int, paint: Callable[[np.ndarray, int], None] = lambda image, number: None) -> Iterator[Any]:
    for number in range(count):
        image = np.full((240, 320, 3), 120, np.uint8)
        paint(image, number)
        yield Frame(number / 4, image)


def tracks_of(frames: Sequence[Sequence[tuple[str, tuple[float, float, float, float]]]]) -> Objects:
    return DetectorBackbone(Told(frames)).objects(blank(len(frames)), 1.0)


def at(x: float, width: float = 0.1) -> tuple[float, float, float, float]:
    return x, 0.3, x + width, 0.9


def test_two_people_who_meet_are_two_tracks_all_the_time() -> None:
    """Before a background they are one blob meanwhile; a detector tells them apart."""
    frames = [[("person", at(0.1 + 0.01 * number)), ("person", at(0.8 - 0.01 * number))] for number in range(60)]
    found = tracks_of(frames)
    np.testing.assert_allclose(found.tracks.lives_s, [[0, 15], [0, 15]])
    assert np.bincount(found.tracks.of_row).tolist() == [15, 15]


def test_a_class_that_flickers_is_one_thing_and_another_class_in_its_place_is_not() -> None:
    flickering = [[("truck" if number % 5 == 2 else "car", at(0.2 + 0.01 * number, 0.2))] for number in range(40)]
    found = tracks_of(flickering)
    assert len(found.tracks) == 1
    assert found.values[:, NAMES.index("is car")].mean() == pytest.approx(0.8, abs=0.03)
    rider = [[("person", (0.3, 0.2, 0.5, 0.7)), ("bicycle", (0.3, 0.45, 0.5, 0.9))] for _ in range(40)]
    swapped = [list(reversed(frame)) if number % 2 else frame for number, frame in enumerate(rider)]
    found = tracks_of(swapped)
    assert len(found.tracks) == 2
    for track in range(2):
        own = found.values[found.tracks.of_row == track]
        assert {tuple(row) for row in own[:, [NAMES.index("is person"), NAMES.index("is bicycle")]].tolist()} in ({(1, 0)}, {(0, 1)})


def test_who_is_lost_for_two_seconds_goes_on_and_a_single_flash_is_nothing() -> None:
    frames = [[("person", at(0.2 + 0.005 * number))] if not 16 <= number < 24 else [] for number in range(40)]
    frames[30] = [*frames[30], ("car", at(0.8))]
    found = tracks_of(frames)
    np.testing.assert_allclose(found.tracks.lives_s, [[0, 10]])


def test_a_video_without_anything_has_no_rows() -> None:
    found = tracks_of([[] for _ in range(12)])
    assert found.values.shape == (0, len(NAMES)) and len(found.tracks) == 0


def wsra(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "wsra.runtime.cli", *arguments], capture_output=True, text=True, cwd=folder, timeout=600)


def test_extract_from_a_file(pan: Pan, knowing: Path, tmp_path: Path) -> None:
    pan.write(tmp_path / "v.mp4")
    shutil.copytree(knowing.parent, tmp_path / "knowing")
    run = wsra("extract", "v.mp4", "-o", "out", "--detector", f"knowing/{knowing.name}", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    features = read_features(tmp_path / "out" / "v.feat")
    assert features.backbone == load_detector(knowing).id(1.0) and features.backbone.startswith("objects-1-")
    assert features.tracks is not None
    visits = visits_of(features.tracks, pan)
    overlaps = [iou(life[None], np.array(pan.visits[visit][1:]))[0] for life, visit in zip(features.tracks.lives_s, visits, strict=True)]
    assert sorted(visits) == list(range(len(pan.visits))) and min(overlaps) >= LEAST_IOU
    again = wsra("extract", "v.mp4", "-o", "out", "--detector", f"knowing/{knowing.name}", folder=tmp_path)
    assert "kept, already extracted" in again.stderr
    other = wsra("extract", "v.mp4", "-o", "out", folder=tmp_path)
    assert other.returncode == 1 and "expected motion-3@1s; they are kept" in other.stderr  # rows of two kinds never mix


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--detector", "d.json", "--backbone", "e.json"), "--detector is a backbone of its own; leave out"),
        (("--detector", "d.json", "--regions", "grid"), "--detector is a backbone of its own; leave out"),
        (("--detector", "d.json", "--continue"), "--continue does not work with detectors"),
        (("--detector", "d"), "d: not a detector; expected X.onnx next to X.json, or a folder with detector.json"),
        (("--detector", "."), "detector.json: no such file; expected the JSON settings of the detector (docs/detectors.md)"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "v.mp4").touch()
    run = wsra("extract", "v.mp4", "-o", "out", *arguments, folder=tmp_path)
    lines = " ".join(run.stderr.replace("│", " ").split())
    assert run.returncode != 0 and message in lines and not (tmp_path / "out").exists()


def tables(**changes: Any) -> dict[str, np.ndarray]:
    plain = {
        "boxes": np.tile(np.array([0.1, 0.1, 0.5, 0.5], np.float32), (1, MOST, 1)),
        "scores": np.full((1, MOST), 0.9, np.float32),
        "labels": np.zeros((1, MOST), np.float32),
    }
    return {**plain, **changes}


TOLD: dict[str, Any] = {"size": (240, 320), "outputs": "boxes", "names": ("boxes", "scores", "labels"), "units": "shares", "classes": COCO}


@pytest.mark.parametrize(
    ("changes", "held", "message"),
    [
        ({"input": "y"}, {}, "the input is x; the JSON says y: a detector must have only that input"),
        ({"names": ("boxes", "scores", "classes")}, {}, "no output classes; it has boxes, scores, labels: name those in the JSON"),
        ({"size": (64, 64)}, {}, "x is nx3x240x320; layout NCHW and size of the JSON make nx3x64x64"),
        ({"layout": "NHWC"}, {}, "x is nx3x240x320; layout NHWC and size of the JSON make nx240x320x3"),
        ({"sha256": "0" * 64}, {}, "not the graph that g.json describes (sha256 differs)"),
        ({"graph": "other.onnx"}, {}, "its graph other.onnx is not in the same folder"),
        ({"names": ("scores", "boxes", "labels")}, {}, "scores is (4, 8); by outputs and classes of the JSON, expected (frames, boxes, 4)"),
        ({"classes": ("person",)}, {"labels": np.full((1, MOST), 1, np.float32)}, "there is a box of class 1; classes has 1 names"),
        ({}, {"scores": np.full((1, MOST), np.nan, np.float32)}, "scores holds NaN or infinite numbers"),
    ],
)
def test_a_graph_that_does_not_fit_its_json(changes: dict[str, Any], held: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = detector(reading(tmp_path / "g.onnx", tables(**held)), **{**TOLD, **changes})
    with pytest.raises(BackboneError) as error:
        load_detector(path).objects(blank(4), 1.0)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_graph_that_takes_one_batch_or_other_numbers(tmp_path: Path) -> None:
    for dtype, shape, message in (
        (TensorProto.FLOAT, [2, 3, 240, 320], "takes 2 rows per call, and batch of the JSON is dynamic"),
        (TensorProto.DOUBLE, ["n", 3, 240, 320], "x is float64; expected float32, float16 or uint8: export a detector so"),
        (TensorProto.UINT8, ["n", 3, 240, 320], "x is uint8; then scale must be 1"),
    ):
        node = helper.make_node("Cast", ["x"], ["all"], to=TensorProto.FLOAT)
        path = detector(save(tmp_path / "g.onnx", [node], {"x": (dtype, shape)}, {"all": shape}), **{**TOLD, "names": ("all",)})
        with pytest.raises(BackboneError, match=message):
            load_detector(path)
    with pytest.raises(BackendError, match="onnx"):
        (tmp_path / "g.onnx").write_bytes(b"no graph")
        load_detector(detector(tmp_path / "g.onnx", **TOLD))


def test_it_is_an_object_backbone_by_any_of_its_names(knowing: Path, tmp_path: Path) -> None:
    backbone = load_detector(knowing)
    assert isinstance(backbone, ObjectBackbone) and not isinstance(backbone, SnippetBackbone)
    assert backbone.reads_at(1.0) == Reading(240, 4.0) and backbone.reads_at(0.1).frames_per_s == 10.0
    shutil.copy(knowing, tmp_path / "detector.json")
    shutil.copy(knowing.with_suffix(".onnx"), tmp_path)
    assert {load_detector(place).id(1.0) for place in (knowing.with_suffix(".onnx"), tmp_path, str(tmp_path))} == {backbone.id(1.0)}
    assert len({backbone.id(1.0), backbone.id(0.5)}) == 2


def test_a_bundle_carries_the_detector_of_its_rows(knowing: Path, rows_bundle_folder: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(rows_bundle_folder, tmp_path / "bundle")
    (bundle / "detector").mkdir()
    shutil.copy(knowing, bundle / "detector" / "detector.json")
    shutil.copy(knowing.with_suffix(".onnx"), bundle / "detector")
    manifest = read_manifest(bundle)
    write_manifest(bundle, replace(manifest, backbone=load_detector(knowing).id(1.0), files=sealed_files(bundle)))
    assert isinstance(backbone_of(open_bundle(bundle)), DetectorBackbone)
    write_manifest(bundle, replace(manifest, backbone="objects-1-0@1s", files=sealed_files(bundle)))
    with pytest.raises(BundleError, match=r"detector: makes objects-1-\w{12}@1s, the bundle is for objects-1-0@1s; export it again"):
        backbone_of(open_bundle(bundle))
