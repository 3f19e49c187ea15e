"""Preparation inside exported graphs: equal to that outside, bit by bit, in FP32 in every precision, on bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from wsra.calib.peaks import preparation_of
from wsra.export.fp16 import to_fp16
from wsra.export.graphs import ByteInput, Graph, example_bytes
from wsra.export.onnx import onnx_from_graph
from wsra.runtime.backbones.common.pixels import arranged
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings
from wsra.runtime.backends.ort import OrtBackend

SCALE, MEAN, STD = 1 / 255, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIZE = (12, 10)


class Layer(nn.Module):
    """The prepared pixels, and a convolution over them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return pixels, self.layer(pixels)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "image.onnx"
    outputs: dict[str, tuple[str | int, ...]] = {"prepared": ("n", 3, *SIZE), "y": ("n", 4, SIZE[0] - 2, SIZE[1] - 2)}
    module = ByteInput(Layer(), SCALE, MEAN, STD).eval()
    onnx_from_graph(Graph("image", module, (example_bytes(SIZE),), {"pixels": {0: "n"}}, outputs), path)
    return path


def settings() -> EncoderSettings:
    names = {"name": "t", "graph": "t.onnx", "sha256": "0" * 64, "input": "x", "output": "y", "resize": "stretch", "normalise": "none"}
    return EncoderSettings(**names, layout="NCHW", size=SIZE, colour="RGB", scale=SCALE, mean=MEAN, std=STD, width=1)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_numbers_inside_a_graph_are_those_outside(path: Path, tmp_path: Path, precision: str) -> None:
    model = onnx.load(str(path))
    if precision == "fp16":
        model = to_fp16(model, name="image", wide=list(preparation_of(model)))
        assert any(one.data_type == TensorProto.FLOAT16 for one in model.graph.initializer)  # the layer is in half
    onnx.save_model(model, str(tmp_path / "image.onnx"))
    backend = OrtBackend(tmp_path / "image.onnx", threads=1)
    assert backend.inputs["pixels"].dtype == "uint8" and backend.inputs["pixels"].shape[1:] == (*SIZE, 3)
    images = np.arange(3 * SIZE[0] * SIZE[1] * 3).astype(np.uint8).reshape(3, *SIZE, 3)  # every value from 0 to 255
    outside = arranged([[image] for image in images], settings(), "float32")
    np.testing.assert_array_equal(backend.infer({"pixels": images})["prepared"], outside)


def test_the_nodes_that_prepare_are_those_before_the_first_layer(path: Path) -> None:
    model = onnx.load(str(path))
    kinds = {node.name: node.op_type for node in model.graph.node}
    assert [kinds[name] for name in preparation_of(model)] == ["Cast", "Transpose", "Gather", "Mul", "Sub", "Div"]
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    assert list(preparation_of(model)) == []


@pytest.mark.trt
def test_tensorrt_compiles_a_graph_of_bytes(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")
    from wsra.export.tensorrt.build import build_onnx

    shapes = tuple((rows, *SIZE, 3) for rows in (1, 4, 4))
    build_onnx(path, tmp_path / "image.plan", [{"pixels": shapes}])  # type: ignore[dict-item]
    assert (tmp_path / "image.plan").stat().st_size > 1000
