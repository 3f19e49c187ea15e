"""Every graph of every precision compiled by TensorRT-RTX, and what it says of the layers: INT8 and half are really there."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from wsra.export.build import build_bundle, profiles_of
from wsra.export.engine import compile_graph
from wsra.runtime.bundle import GRAPHS, Bundle, open_bundle
from wsra.runtime.engines import read_engine
from wsra.runtime.files import sha256_of

pytestmark = pytest.mark.trt
trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")


@pytest.fixture(scope="module", params=["bundle_folder", "gpt2_bundle_folder"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return open_bundle(request.getfixturevalue(request.param))


def layers(path: Path) -> tuple[Counter[str], Counter[str]]:
    """Layers of the parsed network by type, and by the dtype of what they give."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(path))
    every: list[Any] = [network.get_layer(number) for number in range(network.num_layers)]
    types = Counter(layer.type.name for layer in every)
    dtypes = Counter(layer.get_output(number).dtype.name for layer in every for number in range(layer.num_outputs))
    del parser
    return types, dtypes


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_precision_of_the_graph_is_that_of_the_network(bundle: Bundle, graph: str) -> None:
    found = {precision: layers(bundle.graph(precision, graph)) for precision in ("fp32", "fp16", "int8")}
    (types, dtypes), (_, half_dtypes), (int8_types, int8_dtypes) = found.values()
    assert not dtypes["HALF"] and not dtypes["INT8"] and not types["QUANTIZE"]
    assert half_dtypes["HALF"] and not half_dtypes["INT8"] and half_dtypes["FLOAT"]
    assert int8_dtypes["HALF"]
    record = bundle.manifest.precisions["int8"]["quantization"]
    left = [one["product"] for one in record["left_in_fp16"] if one["graph"] == graph]
    if graph != "text" and left:  # its only product was left in FP16, as the manifest says
        assert not int8_dtypes["INT8"] and int8_types == found["fp16"][0]
        return
    # One pair for each activation; weights are stored in INT8 and only scaled back.
    assert int8_types["QUANTIZE"] >= 1 and int8_types["DEQUANTIZE"] == 2 * int8_types["QUANTIZE"] and int8_dtypes["INT8"]
    assert int8_types["MATRIX_MULTIPLY"] == types["MATRIX_MULTIPLY"]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_sentences_of_1_16_and_the_most_tokens_compile(bundle: Bundle, precision: str, tmp_path: Path) -> None:
    longest = bundle.manifest.text["max_tokens"]
    sentences = ((1, 1), (1, 16), (8, longest))
    profile = {"input_ids": sentences, "attention_mask": sentences}
    built = compile_graph(bundle.graph(precision, "text"), tmp_path / "text.plan", [profile], workspace_mb=512, timing_cache=None)
    assert built.bytes == (tmp_path / "text.plan").stat().st_size > 10_000 and built.profiles == [profile]


def test_profiles_come_from_the_data_and_end_at_the_limits(bundle: Bundle) -> None:
    text, keys, scorer = (profiles_of(bundle, graph) for graph in GRAPHS)
    assert text[0]["input_ids"][0] == (1, 1) and text[0]["input_ids"][2] == (8, bundle.manifest.text["max_tokens"])
    assert 3 < text[0]["input_ids"][1][1] < 20
    assert [[shape[0] for shape in profile["features"]] for profile in keys][1] == [256, 1024, 1024]
    assert len(keys) == len(scorer) == 2 and 12 <= keys[0]["features"][1][0] <= 24 and keys[0]["features"][2][0] == 256


def test_the_whole_bundle_compiles_with_both_window_profiles(bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.folder, tmp_path / "bundle"))
    folders = build_bundle(copy, None, workspace_mb=512, say=lambda _: None)
    assert [folder.name for folder in folders] == bundle.passed() == ["fp32", "fp16", "int8"]
    for folder in folders:
        engine = read_engine(folder)
        for graph in GRAPHS:
            built = engine.graphs[graph]
            assert built.onnx_sha256 == sha256_of(bundle.graph(folder.name, graph)) and built.profiles == profiles_of(bundle, graph)
            assert len(built.profiles) == (1 if graph == "text" else 2)
