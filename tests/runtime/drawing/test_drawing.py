"""The curve as SVG against the numbers it is drawn of; boxes between the times at which they are known; crops within pictures."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from handed import box_at, features_of, write_film, write_pair  # noqa: E402
from wsra.runtime.drawing.boxes import ObjectPath, crop, fitted, jpeg, path_of, with_box  # noqa: E402
from wsra.runtime.drawing.curve_svg import HEIGHT, WIDTH, clock, curve_svg  # noqa: E402
from wsra.runtime.drawing.sources import find_video  # noqa: E402
from wsra.runtime.formats.features import read_features, write_features  # noqa: E402

pytestmark = pytest.mark.device
SVG = "{http://www.w3.org/2000/svg}"


def drawn(curve: np.ndarray, *, marked: tuple[tuple[float, float], ...] = ()) -> ElementTree.Element:
    starts = np.arange(float(len(curve)))
    times_s = np.stack([starts, starts + 1], axis=1)
    text = curve_svg(curve, times_s, float(max(1, len(curve))), marked=marked, name="c", title="<a> & “b”")
    return ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_the_curve_is_as_high_as_its_numbers_and_moments_are_marked() -> None:
    curve = np.array([0.0, 1.0, -5.0, 4.0, 2.0])
    svg = drawn(curve, marked=((3.0, 5.0), (1.0, 2.0)))
    path = svg.find(f"{SVG}path")
    assert path is not None
    tops = [float(top) for top in re.findall(r"V([\d.]+)H", path.attrib["d"])]
    base = float(re.search(r"M0,([\d.]+)", path.attrib["d"])[1])  # type: ignore[index]
    heights = base - np.array(tops)
    np.testing.assert_allclose(heights / heights.max(), [0, 0.25, 0, 1, 0.5], atol=0.01)
    bands = [(float(band.attrib["x"]) / WIDTH * 5, float(band.attrib["width"]) / WIDTH * 5) for band in svg.findall(f"{SVG}rect")]
    np.testing.assert_allclose(bands, [(3, 2), (1, 1)], atol=0.01)
    assert svg.findtext(f"{SVG}title") == "<a> & “b”"
    assert "highest at 0:00:04" in (svg.findtext(f"{SVG}desc") or "") and "1: 0:00:03 to 0:00:05" in (svg.findtext(f"{SVG}desc") or "")


@given(st.integers(0, 3000), st.integers(0, 99))
def test_any_curve_stays_in_its_frame(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start_s = float(rng.uniform(0, max(1, count)))
    svg = drawn(rng.normal(size=count), marked=((start_s, start_s + 3.0),))
    for band in svg.findall(f"{SVG}rect"):
        assert float(band.attrib["x"]) >= 0 and float(band.attrib["x"]) + float(band.attrib["width"]) <= WIDTH + 0.1
    for text in svg.findall(f"{SVG}text"):
        assert 0 <= float(text.attrib["x"]) <= WIDTH and 0 < float(text.attrib["y"]) <= HEIGHT
    assert len(ElementTree.tostring(svg)) < 20_000


def test_a_clock() -> None:
    assert [clock(seconds) for seconds in (0, 59.6, 3661, 360_000)] == ["0:00:00", "0:01:00", "1:01:01", "100:00:00"]


def test_the_path_of_an_object(tmp_path: Path) -> None:
    features = features_of(write_film(tmp_path / "film.mp4"))
    path = path_of(features, 0)
    assert path is not None and path_of(features, 1) is None and path_of(features, -1) is None
    for time_s in (2.6, 10.0, 15.0, 21.37, 27.4):
        assert path.box(time_s) == pytest.approx(box_at(time_s), abs=0.01)
    assert path.box(15.0) == pytest.approx(box_at(15.0), abs=1e-6)  # its view, which is of this very frame
    assert path.box(0.4) is None and path.box(29.6) is None
    hidden = ObjectPath(np.array([0.0, 10.0]), np.array([box_at(0.0), box_at(10.0)]))
    assert hidden.box(5.0) is None and hidden.box(9.0) is not None


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(8, 60), st.integers(8, 60))
def test_a_crop_of_any_box_is_a_picture(corners: list[float], height: int, width: int) -> None:
    left, right = sorted(corners[:2])
    top, bottom = sorted(corners[2:])
    picture = np.zeros((height, width, 3), np.uint8)
    taken = crop(picture, (left, top, right, bottom))
    assert 8 <= taken.shape[0] <= height and 8 <= taken.shape[1] <= width
    assert cv2.imdecode(np.frombuffer(jpeg(taken), np.uint8), cv2.IMREAD_COLOR).shape == taken.shape


def test_drawing_leaves_the_picture_itself_alone() -> None:
    picture = np.full((120, 200, 3), 90, np.uint8)
    boxed = with_box(picture, (0.25, 0.25, 0.75, 0.75))
    assert (picture == 90).all() and (boxed != 90).any() and (boxed[50:70, 80:120] == 90).all()
    assert fitted(picture, 100, 100).shape == (60, 100, 3) and fitted(picture, 400, 400) is picture


def test_the_video_beside_its_features(tmp_path: Path) -> None:
    video, feat = write_pair(tmp_path)
    assert find_video(read_features(feat)) == video
    video.rename(tmp_path / "other.mp4")
    assert find_video(read_features(feat)) is None
    write_features(tmp_path / "other.feat", read_features(feat))
    assert find_video(read_features(tmp_path / "other.feat")) == tmp_path / "other.mp4"  # by the name of the .feat file
    (tmp_path / "other.mp4").write_bytes(b"another")
    assert find_video(read_features(tmp_path / "other.feat")) is None
