"""Ranges of activations, measured with onnxruntime's calibrators on real inputs."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import CalibrationDataReader, CalibrationMethod, TensorsData, create_calibrator

from wsra.runtime.errors import DataError

Feeds = Mapping[str, NDArray[Any]]
Method = Literal["minmax", "percentile"]
PRODUCTS = ("MatMul", "Gemm", "Conv")
PERCENTILE = 99.999  # 99.9 clips values that matter (cosine 0.898 on MiniLM)


class _OneBatch(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Feeds) -> None:
        self._left: Iterator[Feeds] = iter([feeds])

    def get_next(self) -> Feeds | None:
        return next(self._left, None)


def ranges_of(model: onnx.ModelProto, batches: Sequence[Feeds], method: Method = "minmax") -> TensorsData:
    """Measure the symmetric range of every input and output of a product.

    Args:
        model: in FP32.
        batches: feeds by input name; the calibrator gets them one by one, since their lengths may differ.
        method: "minmax", the largest magnitude seen, or "percentile", the magnitude below which 99.999 % of the numbers lie.

    Returns:
        onnxruntime's TensorsData: tensor -> (lowest, highest).

    Raises:
        DataError: there are no batches, or a range is not finite.
    """
    if not batches:
        raise DataError("no calibration data: INT8 ranges need real inputs; give captions and features")
    kind = CalibrationMethod.MinMax if method == "minmax" else CalibrationMethod.Percentile
    inferred = onnx.shape_inference.infer_shapes(model)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        source = Path(folder) / "model.onnx"
        onnx.save_model(inferred, str(source))
        calibrator = create_calibrator(
            source,
            PRODUCTS,
            str(Path(folder) / "augmented.onnx"),
            kind,
            extra_options={"symmetric": True, "percentile": PERCENTILE},
        )
        for feeds in batches:
            calibrator.collect_data(_OneBatch(feeds))
        ranges: TensorsData = calibrator.compute_data()
    for name, data in ranges.items():
        if not np.isfinite(np.asarray(data.range_value, np.float64)).all():
            raise DataError(
                f"the calibration data give {name} the range {data.range_value}, which is not finite; look for NaN or huge"
                " numbers in the data"
            )
    return ranges


def channel_maxima(model: onnx.ModelProto, batches: Sequence[Feeds], tensors: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Largest magnitude per channel (the last axis) of tensors inside a graph.

    Args:
        model: in FP32.
        batches: feeds by input name.
        tensors: names of tensors in the graph.

    Returns:
        tensor -> (channels,).
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    inputs = {value.name for value in model.graph.input}
    inner = [name for name in dict.fromkeys(tensors) if name not in inputs]
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in inner)
    session = plain_session(probe)
    maxima: dict[str, NDArray[np.float64]] = {}
    for feeds in batches:
        found = dict(zip(inner, session.run(inner, dict(feeds)), strict=True)) if inner else {}
        for name in dict.fromkeys(tensors):
            values = np.abs(np.asarray(found[name] if name in found else feeds[name], np.float64))
            peak = values.reshape(-1, values.shape[-1]).max(axis=0)
            maxima[name] = np.maximum(maxima[name], peak) if name in maxima else peak
    return maxima


def plain_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session that runs the graph as written, without onnxruntime's fusions, whose INT8 arithmetic differs."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
