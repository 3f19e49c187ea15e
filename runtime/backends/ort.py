"""ONNX Runtime on the CPU or, through one of its providers, on a GPU. A provider that does not start is an error."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from numpy.typing import NDArray

from wsra.runtime.backends.libraries import PROVIDERS
from wsra.runtime.backends.onnx_file import check_onnx
from wsra.runtime.backends.protocol import Arrays, TensorSpec, check_feeds
from wsra.runtime.backends.providers import provider_options
from wsra.runtime.device import find_gpu
from wsra.runtime.errors import BackendError, MissingExtraError, first_line

logger = logging.getLogger(__name__)

_DTYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(bool)": "bool",
    "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(int8)": "int8", "tensor(uint8)": "uint8",
}  # fmt: skip
# One Identity from x to y, both float32 (1,), opset 20, IR 9: onnx.helper.make_model(...).SerializeToString().
_TINY = (
    b'\x08\t:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x14"
)
MOST_THREADS = 1024  # ONNX Runtime itself has no limit


class OrtBackend:
    """A graph in ONNX Runtime.

    Args (constructor):
        path: the ONNX file; it must be self-contained.
        provider: "cpu", "cuda" or "tensorrt".
        threads: threads within one operator on the CPU, up to 1,024; 0 lets ONNX Runtime decide.
        allow_fallback: run on the CPU if the provider does not start; `provider` and `device` say what was chosen.
        optimise: False runs the graph node by node, without fusing nodes.
        gpu: number of the GPU, from 0.
        options: further options of the provider; see `providers.tensorrt_options`.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        BackendError: the graph is refused, the provider does not start, or `threads` is out of range.
    """

    def __init__(
        self,
        path: Path,
        *,
        provider: str = "cpu",
        threads: int = 0,
        allow_fallback: bool = False,
        optimise: bool = True,
        gpu: int = 0,
        options: Mapping[str, str] | None = None,
    ) -> None:
        try:
            import onnxruntime
        except ImportError as err:
            raise MissingExtraError("onnxruntime", "cpu" if provider == "cpu" else "gpu", f"running {path.name}") from err
        if not 0 <= threads <= MOST_THREADS:
            raise BackendError(f"{threads} threads for {path.name}; expected 0 to {MOST_THREADS}: 0 lets ONNX Runtime decide")
        check_onnx(path, error=BackendError)
        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = threads
        # Idle threads sleep: three graphs take turns in a query, and the spinning threads of two slow down the third
        # (docs/measurements/grounding.md).
        session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # INT8 products are computed as the graph says. ONNX Runtime's own integer kernels differ between CPUs, and on those without VNNI
        # their sums saturate (docs/measurements/int8.md).
        session_options.add_session_config_entry("session.disable_quant_qdq", "1")
        session_options.log_severity_level = 3
        if not optimise:
            session_options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session, reason = _start(str(path), session_options, provider, gpu, options or {})
        if session is None and provider != "cpu":
            failure = start_failure(provider, gpu=gpu)
            if allow_fallback:
                session, reason = _start(str(path), session_options, "cpu")
            elif failure is not None:
                raise BackendError(
                    f"{path.name}: the provider {provider} does not start ({failure}); pip install 'wsra[gpu]' and see wsra doctor,"
                    " or accept the CPU with --allow-fallback"
                )
        if session is None:
            version = onnxruntime.__version__
            raise BackendError(f"{path}: onnxruntime {version} refuses the graph on {provider} ({reason}); export it again")
        self._session: Any = session
        found = None if self.provider == PROVIDERS["cpu"] else find_gpu(index=gpu)
        self._device = found.name if found else "cpu"
        self._path = path
        self._inputs = {node.name: _spec(node, path) for node in session.get_inputs()}
        self._outputs = {node.name: _spec(node, path) for node in session.get_outputs()}

    @property
    def provider(self) -> str:
        """The provider that runs the graph."""
        return str(self._session.get_providers()[0])

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or the name of the GPU."""
        return self._device

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Named inputs."""
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Named outputs."""
        return self._outputs

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run the graph; see `Backend.infer`.

        Raises:
            BackendError: the feeds do not fit, or ONNX Runtime fails on them.
        """
        check_feeds(feeds, self._inputs, self._path.name)
        names = list(self._outputs)
        try:
            return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))
        except Exception as err:  # ONNX Runtime raises its own types, some of them bare Exception
            shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
            reason = first_line(str(err), otherwise=type(err).__name__)
            raise BackendError(f"{self._path}: {self.provider} fails on {shapes} ({reason}); run wsra verify") from err

    def __enter__(self) -> OrtBackend:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


def start_failure(provider: str, *, gpu: int = 0) -> str | None:
    """Try to start a provider, on a graph of one node.

    Args:
        provider: "cpu", "cuda" or "tensorrt".
        gpu: number of the GPU, from 0.

    Returns:
        Why it does not start, in one line; None if it does.
    """
    try:
        import onnxruntime
    except ImportError as err:
        return f"onnxruntime does not load: {first_line(str(err))}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session, reason = _start(_TINY, options, provider, gpu)
    return reason if session is None else None


def _start(
    model: str | bytes, options: Any, provider: str, gpu: int = 0, more: Mapping[str, str] = MappingProxyType({})
) -> tuple[Any, str]:
    """A session on exactly this provider, or None and the reason."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)  # 1.31 warns of every session on CUDA that no plug-in was registered for it
    requested = PROVIDERS[provider]
    if requested not in onnxruntime.get_available_providers():
        return None, f"onnxruntime {onnxruntime.__version__} is built without {requested}"
    # session.disable_cpu_ep_fallback does not help: it refuses every graph with a node on the CPU, where ONNX Runtime deliberately runs
    # nodes that compute shapes. Whether the provider started shows in the first of the session's providers.
    kinds = [provider, "cuda"] if provider == "tensorrt" else [provider]
    names, settings = [PROVIDERS[kind] for kind in kinds], [provider_options(kind, gpu=gpu) for kind in kinds]
    settings[0] |= more
    session, refusal = None, ""
    capture: AbstractContextManager[list[str]] = nullcontext([]) if provider == "cpu" else _captured_stderr()
    with capture as lines:
        try:
            if provider != "cpu" and hasattr(onnxruntime, "preload_dlls"):  # since 1.21: CUDA and cuDNN that came from PyPI
                onnxruntime.preload_dlls()
            session = onnxruntime.InferenceSession(model, options, providers=names, provider_options=settings, enable_fallback=0)
        except Exception as err:  # ONNX Runtime raises its own types, some of them bare Exception
            refusal = str(err)
    output = "\n".join(lines)
    if session is not None and session.get_providers()[0] == requested:
        for line in lines:
            logger.info(line)
        return session, ""
    missing = re.findall(r"with error: (.+)", output)
    return None, first_line(missing[-1] if missing else refusal or output or "no reason given")


@contextmanager
def _captured_stderr() -> Iterator[list[str]]:
    """Capture lines that native code prints on stderr: only there ONNX Runtime says why a provider does not start."""
    lines: list[str] = []
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as file, redirect_stdout(io.StringIO()):
            os.dup2(file.fileno(), 2)
            try:
                yield lines
            finally:
                os.dup2(kept, 2)
                file.seek(0)
                lines += file.read().decode(errors="replace").splitlines()
    finally:
        os.close(kept)


def _spec(node: Any, path: Path) -> TensorSpec:
    if node.type not in _DTYPES:
        raise BackendError(f"{path}: {node.name} is {node.type}; expected one of {', '.join(_DTYPES)}: export the graph with such tensors")
    return TensorSpec(_DTYPES[node.type], tuple(f"dim{axis}" if size is None else size for axis, size in enumerate(node.shape)))
