"""Layouts of outputs beside independent computations, and which boxes are chosen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")

from wsra.runtime.backbones.common.pixels import place_of, resized
from wsra.runtime.backbones.detectors.classes import CLASSES
from wsra.runtime.backbones.detectors.decode import Candidates, decoded
from wsra.runtime.backbones.detectors.detections import chosen, pieces_of
from wsra.runtime.backbones.detectors.settings import DetectorSettings

pytestmark = pytest.mark.device

NAMED = {"detr": ("logits", "boxes"), "yolox": ("output",), "boxes": ("boxes", "scores", "labels")}


def settings(outputs: str = "boxes", **changes: Any) -> DetectorSettings:
    values: dict[str, Any] = {"name": "t", "graph": "t.onnx", "sha256": "0" * 64, "input": "x", "size": (64, 96), "resize": "stretch"}
    values |= {"outputs": outputs, "names": NAMED[outputs], "classes": ("person", "car", "bench"), "threshold": 0.5}
    return DetectorSettings(**{**values, **changes})


def test_yolox_cell_by_cell() -> None:
    rng = np.random.default_rng(0)
    given = settings("yolox", strides=(8, 16, 32), scale=1)
    cells = 8 * 12 + 4 * 6 + 2 * 3
    table = rng.normal(size=(2, cells, 8)).astype(np.float32)
    table[..., 4:] = rng.random((2, cells, 4))
    for frame, found in zip(table, decoded([table], given, 2), strict=True):
        place = 0
        for stride in (8, 16, 32):
            for row in range(64 // stride):
                for column in range(96 // stride):
                    x, y, wide, high, objectness, *scores = (float(number) for number in frame[place])
                    x, y = (x + column) * stride, (y + row) * stride
                    wide, high = math.exp(wide) * stride, math.exp(high) * stride
                    expected = [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]
                    np.testing.assert_allclose(found.boxes[place], expected, rtol=1e-4, atol=1e-4)
                    assert found.scores[place] == pytest.approx(objectness * max(scores), rel=1e-5)
                    assert found.classes[place] == scores.index(max(scores))
                    place += 1
        assert place == len(found.boxes) == cells


def test_yolox_that_decodes_itself() -> None:
    (found,) = decoded([np.array([[[40, 30, 20, 10, 0.5, 0.2, 0.9, 0.1]]], np.float32)], settings("yolox"), 1)
    np.testing.assert_allclose(found.boxes, [[30, 25, 50, 35]])
    assert (found.scores.tolist(), found.classes.tolist()) == ([pytest.approx(0.45)], [1])


def test_detr_by_sigmoid_and_by_softmax() -> None:
    boxes = np.array([[[0.5, 0.25, 0.5, 0.5]]], np.float32)
    (found,) = decoded([np.array([[[0.0, 2.0, -90000.0]]], np.float32), boxes], settings("detr"), 1)
    np.testing.assert_allclose(found.boxes, [[24, 0, 72, 32]])
    assert (found.scores.tolist(), found.classes.tolist()) == ([pytest.approx(1 / (1 + math.exp(-2)))], [1])
    logits = np.array([[[0.0, 2.0, 1.0, 3.0]]], np.float32)
    (found,) = decoded([logits, boxes], settings("detr", scores="softmax"), 1)
    total = sum(math.exp(number) for number in (0, 2, 1, 3))
    assert (found.scores.tolist(), found.classes.tolist()) == ([pytest.approx(math.exp(2) / total)], [1])


def test_boxes_in_three_outputs_and_in_one() -> None:
    corners = np.array([[[10, 20, 30, 40], [0, 0, 5, 5], [1, 2, 3, 4]]], np.float32)
    scores, labels = np.array([[0.9, 0.6, 0.0]], np.float32), np.array([[2, 0, -1]], np.int64)
    (three,) = decoded([corners, scores, labels], settings(), 1)
    joined = np.concatenate([corners, scores[..., None], labels[..., None]], axis=2).astype(np.float16)
    (one,) = decoded([joined], settings(names=("all",)), 1)
    for found in (three, one):
        np.testing.assert_allclose(found.boxes, corners[0, :2])
        np.testing.assert_allclose(found.scores, [0.9, 0.6], atol=1e-3)
        assert found.classes.tolist() == [2, 0]  # a class below 0 is no box
    (shares,) = decoded([corners / 100, scores, labels], settings(units="shares"), 1)
    np.testing.assert_allclose(shares.boxes[0], [9.6, 12.8, 28.8, 25.6], rtol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "arrays", "message"),
    [
        ("detr", [(2, 5, 3), (2, 5, 4)], "logits is (2, 5, 3) for 1 frames"),
        ("detr", [(1, 5, 4), (1, 5, 4)], "logits is (1, 5, 4); by outputs and classes of the JSON, expected (frames, boxes, 3)"),
        ("detr", [(1, 5, 3), (1, 20)], "boxes is (1, 20)"),
        ("yolox", [(1, 7, 8)], "output has 7 boxes; strides [8, 16, 32] and size [64, 96] make 126"),
        ("yolox", [(1, 126, 85)], "output is (1, 126, 85)"),
        ("boxes", [(1, 5, 4), (1, 5, 1), (1, 5)], "scores is (1, 5, 1); boxes is (1, 5, 4), so expected (1, 5)"),
    ],
)
def test_shapes_that_are_not_those_of_the_layout(outputs: str, arrays: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError) as error:
        decoded([np.zeros(shape, np.float32) for shape in arrays], settings(outputs, strides=(8, 16, 32) if outputs == "yolox" else ()), 1)
    assert message in str(error.value)


def test_numbers_that_mean_nothing() -> None:
    with pytest.raises(ValueError, match="logits holds NaN or infinite numbers; compare scale"):
        decoded([np.full((1, 5, 3), np.nan), np.zeros((1, 5, 4))], settings("detr"), 1)
    with pytest.raises(ValueError, match="a box of class 3; classes has 3 names"):
        decoded([np.zeros((1, 1, 4)), np.ones((1, 1)), np.array([[3]])], settings(), 1)


def found_of(*boxes: tuple[float, float, float, float, float, int]) -> Candidates:
    table = np.array(boxes, np.float32).reshape(-1, 6)
    return Candidates(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


WHOLE = (0, 0, 64, 96)


def test_the_threshold_and_the_classes_that_are_followed() -> None:
    candidates = found_of((0, 0, 48, 32, 0.5, 0), (48, 32, 96, 64, 0.49, 0), (0, 32, 48, 64, 0.8, 2), (48, 0, 96, 32, 0.7, 1))
    every = chosen(candidates, settings(), WHOLE)
    assert [CLASSES[number] for number in every.classes] == ["other", "car", "person"]  # the best first
    np.testing.assert_allclose(every.boxes[1], [0.5, 0, 1, 0.5])
    assert every.scores.tolist() == pytest.approx([0.8, 0.7, 0.5])
    assert chosen(candidates, settings(follow=("person", "car")), WHOLE).scores.tolist() == pytest.approx([0.7, 0.5])
    assert chosen(candidates, settings(classes=("", "car", "bench")), WHOLE).scores.tolist() == pytest.approx([0.8, 0.7])
    assert len(chosen(found_of(), settings(), WHOLE).boxes) == 0


def test_two_boxes_of_one_thing_are_one() -> None:
    near = found_of((0, 0, 40, 40, 0.6, 0), (0, 0, 40, 30, 0.9, 0), (0, 0, 40, 24, 0.7, 1))  # IoU .75 with the best, and .8
    assert chosen(near, settings(), WHOLE).scores.tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert chosen(near, settings(nms=0.7), WHOLE).scores.tolist() == pytest.approx([0.9, 0.7])  # of one class
    double = found_of((0, 0, 40, 40, 0.6, 1), (0, 0, 40, 39, 0.9, 2), (0, 0, 40, 20, 0.7, 1))
    assert chosen(double, settings(), WHOLE).scores.tolist() == pytest.approx([0.9, 0.7])  # of two classes


def test_boxes_are_clipped_and_those_beyond_the_frame_dropped() -> None:
    found = chosen(found_of((-20, -20, 48, 32, 0.9, 0), (-20, 0, -1, 32, 0.8, 0), (30, 30, 30, 40, 0.7, 0)), settings(), WHOLE)
    np.testing.assert_allclose(found.boxes, [[0, 0, 0.5, 0.5]])


@pytest.mark.parametrize("resize", ["stretch", "pad", "corner"])
@pytest.mark.parametrize("shape", [(100, 60), (60, 100), (64, 96), (30, 20)])
def test_a_box_of_the_input_is_where_its_pixels_were_in_the_frame(resize: str, shape: tuple[int, int]) -> None:
    given = settings(resize=resize, scale=1, fill=114)
    image = np.full((*shape, 3), 30, np.uint8)
    top, left, bottom, right = (round(share * side) for share, side in zip((0.2, 0.5, 0.7, 0.9), shape * 2, strict=True))
    image[top:bottom, left:right] = 250
    shown = resized(image, given, fill=given.fill)[..., 0]
    lit = np.argwhere(shown > 180)
    (y, x), (foot, end) = lit.min(axis=0), lit.max(axis=0) + 1
    place = place_of(*shape, given.size, resize)
    found = chosen(found_of((float(x), float(y), float(end), float(foot), 0.9, 0)), given, place)
    expected = [left / shape[1], top / shape[0], right / shape[1], bottom / shape[0]]
    np.testing.assert_allclose(found.boxes[0], expected, atol=1.5 / min(place[2:]))
    if resize != "stretch" and place[2:] != given.size:
        assert (shown == 114).any() and (place[:2] == (0, 0)) == (resize == "corner")


def test_an_ellipse_stands_for_the_outline() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    found = chosen(found_of((10, 8, 50, 48, 0.9, 0), (0, 0, 1, 1, 0.8, 1)), settings(), WHOLE)
    (piece,) = pieces_of(found, image)  # two pixels are no thing
    assert (piece.left, piece.top, piece.width, piece.height) == (21, 12, 83, 63)
    assert piece.area / (83 * 63) == pytest.approx(np.pi / 4, abs=0.02)
    assert piece.mask.any(axis=1).all() and piece.mask.any(axis=0).all() and not piece.mask[0, 0]
    assert np.shares_memory(piece.image, image) and piece.label.tolist() == pytest.approx([1.0, *[0.0] * 9, 0.9])
