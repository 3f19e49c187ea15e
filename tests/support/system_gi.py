"""PyGObject of the system for the Python of the tests: a virtual environment does not see it, and pip has no GStreamer."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from wsra.runtime.video.pipeline import UnfitError, choose_elements

_PLACE = Path("/usr/lib/python3/dist-packages/gi")


def gstreamer_folder(folder: Path) -> Path:
    """A folder with `gi` alone, for the module path; skips, with the reason, where GStreamer cannot be used by this Python."""
    if not (folder / "gi").exists() and _PLACE.is_dir():
        (folder / "gi").symlink_to(_PLACE)
    sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        choose_elements("h264")
    except UnfitError as err:
        pytest.skip(f"GStreamer {err}")
    finally:
        sys.path.remove(str(folder))
    return folder
