"""Every graph of every precision compiled by TensorRT-RTX, and what it says of the layers: INT8 and half are really there."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from schemas import check
from wsra.calib.peaks import Peaks
from wsra.calib.samples import choose_samples
from wsra.export.int8 import calibrate, write_int8, write_weights_alone
from wsra.export.tensorrt.build import build_bundle, profiles_of
from wsra.export.tensorrt.engine import compile_graph
from wsra.export.tensorrt.layers import of_first_profile, read_layers, summary
from wsra.runtime.backends.engines import SIDECAR, read_sidecar
from wsra.runtime.files.writing import sha256_of
from wsra.runtime.formats.bundle import GOLDEN, GRAPHS, Bundle, open_bundle
from wsra.runtime.verification.golden import read_golden

pytestmark = pytest.mark.trt
trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")


# Products in INT8: in two blocks those before the activation (GPT-2 has one for query, key and value), one in each small graph.
BLOCKS = 2
PRODUCTS = {"mean": {"text": 10, "keys": 1, "scorer": 2}, "all_blocks": {"text": 6, "keys": 1, "scorer": 2}}


@pytest.fixture(scope="module", params=["bundle_folder", pytest.param("gpt2_bundle_folder", marks=pytest.mark.full)])
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


@pytest.fixture(scope="module")
def int8(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first try at INT8, before a gate could leave a product in FP16."""
    golden = read_golden(bundle.folder / GOLDEN)
    ids = [[2, *range(5, 5 + length), 3] for length in range(2, 20)]
    calibrated = calibrate(bundle.folder / "fp32", choose_samples(golden.calibration_videos, ids, source="s"))
    folder = tmp_path_factory.mktemp("int8") / "int8"
    write_int8(calibrated, calibrated.left, folder)
    return folder


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_precision_of_the_graph_is_that_of_the_network(bundle: Bundle, int8: Path, graph: str) -> None:
    types, dtypes = layers(bundle.graph("fp32", graph))
    assert not dtypes["HALF"] and not dtypes["INT8"] and not types["QUANTIZE"]
    _, half_dtypes = layers(bundle.graph("fp16", graph))
    assert half_dtypes["HALF"] and half_dtypes["FLOAT"] and not half_dtypes["INT8"]
    int8_types, int8_dtypes = layers(int8 / f"{graph}.onnx")
    assert int8_dtypes["INT8"] and (int8_dtypes["HALF"] or graph == "keys")  # the only product of the keys gives FP32
    # One pair for each activation; weights are stored in INT8 and only scaled back.
    expected = PRODUCTS[bundle.manifest.text["pooling"]][graph]
    assert int8_types["QUANTIZE"] == expected and int8_types["DEQUANTIZE"] == 2 * expected
    assert int8_types["MATRIX_MULTIPLY"] == types["MATRIX_MULTIPLY"]


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_first_try_at_int8_compiles(bundle: Bundle, int8: Path, graph: str, tmp_path: Path) -> None:
    built = compile_graph(int8 / f"{graph}.onnx", tmp_path / "a.plan", profiles_of(bundle, graph), workspace_mb=512, timing_cache=None)
    assert built.bytes > 1000
    made = of_first_profile(read_layers((tmp_path / "a.log").read_text()))
    assert made and not [layer for layer in made if layer.overflows], summary(made)
    assert [layer for layer in made if "Int8" in layer.inputs], summary(made)  # INT8 really runs
    if graph == "text":
        assert sum(layer.attention for layer in made) == BLOCKS
    check("layers", json.loads((tmp_path / "a.layers.json").read_text()))


@pytest.mark.parametrize("graph", GRAPHS)
def test_weights_alone_in_int8_are_multiplied_in_half(bundle: Bundle, graph: str, tmp_path: Path) -> None:
    peaks = {name: Peaks({}, {}) for name in GRAPHS}
    write_weights_alone(bundle.folder / "fp32", tmp_path / "weights", peaks, bundle.manifest.scorer)
    source = tmp_path / "weights" / f"{graph}.onnx"
    types, dtypes = layers(source)
    assert not types["QUANTIZE"] and types["DEQUANTIZE"] == dtypes["INT8"]
    compile_graph(source, tmp_path / "a.plan", profiles_of(bundle, graph), workspace_mb=512, timing_cache=None)
    made = of_first_profile(read_layers((tmp_path / "a.log").read_text()))
    assert made and not [layer for layer in made if "Int8" in layer.inputs], summary(made)  # no activation is in INT8
    if graph == "text":
        assert sum(layer.attention for layer in made) == BLOCKS


def test_int8_with_scales_in_half_gives_unscaled_sums_in_half(int8: Path, bundle: Bundle, tmp_path: Path) -> None:
    """What `overflows` looks for is what the compiler does with a graph whose scales were converted to half."""
    golden = read_golden(bundle.folder / GOLDEN)
    ids = [[2, *range(5, 5 + length), 3] for length in range(2, 20)]
    calibrated = calibrate(bundle.folder / "fp32", choose_samples(golden.calibration_videos, ids, source="s"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsra.export.fp16._quantised", lambda _: [])
        write_int8(calibrated, calibrated.left, tmp_path / "old")
    profiles = profiles_of(bundle, "text")
    compile_graph(tmp_path / "old" / "text.onnx", tmp_path / "old.plan", profiles, workspace_mb=512, timing_cache=None)
    old = of_first_profile(read_layers((tmp_path / "old.log").read_text()))
    assert [layer for layer in old if layer.overflows], summary(old)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_sentences_of_1_16_and_the_most_tokens_compile(bundle: Bundle, int8: Path, precision: str, tmp_path: Path) -> None:
    longest = bundle.manifest.text["max_tokens"]
    sentences = ((1, 1), (1, 16), (8, longest))
    profile = {"input_ids": sentences, "attention_mask": sentences}
    graph = int8 / "text.onnx" if precision == "int8" else bundle.graph(precision, "text")
    built = compile_graph(graph, tmp_path / "text.plan", [profile], workspace_mb=512, timing_cache=None)
    assert built.bytes == (tmp_path / "text.plan").stat().st_size > 10_000 and built.profiles == [profile]


def test_profiles_come_from_the_data_and_end_at_the_limits(bundle: Bundle) -> None:
    text, keys, scorer = (profiles_of(bundle, graph) for graph in GRAPHS)
    assert text[0]["input_ids"][0] == (1, 1) and text[0]["input_ids"][2] == (8, bundle.manifest.text["max_tokens"])
    assert 3 < text[0]["input_ids"][1][1] < 20
    assert [[shape[0] for shape in profile["features"]] for profile in keys][1] == [256, 1024, 1024]
    assert len(keys) == len(scorer) == 2 and 12 <= keys[0]["features"][1][0] <= 24 and keys[0]["features"][2][0] == 256


def test_the_whole_bundle_compiles_with_both_window_profiles(bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.folder, tmp_path / "bundle"))
    folders = build_bundle(copy, None, workspace_mb=512)
    made = ["fp32", "fp16", "int8"] if bundle.manifest.text["pooling"] == "mean" else ["fp32", "fp16"]  # GPT-2 has no INT8
    assert [folder.name for folder in folders] == bundle.passed() == made
    for folder in folders:
        engine = read_sidecar(folder / SIDECAR)
        for graph in GRAPHS:
            built = engine.graphs[graph]
            assert built.onnx_sha256 == sha256_of(bundle.graph(folder.name, graph)) and built.profiles == profiles_of(bundle, graph)
            assert len(built.profiles) == (1 if graph == "text" else 2)
