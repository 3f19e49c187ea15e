"""The inference libraries that may be installed: the providers of ONNX Runtime, and TensorRT, which is loaded to find out."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass

from packaging.version import Version

LIBRARIES = ("tensorrt", "tensorrt_rtx")
OLDEST_TENSORRT = Version("10.3")
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


@dataclass(frozen=True)
class Library:
    """An installed TensorRT.

    Attributes:
        name: "tensorrt" or "tensorrt_rtx".
        version: its version; "" if it does not load.
        failure: why it does not load; "" if it does.
    """

    name: str
    version: str
    failure: str

    @property
    def new_enough(self) -> bool:
        """Whether it loads, and engines can be built and run with it."""
        return bool(self.version) and (self.name != "tensorrt" or Version(self.version) >= OLDEST_TENSORRT)


def find_libraries() -> list[Library]:
    """Every installed TensorRT; each is loaded, to see whether it works."""
    found = []
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is None:
            continue
        try:
            found.append(Library(name, str(importlib.import_module(name).__version__), ""))
        except Exception as err:  # a missing libnvinfer raises ImportError, OSError, FileNotFoundError or RuntimeError
            found.append(Library(name, "", (str(err).splitlines() or [type(err).__name__])[0]))
    return found
