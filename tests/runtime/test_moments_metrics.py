from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsra.runtime.metrics import chance, figures, fixed_window
from wsra.runtime.moments import best_first, best_iou, iou, suppress
from wsra.runtime.windows import relative_windows

pytestmark = pytest.mark.device

SPAN = st.tuples(st.floats(0, 50), st.floats(0.1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@pytest.mark.parametrize(
    ("span", "other", "expected"),
    [((0, 10), (0, 10), 1.0), ((0, 10), (5, 15), 1 / 3), ((0, 1), (2, 3), 0.0), ((0, 4), (1, 2), 0.25), ((3, 3), (3, 3), 0.0)],
)
def test_iou(span: tuple[float, float], other: tuple[float, float], expected: float) -> None:
    assert iou(np.array([span], float), np.array(other, float))[0] == pytest.approx(expected)


@given(st.lists(st.tuples(SPAN, st.integers(0, 5)), min_size=1, max_size=25), st.integers(1, 8))
def test_suppression_keeps_the_best_and_no_near_doubles(rows: list[tuple[tuple[float, float], int]], count: int) -> None:
    spans, scores = np.array([span for span, _ in rows]), np.array([float(score) for _, score in rows])
    kept = suppress(spans, scores, count=count)
    assert kept[0] == best_first(scores)[0] and len(kept) <= count
    for place, index in enumerate(kept):
        others = list(kept[:place])
        assert all(iou(spans[[k]], spans[index])[0] <= 0.5 for k in others)
    assert kept == suppress(spans, scores, count=99)[:count]  # asking for more changes none of the first


def test_of_several_true_spans_the_best_counts() -> None:
    assert best_iou(np.array([[0.0, 2.0]]), np.array([[5.0, 9.0], [0.0, 4.0]]))[0] == 0.5
    assert best_iou(np.array([[0.0, 2.0]]), np.zeros((0, 2)))[0] == 0.0


def test_no_answer_counts_zero() -> None:
    told = figures([np.zeros((0, 2)), np.array([[0.0, 1.0]])], [np.array([[0.0, 1.0]])] * 2)
    assert (told.queries, told.r1_iou50, told.miou) == (2, 50.0, 50.0)


@pytest.mark.parametrize("name", ["random", "noisy"])
@pytest.mark.parametrize("clamped", [False, True])
def test_golden_charades(data_folder: Path, name: str, clamped: bool) -> None:
    golden = json.loads((data_folder / "golden" / "charades200.json").read_text())
    expected = golden["expected"][name]["seconds_protocol"]
    expected = expected["gt_clamped"] if clamped else expected
    truths = [np.array([row["lighthouse_window"] if clamped else [row["start"], row["end"]]]) for row in golden["annotations"]]
    told = figures([np.array(rows)[:, :2] for rows in golden["predictions"][name]], truths)
    near = pytest.approx  # two predictions of `noisy` sit on a threshold: one query of 200 may fall either way
    assert told.miou == near(100 * expected["mIoU"], abs=1e-3)
    for key, field in (("R1@0.3", "r1_iou30"), ("R1@0.5", "r1_iou50"), ("R1@0.7", "r1_iou70"), ("R5@0.5", "r5_iou50")):
        assert getattr(told, field) == near(100 * expected[key], abs=1.01 if name == "noisy" else 1e-3), key


def charades(data_folder: Path) -> tuple[list[np.ndarray], list[float]]:
    durations = json.loads((data_folder / "charades_sta" / "charades.json").read_text())
    truths, lengths = [], []
    for line in (data_folder / "charades_sta" / "charades_sta_test.txt").read_text().splitlines():
        vid, start, end = line.split("##")[0].split()
        truths.append(np.array([[float(start), float(end)]]))
        lengths.append(float(durations[vid]["duration"]))
    return truths, lengths


def test_exact_chance_of_the_papers_plan_on_charades(data_folder: Path) -> None:
    truths, lengths = charades(data_folder)
    told = chance([relative_windows(length) for length in lengths], truths)
    assert told.queries == 3720
    values = (told.r1_iou30, told.r1_iou50, told.r1_iou70, told.r5_iou50, told.miou)
    assert values == pytest.approx((31.049, 16.276, 5.458, 56.360, 19.928), abs=0.002)


def test_fixed_window_of_charades(data_folder: Path) -> None:
    truths, lengths = charades(data_folder)
    told = figures([np.array([[0.0, 0.5 * length]]) for length in lengths], truths)
    assert (told.r1_iou30, told.r1_iou50, told.miou) == pytest.approx((49.462, 25.591, 30.150), abs=0.06)
    start, end = fixed_window([np.array([[4.0, 8.0]])] * 3 + [np.array([[10.0, 20.0]])], [20.0] * 4)
    assert best_iou(np.array([[start, end]]), np.array([[0.2, 0.4]]))[0] >= 0.5 - 1e-9
