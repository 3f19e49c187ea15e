"""What the `motion` backbone knows of one fixed camera between two of its files, on disk beside the features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from wsra.runtime.backbones.background import Background
from wsra.runtime.errors import FeatureError
from wsra.runtime.files import replacing
from wsra.runtime.tensors import write_tensors

SUFFIX = ".camera"
_FORMAT = "wsra.camera"


@dataclass
class Camera:
    """The state at the end of a video; of a camera that was not seen yet, nothing.

    Attributes:
        background: its running estimate of the empty scene.
        thumbnail: (24, 32) float32 grey levels of the last frame, which tells whether the camera was moved since.
        last_s: time of the last frame in seconds; before the next video begins, that is less than 0.
    """

    background: Background | None = None
    thumbnail: NDArray[np.float32] | None = None
    last_s: float = 0.0

    def write(self, path: Path) -> None:
        """Write the state under a temporary name, then rename it.

        Raises:
            OutputError: the place cannot be written.
        """
        assert self.background is not None and self.thumbnail is not None
        arrays: dict[str, NDArray[Any]] = {
            **self.background.arrays(),
            "thumbnail": self.thumbnail,
            "last_s": np.array([self.last_s]),
        }
        with replacing(path, durable=True) as part:
            write_tensors(part, arrays, {"format": _FORMAT})


def read_camera(path: Path) -> Camera:
    """Read what `Camera.write` wrote.

    Raises:
        FeatureError: the file is missing, foreign or truncated.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("format") != _FORMAT:
                raise FeatureError(f"{path}: not a {_FORMAT} file; extract the video before again, with --continue")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as err:
        raise FeatureError(f"{path}: no readable state of a camera ({err}); extract the video before again, with --continue") from err
    return Camera(Background.from_arrays(arrays), arrays["thumbnail"], float(arrays["last_s"][0]))
