"""The state of the `motion` backbone for a fixed camera between two of its files, stored next to the features."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from wsra.runtime.backbones.tracking.background import UPDATE_S, Background
from wsra.runtime.backbones.tracking.track_arrays import FIRST, MOST_TRACKS, check, packed, shapes, unpacked
from wsra.runtime.backbones.tracking.tracks import Track
from wsra.runtime.errors import FeatureError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.headers import Header, read_header
from wsra.runtime.files.limits import MOST_S
from wsra.runtime.files.tensors import write_tensors
from wsra.runtime.files.writing import replacing

SUFFIX = ".camera"
_FORMAT = "wsra.camera"
_HINT = "extract the video before again, with --continue"
_THUMBNAIL = (24, 32)
_PIXELS = 1 << 22  # limit for a background; `motion` reads pictures of 240 rows
_LARGEST = {  # plausible range of each array
    "scene": (-1e5, 1e5),  # grey levels, brought to one light
    "noise": (0.0, 60.0),
    "foreground": (0.0, 1.0),
    "since_update_s": (0.0, 2 * UPDATE_S),
    "thumbnail": (1.0, 256.0),
    "last_s": (-MOST_S, MOST_S),
}


@dataclass
class Camera:
    """The state at the end of a video; empty for a new camera.

    Attributes:
        background: its running estimate of the empty scene.
        thumbnail: (24, 32) float32 grey levels of the last frame, which shows whether the camera was moved since.
        last_s: time of the last frame in seconds; for the next video it is negative.
        tracks: tracks that may continue in the next video.
    """

    background: Background | None = None
    thumbnail: NDArray[np.float32] | None = None
    last_s: float = 0.0
    tracks: list[Track] = field(default_factory=list)

    def next_file(self, duration_s: float) -> None:
        """Shift times to the start of the next file, after one of this length in seconds."""
        self.last_s -= duration_s
        for track in self.tracks:
            track.shift(duration_s)

    def write(self, path: Path) -> None:
        """Write the state to a temporary file, then rename it.

        Raises:
            OutputError: the file cannot be written.
        """
        assert self.background is not None and self.thumbnail is not None
        arrays: dict[str, NDArray[Any]] = {
            **self.background.arrays(),
            "thumbnail": self.thumbnail,
            "last_s": np.array([self.last_s]),
            **packed(self.tracks),
        }
        with replacing(path, durable=True) as part:
            write_tensors(part, arrays, {"format": _FORMAT})


def read_camera(path: Path) -> Camera:
    """Read a state that `Camera.write` wrote.

    Raises:
        FeatureError: the file is missing, foreign, truncated, or contains arrays that `Camera.write` never writes.
    """
    with one_file(path, FeatureError, hint=f"{_HINT}."):
        try:
            header = read_header(path)
            if header.metadata.get("format") != _FORMAT:
                raise FeatureError(f"{path}: not a {_FORMAT} file; {_HINT}")
            _check_shapes(header)
            arrays = load_file(path)
            _check_values(arrays)
            check(arrays)
        except (SafetensorError, OSError, ValueError) as err:
            raise FeatureError(f"{path}: not a readable camera state ({err}); {_HINT}") from err
    return Camera(Background.from_arrays(arrays), arrays["thumbnail"], float(arrays["last_s"][0]), unpacked(arrays))


def _check_shapes(header: Header) -> None:
    """Raises ValueError if an array is missing, or has another dtype or shape, before any is read."""
    found = {name: (entry.dtype, entry.shape) for name, entry in header.entries.items()}
    height, width = found["scene"][1][:2] if "scene" in found and len(found["scene"][1]) == 3 else (0, 0)
    expected = {
        "scene": ("F32", (height, width, 3)),
        "noise": ("F32", (height, width)),
        "foreground": ("BOOL", (height, width)),
        "since_update_s": ("F64", (1,)),
        "thumbnail": ("F32", _THUMBNAIL),
        "last_s": ("F64", (1,)),
        **{name: ("F64", shape) for name, shape in shapes(_count(found)).items()},
    }
    if not 0 < height * width <= _PIXELS or found != expected:
        raise ValueError(f"it holds {found}")


def _count(found: dict[str, tuple[str, tuple[int, ...]]]) -> int:
    """Number of tracks, according to the first array; the others must agree."""
    shape = found.get(FIRST, ("", ()))[1]
    return min(shape[0], MOST_TRACKS) if shape else 0


def _check_values(arrays: dict[str, NDArray[Any]]) -> None:
    """Raises ValueError if a value is NaN, infinite or out of range."""
    for name, (least, most) in _LARGEST.items():
        if not ((arrays[name] >= least) & (arrays[name] <= most)).all():
            raise ValueError(f"{name} holds a value that is not between {least:g} and {most:g}")
