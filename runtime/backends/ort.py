"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from wsra.runtime.backends.protocol import Arrays, TensorSpec, check_feeds
from wsra.runtime.errors import BackendError, MissingExtraError

_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(float16)": "float16"}


class OrtBackend:
    """A graph in ONNX Runtime.

    Args (constructor):
        path: the ONNX file.
        threads: threads within one operator; 0 lets ONNX Runtime decide.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        BackendError: it refuses the graph.
    """

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        try:
            import onnxruntime
        except ImportError as err:
            raise MissingExtraError("onnxruntime", "cpu", f"running {path.name}") from err
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as err:  # ONNX Runtime raises its own types, some of them bare Exception
            reason = str(err).splitlines()[0]
            raise BackendError(f"{path}: onnxruntime {onnxruntime.__version__} refuses the graph ({reason}); export it again") from err
        self._path = path
        self._inputs = {node.name: TensorSpec(_DTYPES[node.type], tuple(node.shape)) for node in self._session.get_inputs()}
        self._outputs = {node.name: TensorSpec(_DTYPES[node.type], tuple(node.shape)) for node in self._session.get_outputs()}

    @property
    def provider(self) -> str:
        """What really runs the graph."""
        return str(self._session.get_providers()[0])

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Named inputs."""
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Named outputs."""
        return self._outputs

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run the graph; see `Backend.infer`."""
        check_feeds(feeds, self._inputs, self._path.name)
        names = list(self._outputs)
        return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))

    def __enter__(self) -> OrtBackend:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None
