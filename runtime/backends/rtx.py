"""What only TensorRT-RTX has: kernels compiled on the device and kept for the next start, and CUDA graphs that it captures by itself."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from wsra.runtime.errors import BackendError, OutputError
from wsra.runtime.files.writing import replacing

logger = logging.getLogger(__name__)

SUFFIX = ".kernels"


class KernelCache:
    """The kernels that TensorRT-RTX compiles for an engine on this GPU, kept beside the plan.

    TensorRT-RTX compiles kernels at run time; without this file it does so at every start. The library checks the content: one of another
    version, driver or GPU is not used. For TensorRT, which compiles at build time, nothing is kept.

    Args (constructor):
        trt: the module `tensorrt` or `tensorrt_rtx`.
        engine: an engine of it.
        plan: file from which the engine came.

    Raises:
        BackendError: the file with the kernels cannot be read.
        RuntimeError: the library gives no settings or no cache. It may raise errors of its own, too.

    Attributes:
        captures_graphs: whether the library captures CUDA graphs by itself.
    """

    def __init__(self, trt: Any, engine: Any, plan: Path) -> None:
        self._plan = plan
        self._runtime_config: Any = None
        self._cache: Any = None
        self._known = b""
        self.captures_graphs = False
        if not hasattr(trt, "IRuntimeCache"):
            return
        self._runtime_config = _given(engine.create_runtime_config(), "settings of an engine")
        if hasattr(trt, "CudaGraphStrategy"):
            self._runtime_config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            self.captures_graphs = True
        self._cache = _given(self._runtime_config.create_runtime_cache(), "cache of kernels")
        content = next((_content(path) for path in self._places() if path.is_file()), b"")
        if content and self._cache.deserialize(content):
            self._known = content
        self._runtime_config.set_runtime_cache(self._cache)

    def arguments(self) -> tuple[Any, ...]:
        """Arguments of the engine's `create_execution_context`."""
        return () if self._runtime_config is None else (self._runtime_config,)

    def save(self) -> None:
        """Write the kernels if some were added: beside the plan, or where that cannot be written, in the user's cache folder."""
        if self._cache is None:
            return
        content = bytes(self._cache.serialize())
        if content == self._known:
            return
        for path in self._places():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as part:
                    part.write_bytes(content)
            except (OSError, OutputError):
                continue
            self._known = content
            return
        logger.info(f"{self._plan}: its compiled kernels cannot be kept, so the next start compiles them again")

    def close(self) -> None:
        """Give up the objects of the library."""
        self._cache = self._runtime_config = None

    def _places(self) -> list[Path]:
        state = self._plan.stat()
        key = hashlib.sha256(f"{self._plan.resolve()} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:16]
        return [self._plan.with_suffix(SUFFIX), user_cache_path("wsra") / "kernels" / f"{key}{SUFFIX}"]


def _given(made: Any, what: str) -> Any:
    """What the library made; it returns None where it cannot."""
    if made is None:
        raise RuntimeError(f"it gives no {what}")
    return made


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise BackendError(f"{path}: cannot be read ({err.strerror}); delete it, and the kernels are compiled again") from err
