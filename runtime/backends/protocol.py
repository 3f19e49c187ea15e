"""The protocol of every backend, and the check of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import BackendError

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """Dtype and shape of a named tensor; an axis with a name may have any length."""

    dtype: str
    shape: tuple[int | str, ...]


class Backend(Protocol):
    """One graph, loaded. A context manager."""

    @property
    def provider(self) -> str:
        """The provider or library that runs the graph."""

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or the name of the GPU."""

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Named inputs."""

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Named outputs."""

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run the graph.

        Args:
            feeds: input -> array, for exactly the inputs of the graph.

        Returns:
            Output -> array.
        """

    def __enter__(self) -> Backend: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def check_feeds(feeds: Mapping[str, NDArray[Any]], inputs: Mapping[str, TensorSpec], graph: str) -> None:
    """Check that feeds fit the inputs of a graph.

    Raises:
        BackendError: names, dtypes or shapes differ; the message names the tensor.
    """
    if feeds.keys() != inputs.keys():
        raise BackendError(f"{graph}: fed with {sorted(feeds)}; expected {sorted(inputs)}")
    for name, spec in inputs.items():
        array = feeds[name]
        fits = len(array.shape) == len(spec.shape) and all(
            isinstance(want, str) or have == want for have, want in zip(array.shape, spec.shape, strict=True)
        )
        if not fits or array.dtype != np.dtype(spec.dtype):
            raise BackendError(f"{graph}: {name} is {array.dtype} {array.shape}; expected {spec.dtype} {spec.shape}")
