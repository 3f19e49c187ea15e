"""Pieces of foreground and what is told of each, on painted things of known colours and shapes."""

from __future__ import annotations

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from wsra.runtime.backbones.tracking.blobs import LAB_CENTRE, LAB_SCALE, MATCHED, PARTS, Blob, Piece, described, find_pieces, united  # noqa: E402
from wsra.runtime.backbones.tracking.colours import COLOURS, lab, named_colours  # noqa: E402

pytestmark = pytest.mark.device
H, W = 240, 320
HAIR, RED, BLUE, WHITE = (25, 25, 25), (30, 30, 200), (200, 60, 20), (240, 240, 240)


def painted(*boxes: tuple[int, int, int, int, tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (left, top, right, bottom, colour) on grey, and where they are."""
    image, foreground = np.full((H, W, 3), 128, np.uint8), np.zeros((H, W), bool)
    for left, top, right, bottom, colour in boxes:
        image[top:bottom, left:right] = colour
        foreground[top:bottom, left:right] = True
    return image, foreground


def only(*boxes: tuple[int, int, int, int, tuple[int, int, int]], light: np.ndarray | None = None) -> Blob:
    image, foreground = painted(*boxes)
    (piece,) = find_pieces(image, foreground)
    return described(piece, foreground.shape, light)


def share(blob: Blob, part: str, *colours: str) -> float:
    return float(sum(blob.parts[list(PARTS).index(part), COLOURS.index(colour)] for colour in colours))


MAN = ((100, 100, 130, 117, HAIR), (100, 117, 130, 160, RED), (100, 160, 130, 190, BLUE), (100, 190, 130, 200, WHITE))


def test_each_part_has_the_colour_that_was_painted() -> None:
    blob = only(*MAN)
    assert share(blob, "hair", "black") > 0.9 and share(blob, "head", "black") > 0.9
    assert share(blob, "upper", "red") > 0.8 and share(blob, "arms", "red") > 0.8
    assert share(blob, "legs", "azure", "blue") > 0.9
    assert share(blob, "feet", "white") > 0.8
    assert 0.3 < share(blob, "all", "red") < 0.5 and 0.25 < share(blob, "all", "azure", "blue") < 0.35
    np.testing.assert_allclose(blob.parts[:, : len(COLOURS)].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(blob.colours, [blob.parts[list(PARTS).index(name), : len(COLOURS)] for name in MATCHED])


def test_lab_is_told_beside_the_names() -> None:
    blob = only(*MAN)
    wanted = (lab(np.array([RED], np.uint8))[0] - LAB_CENTRE) / LAB_SCALE
    np.testing.assert_allclose(blob.parts[list(PARTS).index("upper"), len(COLOURS) :], wanted, atol=0.02)


def test_arms_are_told_apart_from_the_coat() -> None:
    coat = (100, 100, 148, 220, RED)
    sleeves = ((100, 124, 110, 165, BLUE), (138, 124, 148, 165, BLUE))
    blob = only(coat, *sleeves)
    assert share(blob, "arms", "azure", "blue") > 0.65 and share(blob, "upper", "red") > 0.8


def test_the_rim_that_mixes_with_the_ground_names_no_colour() -> None:
    """A white rim of one pixel around something red; of a small thing every pixel counts."""
    blob = only((99, 99, 131, 181, WHITE), (100, 100, 130, 180, RED))
    assert share(blob, "upper", "red") == pytest.approx(share(only((100, 100, 130, 180, RED)), "upper", "red"), abs=0.01)
    small = only((99, 99, 106, 121, WHITE), (100, 100, 105, 120, RED))
    assert share(small, "hair", "white") > 0.5


def test_large_things_are_told_like_small_ones() -> None:
    small = only(*MAN)
    large = only(*((left * 2 - 150, top * 2 - 190, right * 2 - 150, bottom * 2 - 190, colour) for left, top, right, bottom, colour in MAN))
    assert large.area > 3.9 * small.area
    np.testing.assert_allclose(large.parts, small.parts, atol=0.12)
    np.testing.assert_allclose(large.silhouette, small.silhouette, atol=1e-6)


def test_the_light_is_taken_out() -> None:
    seen = (60, 100, 210)  # white cloth under a lamp
    gains = np.array([240 / 60, 2.4, 240 / 210])
    plain, lit = only((100, 100, 130, 180, seen)), only((100, 100, 130, 180, seen), light=gains)
    assert share(plain, "upper", "white") < 0.2 < 0.9 < share(lit, "upper", "white")


def test_place_and_shape() -> None:
    blob = only((80, 60, 112, 180, RED))
    assert blob.box == pytest.approx((80 / W, 60 / H, 112 / W, 180 / H))
    assert (blob.x, blob.foot, blob.width, blob.height) == pytest.approx((96 / W, 180 / H, 32 / W, 120 / H))
    assert blob.area == pytest.approx(32 * 120 / (W * H)) and blob.aspect == pytest.approx(32 / 120) and blob.fill == 1
    assert blob.silhouette == pytest.approx(np.ones(24)) and (blob.cut, blob.cut_top, blob.cut_bottom) == (0, 0, 0)


@pytest.mark.parametrize(
    ("box", "cut"),
    [((0, 50, 30, 90), (1, 0, 0)), ((290, 50, W, 90), (1, 0, 0)), ((50, 0, 80, 40), (0, 1, 0)), ((50, 200, 80, H), (0, 0, 1))],
)
def test_the_edge_that_cuts_it_is_told(box: tuple[int, int, int, int], cut: tuple[int, int, int]) -> None:
    blob = only((*box, RED))
    assert (blob.cut, blob.cut_top, blob.cut_bottom) == cut


def test_a_silhouette_of_legs_apart() -> None:
    blob = only((100, 100, 148, 140, RED), (100, 140, 116, 180, BLUE), (132, 140, 148, 180, BLUE))
    rows = blob.silhouette.reshape(8, 3)
    np.testing.assert_allclose(rows[:4], 1)
    np.testing.assert_allclose(rows[4:], [[1, 1, 0]] * 4)
    assert blob.fill == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_pieces_come_largest_first_and_small_ones_not_at_all() -> None:
    image, foreground = painted((10, 10, 14, 14, RED), (100, 100, 120, 130, BLUE), (200, 50, 240, 100, WHITE))
    pieces = find_pieces(image, foreground)
    assert [(piece.left, piece.top, piece.width, piece.height, piece.area) for piece in pieces] == [
        (200, 50, 40, 50, 2000), (100, 100, 20, 30, 600),
    ]  # fmt: skip
    assert (pieces[1].image == BLUE).all() and pieces[1].mask.all()


def test_fragments_are_told_as_one_thing() -> None:
    whole = only(*MAN)
    image, foreground = painted(*MAN)
    foreground[148:153] = False
    fragments = find_pieces(image, foreground)
    assert len(fragments) == 2
    one = united(fragments)
    assert (one.left, one.top, one.width, one.height, one.area) == (100, 100, 30, 100, 30 * 95)
    blob = described(one, foreground.shape, None)
    assert blob.box == whole.box and share(blob, "upper", "red") > 0.8 and share(blob, "legs", "azure", "blue") > 0.9


def test_a_strip_of_one_pixel_is_told_without_trouble() -> None:
    for height, width in ((1, 200), (200, 1), (3, 30)):
        piece = Piece(0, 0, width, height, width * height, np.ones((height, width), bool), np.full((height, width, 3), RED, np.uint8))
        blob = described(piece, (H, W), None)
        assert np.isfinite(blob.parts).all() and share(blob, "all", "red") > 0.8


def test_every_colour_name_is_told_of_its_own_colour() -> None:
    bgr = {"red": (20, 20, 220), "yellow": (20, 220, 230), "green": (40, 200, 50), "brown": (50, 70, 95), "black": (15, 15, 15),
           "dark grey": (90, 90, 90), "light grey": (160, 160, 160), "white": (245, 245, 245)}  # fmt: skip
    shares = named_colours(np.array(list(bgr.values()), np.uint8))
    assert [COLOURS[best] for best in shares.argmax(axis=1)] == list(bgr)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
