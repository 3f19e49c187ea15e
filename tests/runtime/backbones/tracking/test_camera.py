"""The state of a camera between two of its files: what is damaged or absurd is refused in one line, before it is taken into memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from stage import BLUE, COLUMNS, START_S, Actor, film, walk

pytest.importorskip("cv2")

from wsra.runtime.backbones.tracking.camera import Camera, read_camera
from wsra.runtime.backbones.tracking.motion import object_rows
from wsra.runtime.backbones.tracking.tracks import Track
from wsra.runtime.errors import FeatureError

pytestmark = pytest.mark.device

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def seen() -> Camera:
    """A camera before which two walk and one has just gone behind a pillar, at the end of a file."""
    actors = [
        Actor(walk(START_S, 20)),
        Actor(walk(START_S + 1, -25, left=COLUMNS, foot=220), upper=BLUE),
        Actor(walk(START_S, 50, foot=120)),
    ]
    camera = Camera()
    object_rows(film(actors, 27, pillars=[(190, 240)]), 1.0, camera)
    camera.next_file(27.0)
    return camera


@pytest.fixture
def state(seen: Camera, tmp_path: Path) -> Path:
    seen.write(tmp_path / "a.camera")
    return tmp_path / "a.camera"


def test_it_comes_back_as_it_was_written(state: Path, seen: Camera) -> None:
    camera = read_camera(state)
    assert camera.background is not None and camera.background.shape == (240, 320, 3) and camera.last_s == seen.last_s == -0.25
    assert len(camera.tracks) == len(seen.tracks) == 3
    for found, track in zip(camera.tracks, seen.tracks, strict=True):
        assert_equal(found, track)
    camera.write(state.with_name("again.camera"))
    assert state.with_name("again.camera").read_bytes() == state.read_bytes()


def assert_equal(found: object, wanted: object) -> None:
    """All that a track is made of, but for its number in this file."""
    if isinstance(wanted, Track):
        assert isinstance(found, Track)
        found.number = wanted.number
    if is_dataclass(wanted):
        for part in fields(wanted):
            assert_equal(getattr(found, part.name), getattr(wanted, part.name))
    elif isinstance(wanted, tuple | list | deque):
        assert isinstance(found, tuple | list | deque) and len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_equal(one, other)
    elif isinstance(wanted, np.ndarray):
        np.testing.assert_array_equal(found, wanted)  # type: ignore[arg-type]
    else:
        assert found == wanted


def test_a_camera_without_tracks_comes_back_too(seen: Camera, tmp_path: Path) -> None:
    Camera(seen.background, seen.thumbnail, -0.04).write(tmp_path / "a.camera")
    assert read_camera(tmp_path / "a.camera").tracks == []


def test_of_too_many_tracks_those_that_were_seen_most_are_kept(seen: Camera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsra.runtime.backbones.tracking.track_arrays.MOST_TRACKS", 2)
    seen.write(tmp_path / "a.camera")
    most = sorted(track.alone for track in seen.tracks)[1:]
    assert sorted(track.alone for track in read_camera(tmp_path / "a.camera").tracks) == most


ABSURD: dict[str, Callable[[Arrays], object]] = {
    "no scene": lambda arrays: arrays.pop("scene"),
    "one array more": lambda arrays: arrays.update(more=np.zeros(1)),
    "a scene of one axis": lambda arrays: arrays.update(scene=arrays["scene"].reshape(-1)),
    "a scene without pixels": lambda arrays: arrays.update({name: arrays[name][:0] for name in ("scene", "noise", "foreground")}),
    "a scene of float64": lambda arrays: arrays.update(scene=arrays["scene"].astype(np.float64)),
    "noise of another shape": lambda arrays: arrays.update(noise=arrays["noise"].T.copy()),
    "foreground that is no mask": lambda arrays: arrays.update(foreground=arrays["foreground"].astype(np.uint8)),
    "a thumbnail of another shape": lambda arrays: arrays.update(thumbnail=np.ones((3, 3), np.float32)),
    "no time": lambda arrays: arrays.update(last_s=np.zeros(0)),
    "a scene of NaN": lambda arrays: arrays["scene"].fill(np.nan),
    "a scene beyond belief": lambda arrays: arrays["scene"].fill(1e30),
    "noise below 0": lambda arrays: arrays["noise"].fill(-1),
    "noise beyond eight bits": lambda arrays: arrays["noise"].fill(1e3),
    "a black thumbnail": lambda arrays: arrays["thumbnail"].fill(0),
    "an endless time": lambda arrays: arrays["last_s"].fill(np.inf),
    "a time beyond belief": lambda arrays: arrays["last_s"].fill(-1e18),
    "an update long ago": lambda arrays: arrays["since_update_s"].fill(1e9),
    "no lives": lambda arrays: arrays.pop("track_whole_s"),
    "tracks of different numbers": lambda arrays: arrays.update(track_area=arrays["track_area"][:1].copy()),
    "tracks of float32": lambda arrays: arrays.update(track_area=arrays["track_area"].astype(np.float32)),
    "boxes of three sides": lambda arrays: arrays.update(track_box=arrays["track_box"][:, :3].copy()),
    "a place of NaN": lambda arrays: arrays["track_box"].fill(np.nan),
    "a speed beyond belief": lambda arrays: arrays["track_speed"].fill(1e9),
    "an area of nothing": lambda arrays: arrays["track_area"].fill(0),
    "half a flag": lambda arrays: arrays["track_flags"].fill(0.5),
    "lists longer than they are": lambda arrays: arrays["track_lengths"].fill(200),
    "no observation": lambda arrays: arrays["track_lengths"].fill(0),
    "never in view": lambda arrays: (
        arrays["track_flags"].__setitem__(np.s_[:, 5], 0),
        arrays["track_lengths"].__setitem__(np.s_[:, 1:3], 0),
    ),
    "a stride of three": lambda arrays: arrays["track_sampled"].fill(3),
    "sizes of nothing": lambda arrays: arrays["track_sizes"].fill(0),
    "a last area of nothing": lambda arrays: arrays["track_closing"].__setitem__(np.s_[..., 1], 0),
    "a height of nothing": lambda arrays: arrays["track_before_height"].fill(0),
    "a number of the file before that is none": lambda arrays: arrays["track_continues"].fill(-7),
}


@pytest.mark.parametrize("change", ABSURD.values(), ids=ABSURD)
def test_arrays_that_it_never_writes(change: Callable[[Arrays], object], state: Path) -> None:
    with safe_open(state, framework="numpy") as file:
        metadata, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(arrays)
    save_file(arrays, state, metadata)
    with pytest.raises(FeatureError, match=r"a\.camera: not a readable camera state .*with --continue") as caught:
        read_camera(state)
    assert "\n" not in str(caught.value)


def test_a_scene_that_no_memory_holds_is_not_read(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsra.runtime.backbones.tracking.camera._PIXELS", 240 * 320 - 1)
    with pytest.raises(FeatureError, match="it holds .*'scene': .'F32', .240, 320, 3"):
        read_camera(state)


def test_what_is_cut_or_foreign_or_raises_otherwise(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = state.read_bytes()
    state.write_bytes(content[: len(content) // 2])
    with pytest.raises(FeatureError, match="not a readable camera state"):
        read_camera(state)
    save_file({"x": np.zeros(1)}, state)
    with pytest.raises(FeatureError, match=r"not a wsra\.camera file"):
        read_camera(state)
    with pytest.raises(FeatureError, match="not a readable camera state"):
        read_camera(state.with_name("none.camera"))

    def fails(*args: object, **options: object) -> None:
        raise AttributeError("no keys")

    monkeypatch.setattr("wsra.runtime.backbones.tracking.camera.read_header", fails)
    with pytest.raises(FeatureError, match=r"a\.camera: cannot be used \(AttributeError: no keys\); extract the video before again"):
        read_camera(state)
