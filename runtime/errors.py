"""The errors that wsra raises on purpose.

WsraError                      what a user can mend; one line at the command line, exit code 1
├── FeatureError               a .feat or foreign feature file that cannot be used
├── VideoError                 a video that cannot be opened or decoded
├── QueryError                 a sentence that cannot be encoded
├── BundleError                a bundle that is missing, damaged or does not fit
├── BackboneError              an encoder, or the JSON beside it, that cannot make features
├── BackendError               an inference library that is missing or refuses a graph
├── ConfigError                a run file or setting that is wrong
├── DataError                  captions or annotations that cannot be used
├── TrainingError              training cannot go on (batch too small, collapse)
├── ExportError                a graph that cannot be made or does not agree with its source
├── OutputError                a place that cannot or must not be written
├── ServerError                a request that a server did not answer: too many waited, it was late, or the server closed
├── ClusterError               a cluster that cannot be reached, or whose nodes differ
└── MissingExtraError          a library that an extra of wsra installs
"""

from __future__ import annotations

import re

_HEAD, _TAIL = 1200, 600  # characters of a message: a name or a sentence from a file may have millions


class WsraError(Exception):
    """What came, what was expected and what to do, in one line, from which the middle is left out where it is very long."""

    def __init__(self, message: str) -> None:
        if len(message) > _HEAD + _TAIL:
            message = f"{message[:_HEAD]} [...] {message[-_TAIL:]}"
        super().__init__(" ".join(message.split()))


class FeatureError(WsraError):
    """A feature file cannot be read, or its numbers cannot be used."""


class VideoError(WsraError):
    """A video cannot be opened or decoded."""


class QueryError(WsraError):
    """A sentence cannot be encoded."""


class BundleError(WsraError):
    """A bundle is missing, damaged or does not fit what it is used with."""


class BackboneError(WsraError):
    """An encoder, or the JSON beside it, cannot make features."""


class BackendError(WsraError):
    """An inference library is missing or refuses a graph."""


class ConfigError(WsraError):
    """A run file or a setting is wrong."""


class DataError(WsraError):
    """Captions or annotations cannot be used."""


class TrainingError(WsraError):
    """Training cannot go on."""


class ExportError(WsraError):
    """A graph cannot be made, or does not agree with its source."""


class OutputError(WsraError):
    """A place cannot or must not be written."""


class ServerError(WsraError):
    """A server did not answer a request: too many waited, its deadline passed, or the server was closed."""


class ClusterError(WsraError):
    """A cluster cannot be reached, or its nodes lack what the work needs."""


class MissingExtraError(WsraError):
    """A library is missing that an extra of wsra installs."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}, which is not installed: pip install 'wsra[{extra}]'")
        self._given = library, extra, purpose

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        """As it was raised, also from another process."""
        return type(self), self._given


# Which extra of wsra installs a library that a device may lack.
EXTRA_OF = {
    "onnxruntime": "cpu",
    "av": "video",
    "cv2": "video",
    "scipy": "video",
    "jinja2": "report",
    "textual_image": "show",
    "starlette": "view",
    "uvicorn": "view",
    "pandas": "pandas",
    "h5py": "convert",
    "numba": "fast",
    "ray": "ray",
    "torch": "train",
    "transformers": "train",
    "pydantic": "train",
    "matplotlib": "train",
    "tomli": "train",
    "tomli_w": "train",
    "onnx": "export",
    "onnxscript": "export",
}


def first_line(text: str, *, otherwise: str = "no reason given") -> str:
    """The first line of what a library said that is not empty, without colours; `otherwise` if there is none."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return next((line.strip() for line in plain.splitlines() if line.strip()), otherwise)
