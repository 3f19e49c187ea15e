"""The numbers of one thing over one second."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from wsra.runtime.backbones.tracking.blobs import Blob, Piece, described
from wsra.runtime.backbones.tracking.describe import NAMES, WIDTH, Seen, numbers

pytestmark = pytest.mark.device
H, W = 240, 320


def box(left: int, top: int, width: int, height: int, colour: tuple[int, int, int] = (30, 30, 200)) -> Blob:
    image = np.full((height, width, 3), colour, np.uint8)
    return described(Piece(left, top, width, height, width * height, np.ones((height, width), bool), image), (H, W), None)


def told(seen: list[Seen], before: Seen | None = None, frames: int = 4) -> dict[str, float]:
    return dict(zip(NAMES, map(float, numbers(seen, before, frames)), strict=True))


def test_every_number_has_a_name() -> None:
    assert len(set(NAMES)) == len(NAMES) == WIDTH == 186
    made = numbers([(0.0, box(10, 10, 20, 60))], None, 4)
    assert made.shape == (186,) and made.dtype == np.float32


def test_place_and_size_are_means_over_its_frames() -> None:
    row = told([(1.0, box(100, 100, 20, 60)), (1.5, box(120, 110, 20, 80))])
    assert row["x"] == pytest.approx(120 / W) and row["foot"] == pytest.approx((160 + 190) / 2 / H)
    assert row["width"] == pytest.approx(20 / W) and row["height"] == pytest.approx(70 / H)
    assert row["log aspect"] == pytest.approx((np.log(20 / 60) + np.log(20 / 80)) / 4)
    assert row["root area"] == pytest.approx((np.sqrt(1200 / H / W) + np.sqrt(1600 / H / W)) / 2)
    assert row["presence"] == 0.5 and row["fill"] == 1


def test_it_walks_to_the_right_and_to_the_left() -> None:
    right = told([(1.0, box(100, 100, 20, 60)), (2.0, box(164, 100, 20, 60))])
    assert right["rightward"] == pytest.approx(0.2) and right["leftward"] == right["toward"] == right["away"] == 0
    assert right["stride"] == pytest.approx(64 / 60, rel=1e-3) and right["still"] == 0
    left = told([(1.0, box(164, 100, 20, 60)), (2.0, box(100, 100, 20, 60))])
    assert left["leftward"] == pytest.approx(0.2) and left["rightward"] == 0


def test_it_comes_and_goes() -> None:
    near = told([(1.0, box(100, 60, 20, 60)), (2.0, box(96, 70, 28, 90))])
    assert near["toward"] == pytest.approx(40 / H) and near["away"] == 0 and near["growth"] == pytest.approx(np.log(1.5))
    far = told([(1.0, box(96, 70, 28, 90)), (2.0, box(100, 60, 20, 60))])
    assert far["away"] == pytest.approx(40 / H) and far["toward"] == 0 and far["growth"] == pytest.approx(-np.log(1.5))


def test_speed_starts_where_it_was_seen_before() -> None:
    before = (0.75, box(100, 100, 20, 60))
    row = told([(1.0, box(108, 100, 20, 60)), (1.75, box(132, 100, 20, 60))], before)
    assert row["rightward"] == pytest.approx(32 / W) and row["x"] == pytest.approx(130 / W)


def test_who_stands_is_still() -> None:
    row = told([(k / 4, box(100, 100, 20, 60)) for k in range(4)])
    assert row["still"] == 1 and row["stride"] == 0 and row["presence"] == 1


def test_once_seen_it_has_no_speed() -> None:
    row = told([(1.0, box(100, 100, 20, 60))])
    assert row["stride"] == 0 and row["growth"] == 0 and row["presence"] == 0.25


def test_a_jump_is_told_within_bounds() -> None:
    row = told([(1.0, box(0, 0, 3, 4)), (1.05, box(300, 200, 20, 40))])
    assert row["stride"] == 4 and row["growth"] == 1 and row["toward"] <= 1


def test_the_edges_that_cut_it_are_shares_of_its_frames() -> None:
    row = told([(1.0, box(0, 100, 20, 60)), (1.25, box(0, 100, 22, 60)), (1.5, box(4, 100, 20, 60)), (1.75, box(8, 180, 20, 60))])
    assert (row["cut"], row["cut top"], row["cut bottom"]) == (0.5, 0, 0.25)


def test_colours_are_means_too() -> None:
    row = told([(1.0, box(100, 100, 20, 60, (30, 30, 200))), (1.25, box(100, 100, 20, 60, (240, 240, 240)))])
    assert row["upper red"] == pytest.approx(0.5, abs=0.08) and row["upper white"] == pytest.approx(0.5, abs=0.08)
