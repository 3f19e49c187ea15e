"""Everything a device needs: features, video, bundles, grounding. Knows no torch and no onnx; heavy libraries load when they are used."""

from __future__ import annotations

from wsra.runtime import quiet as quiet  # first: before anything else is imported
from wsra.runtime.errors import WsraError
from wsra.runtime.features import Features, read_features, write_features
from wsra.runtime.moments import Moment

__all__ = ["Features", "Grounder", "Moment", "WsraError", "extract_features", "read_features", "write_features"]


def __getattr__(name: str) -> object:
    """Import what opens other libraries only when it is asked for."""
    if name == "Grounder":
        from wsra.runtime.ground import Grounder

        return Grounder
    if name == "extract_features":
        from wsra.runtime.extract import extract_features

        return extract_features
    raise AttributeError(f"module 'wsra.runtime' has no attribute {name!r}")
