"""Everything a device needs: features, video, bundles, grounding. Knows no torch and no onnx; libraries load when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from wsra.runtime import quiet as quiet  # first: before anything else is imported

if TYPE_CHECKING:
    from wsra.runtime.errors import WsraError
    from wsra.runtime.extraction.batch import extract_features
    from wsra.runtime.formats.features import Features, read_features, write_features
    from wsra.runtime.grounding.grounder import Grounder
    from wsra.runtime.spans.moments import Moment

__all__ = ["Features", "Grounder", "Moment", "WsraError", "extract_features", "read_features", "write_features"]
_MODULES = {
    "Features": "formats.features",
    "Grounder": "grounding.grounder",
    "Moment": "spans.moments",
    "WsraError": "errors",
    "extract_features": "extraction.batch",
    "read_features": "formats.features",
    "write_features": "formats.features",
}


def __getattr__(name: str) -> object:
    """Import what a name needs when it is asked for: not even NumPy before the command line heeds signals."""
    if name in __all__:
        return getattr(import_module(f"wsra.runtime.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'wsra.runtime' has no attribute {name!r}")
