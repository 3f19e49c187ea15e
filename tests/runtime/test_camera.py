"""The state of a camera between two of its files: what is damaged or absurd is refused in one line, before it is taken into memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

pytest.importorskip("cv2")

from wsra.runtime.backbones.background import Background
from wsra.runtime.backbones.camera import Camera, read_camera
from wsra.runtime.errors import FeatureError

pytestmark = pytest.mark.device

Arrays = dict[str, np.ndarray]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Of a camera that saw a scene in changing light."""
    images = [np.random.default_rng(number).integers(60 + 5 * number, 90 + 5 * number, (120, 160, 3), np.uint8) for number in range(21)]
    background = Background(images)
    background.subtract(images[3], elapsed_s=0.25)
    Camera(background, np.full((24, 32), 77, np.float32), -0.04).write(tmp_path / "a.camera")
    return tmp_path / "a.camera"


def test_it_comes_back_as_it_was_written(state: Path) -> None:
    camera = read_camera(state)
    assert camera.background is not None and camera.background.shape == (120, 160, 3) and camera.last_s == -0.04
    camera.write(state.with_name("again.camera"))
    assert state.with_name("again.camera").read_bytes() == state.read_bytes()


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
}


@pytest.mark.parametrize("change", ABSURD.values(), ids=ABSURD)
def test_arrays_that_it_never_writes(change: Callable[[Arrays], object], state: Path) -> None:
    with safe_open(state, framework="numpy") as file:
        metadata, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(arrays)
    save_file(arrays, state, metadata)
    with pytest.raises(FeatureError, match=r"a\.camera: no readable state of a camera .*with --continue") as caught:
        read_camera(state)
    assert "\n" not in str(caught.value)


def test_a_scene_that_no_memory_holds_is_not_read(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsra.runtime.backbones.camera._PIXELS", 120 * 160 - 1)
    with pytest.raises(FeatureError, match="it holds .*'scene': .'F32', .120, 160, 3"):
        read_camera(state)


def test_what_is_cut_or_foreign_or_raises_otherwise(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = state.read_bytes()
    state.write_bytes(content[: len(content) // 2])
    with pytest.raises(FeatureError, match="no readable state of a camera"):
        read_camera(state)
    save_file({"x": np.zeros(1)}, state)
    with pytest.raises(FeatureError, match=r"not a wsra\.camera file"):
        read_camera(state)
    with pytest.raises(FeatureError, match="no readable state of a camera"):
        read_camera(state.with_name("none.camera"))

    def fails(*args: object, **options: object) -> None:
        raise AttributeError("no keys")

    monkeypatch.setattr("wsra.runtime.backbones.camera.safe_open", fails)
    with pytest.raises(FeatureError, match=r"a\.camera: cannot be used \(AttributeError: no keys\); extract the video before again"):
        read_camera(state)
