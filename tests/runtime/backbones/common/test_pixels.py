"""Frames to inputs, by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from wsra.runtime.backbones.common.pixels import arranged, resized
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings

pytestmark = pytest.mark.device


def settings(size: tuple[int, int], resize: str = "stretch", **changes: object) -> EncoderSettings:
    given: dict[str, object] = {"colour": "BGR", "scale": 1.0, "mean": (0.0,) * 3, "std": (1.0,) * 3, "width": 1, "normalise": "none"}
    given |= {"name": "t", "graph": "t.onnx", "sha256": "0" * 64, "input": "x", "output": "y", "layout": "NHWC"}
    return EncoderSettings(size=size, resize=resize, **(given | changes))  # type: ignore[arg-type]


def fitted(image: np.ndarray, given: EncoderSettings) -> np.ndarray:
    """One frame as the float32 input of an NHWC graph."""
    return arranged([[resized(image, given)]], given, "float32")[0]


def columns(height: int, levels: list[int]) -> np.ndarray:
    return np.repeat(np.array(levels, np.uint8)[None, :, None], height, axis=0).repeat(3, axis=2)


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        ("stretch", [[15, 55, 95, 135]] * 4),  # pairs of columns averaged, rows halved
        ("crop", [[55, 95]] * 2),
        ("pad", [[0] * 4, [15, 55, 95, 135], [15, 55, 95, 135], [0] * 4]),
    ],
)
def test_resizing(resize: str, expected: list[list[int]]) -> None:
    image = columns(4 if resize != "stretch" else 8, [10, 20, 50, 60, 90, 100, 130, 140])
    out = fitted(image, settings((2, 2) if resize == "crop" else (4, 4), resize))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[..., 0], expected)


def test_crop_takes_the_middle_of_a_standing_frame_too() -> None:
    image = columns(4, [10, 20, 50, 60, 90, 100, 130, 140]).transpose(1, 0, 2)
    np.testing.assert_allclose(fitted(image, settings((2, 2), "crop"))[..., 0], [[55, 55], [95, 95]])


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
def test_what_is_smaller_is_enlarged(resize: str) -> None:
    out = fitted(np.full((5, 5, 3), 90, np.uint8), settings((12, 12), resize))
    assert out.shape == (12, 12, 3) and (out == 90).all()


def test_colour_scale_mean_and_std_in_that_order() -> None:
    image = np.full((2, 2, 3), (10, 20, 40), np.uint8)  # blue, green, red
    given = {"scale": 0.1, "mean": (1.0, 2.0, 3.0), "std": (2.0, 4.0, 5.0)}
    np.testing.assert_allclose(fitted(image, settings((2, 2), colour="RGB", **given))[0, 0], [1.5, 0.0, -0.4], atol=1e-6)
    np.testing.assert_allclose(fitted(image, settings((2, 2), colour="BGR", **given))[0, 0], [0.0, 0.0, 0.2], atol=1e-6)


def test_a_graph_that_scales_by_itself_gets_the_bytes() -> None:
    image = np.full((2, 2, 3), (10, 20, 40), np.uint8)
    for colour, expected in (("BGR", [10, 20, 40]), ("RGB", [40, 20, 10])):
        out = arranged([[image]], settings((2, 2), colour=colour), "uint8")
        assert out.dtype == np.uint8 and out[0, 0, 0].tolist() == expected


def test_a_call_is_what_its_rows_are_one_by_one() -> None:
    given = settings((3, 4), colour="RGB", scale=1 / 255, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    rows = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 3)).astype(np.uint8)
    together = arranged([[row] for row in rows], given, "float32")
    for row, out in zip(rows, together, strict=True):
        expected = (row[..., ::-1] * np.float32(1 / 255) - np.array(given.mean, np.float32)) / np.array(given.std, np.float32)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "NCTHW", "NTCHW", "NTHWC"])
def test_layouts(layout: str, dtype: str) -> None:
    frames = 2 if "T" in layout else 1
    rows = np.random.default_rng(0).integers(0, 256, (5, frames, 3, 4, 3)).astype(np.uint8)  # N, T, H, W, C
    out = arranged([list(row) for row in rows], settings((3, 4), layout=layout, frames=frames), dtype)
    sizes = {"N": 5, "T": frames, "H": 3, "W": 4, "C": 3}
    assert out.shape == tuple(sizes[letter] for letter in layout) and out.flags.c_contiguous and out.dtype == np.dtype(dtype)
    place = {"N": 4, "T": frames - 1, "H": 1, "W": 3, "C": 2}
    assert out[tuple(place[letter] for letter in layout)] == rows[4, frames - 1, 1, 3, 2]
