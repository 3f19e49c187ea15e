"""The inference libraries that may be installed: the providers of ONNX Runtime, and TensorRT, which is loaded to find out."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from packaging.version import Version

from wsra.runtime.errors import BackendError, MissingExtraError

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


def find_library(*, gpu: bool = True) -> Any:
    """The TensorRT to use: tensorrt if it is installed and new enough, else TensorRT-RTX.

    Args:
        gpu: whether there is a GPU; without one only TensorRT-RTX works.

    Returns:
        The module.

    Raises:
        MissingExtraError: neither is installed.
        BackendError: the installed one does not load, is too old, or needs a GPU.
    """
    reasons = []
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is None:
            continue
        if not gpu and name == "tensorrt":
            reasons.append("tensorrt needs a GPU, and none starts here; pip install 'wsra[rtx]' builds without one")
            continue
        try:
            library = importlib.import_module(name)
        except Exception as err:  # a missing libnvinfer raises ImportError, OSError, FileNotFoundError or RuntimeError
            reasons.append(f"{name} does not load: {err}; see wsra doctor")
            continue
        if Library(name, str(library.__version__), "").new_enough:
            return library
        reasons.append(f"{name} is {library.__version__}, engines need 10.3 or newer; see wsra doctor")
    if reasons:
        raise BackendError(reasons[0])
    raise MissingExtraError("tensorrt (of JetPack, or extra trt) or tensorrt_rtx (extra rtx)", "trt", "an engine")
