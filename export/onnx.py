"""Export PyTorch modules to ONNX opset 20 with dynamic axes, and check the result."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch

from wsra.export.graphs import Graph
from wsra.export.masks import without_needless_nodes
from wsra.export.simplify import scale_before_products
from wsra.runtime.backends.onnx_file import check_onnx
from wsra.runtime.errors import ExportError

OPSET = 20
IR_VERSION = 10  # read by ONNX Runtime from 1.20 and TensorRT from 10.3


def onnx_from_graph(graph: Graph, path: Path) -> None:
    """Export one graph in FP32.

    Args:
        graph: the graph to export.
        path: the ONNX file to write.

    Raises:
        ExportError: the exporter refuses the graph.
    """
    dynamic = tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in graph.inputs.values())
    noise = io.StringIO()
    try:
        with (
            torch.no_grad(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(noise),
            _quiet("torch.onnx", "onnxscript", "onnx_ir"),
        ):
            warnings.simplefilter("ignore")
            module: Any = graph.module
            if graph.strict:
                module = torch.export.export(module, graph.example, dynamic_shapes=dynamic, strict=True)
            program: Any = torch.onnx.export(
                module,
                graph.example,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=dynamic,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                external_data=False,
                verbose=False,
            )
        model: onnx.ModelProto = program.model_proto
    except Exception as err:  # torch's exporter raises many types of its own
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise ExportError(f"{graph.name}: torch {torch.__version__} cannot export it to ONNX opset {OPSET} ({reason})") from err
    model.ir_version = IR_VERSION
    _name_axes(model, graph)
    _strip(model)
    scale_before_products(model)
    without_needless_nodes(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(path))


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read an ONNX graph. It may come from a stranger's bundle, so it is checked first.

    Raises:
        ExportError: the file is not an ONNX graph, or keeps weights in other files.
    """
    check_onnx(path, error=ExportError)
    return onnx.load(str(path), load_external_data=False)


@contextlib.contextmanager
def _quiet(*names: str) -> Any:
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _name_axes(model: onnx.ModelProto, graph: Graph) -> None:
    """Name the dynamic axes of the inputs as in `graph`, and those of the outputs that depend on them alike."""
    renamed: dict[str, str] = {}
    for node in model.graph.input:
        for axis, name in graph.inputs[node.name].items():
            dim = node.type.tensor_type.shape.dim[axis]
            renamed[dim.dim_param] = name
            dim.dim_param = name
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in renamed:
                dim.dim_param = renamed[dim.dim_param]


def _strip(model: onnx.ModelProto) -> None:
    """Remove the exporter's metadata, which holds stack traces with paths of this machine."""
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    del model.graph.value_info[:]
    del model.functions[:]
