"""Single graphs compiled for real by TensorRT-RTX, which needs no GPU to build."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from graphs import one_node, product, save
from wsra.export.tensorrt.engine import _check_profiles, _fits, _parse, _read_times, _remedy, _write_times, compile_graph
from wsra.runtime.backends.engines import Profile
from wsra.runtime.backends.trt_log import error_log
from wsra.runtime.errors import ExportError
from wsra.runtime.files.writing import sha256_of

pytestmark = pytest.mark.trt
trt: Any = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")

SHORT: Profile = {"x": ((1, 4), (2, 4), (8, 4))}
LONG: Profile = {"x": ((8, 4), (16, 4), (64, 4))}


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the full TensorRT would be taken where both are installed."""
    monkeypatch.setattr("wsra.export.tensorrt.engine.find_gpu", lambda: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")


def compiled(source: Path, profiles: list[Profile], **more: Any) -> Any:
    return compile_graph(source, source.with_suffix(".plan"), profiles, **{"workspace_mb": 64, "timing_cache": None, **more})


def test_several_profiles_and_the_plan_is_what_the_library_gave(tmp_path: Path) -> None:
    source = product(tmp_path / "a.onnx")
    built = compiled(source, [SHORT, LONG])
    content = (tmp_path / "a.plan").read_bytes()
    assert built.bytes == len(content) and built.plan_sha256 == sha256_of(tmp_path / "a.plan")
    assert built.onnx_sha256 == sha256_of(source) and built.profiles == [SHORT, LONG]
    assert b"trt" in content[:8]  # TensorRT's own mark comes first, nothing of ours
    assert built.bytes > compiled(source, [SHORT]).bytes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.layers.json", "a.log", "a.onnx", "a.plan"]


def test_each_dtype_of_the_bundle_compiles(tmp_path: Path) -> None:
    """INT8 as Q/DQ nodes, half precision, int64 and bool inputs."""
    node = helper.make_node
    nodes = [
        node("Cast", ["ids"], ["half_ids"], to=TensorProto.FLOAT16, name="to_half"),
        node("Where", ["mask", "x", "half_ids"], ["picked"], name="pick"),
        node("QuantizeLinear", ["picked", "scale", "zero"], ["q"], name="quantise"),
        node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="restore"),
        node("MatMul", ["d", "w"], ["z"], name="mm"),
        node("Cast", ["z"], ["y"], to=TensorProto.FLOAT, name="to_float"),
    ]
    inputs = {"x": (TensorProto.FLOAT16, ["n", 4]), "ids": (TensorProto.INT64, ["n", 4]), "mask": (TensorProto.BOOL, ["n", 4])}
    constants: dict[str, Any] = {"scale": np.float16(0.1), "zero": np.int8(0), "w": np.ones((4, 3), np.float16)}
    source = save(tmp_path / "a.onnx", nodes, inputs, {"y": ["n", 3]}, {name: np.array(value) for name, value in constants.items()})
    assert compiled(source, [dict.fromkeys(("x", "ids", "mask"), SHORT["x"])]).bytes > 1000


def test_progress_is_told(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    compiled(product(tmp_path / "a.onnx"), [SHORT], progress=lambda *step: steps.append(step))
    assert len({phase for phase, _, _ in steps}) > 1
    assert all(0 <= done <= total for _, done, total in steps)


def test_a_timing_cache_is_nothing_to_rtx(tmp_path: Path) -> None:
    compiled(product(tmp_path / "a.onnx"), [SHORT], timing_cache=tmp_path / "timing.cache")
    assert not (tmp_path / "timing.cache").exists()


class TimedConfig:
    """A builder's settings as full TensorRT has them; a cache that starts with "old" is of another GPU."""

    def __init__(self) -> None:
        self.kept: Any = None

    def create_timing_cache(self, content: bytes) -> Any:
        return None if content == b"garbage" else SimpleNamespace(content=content, serialize=lambda: content + b" and more")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.content.startswith(b"old"):
            return False
        self.kept = cache
        return True

    def get_timing_cache(self) -> Any:
        return self.kept


@pytest.mark.parametrize(
    ("before", "used"), [(None, b""), (b"mine", b"mine"), (b"old", b""), (b"garbage", b"")], ids=["none", "mine", "other GPU", "damaged"]
)
def test_times_of_earlier_builds(tmp_path: Path, before: bytes | None, used: bytes) -> None:
    path, config = tmp_path / "timing.cache", TimedConfig()
    if before is not None:
        path.write_bytes(before)
    _read_times(config, path)
    assert config.kept.content == used
    _write_times(config, path)
    assert path.read_bytes() == used + b" and more"


def test_a_node_that_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot parse it: node the_node \(Det\): .*export the graph again") as error:
        compiled(one_node(tmp_path / "a.onnx", "Det"), [SHORT])
    assert "\n" not in str(error.value) and "cudaError" not in str(error.value)
    assert not (tmp_path / "a.plan").exists()


def test_a_node_that_cannot_be_built_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "z"], ["y"], name="adder")]
    source = save(tmp_path / "a.onnx", nodes, {"x": ["n", 4], "z": ["m", 4]}, {"y": ["k", 4]})
    profile: Profile = {"x": ((2, 4),) * 3, "z": ((3, 4),) * 3}
    with pytest.raises(ExportError, match=r"cannot build it: .*adder: broadcast.*; export the graph again") as error:
        compiled(source, [profile])
    assert "cudaError" not in str(error.value)


def test_reasons_do_not_outlive_their_build(tmp_path: Path) -> None:
    for operator, message in (("Det", "the_node"), ("Relu", "")):
        source = one_node(tmp_path / f"{operator}.onnx", operator)
        if message:
            with pytest.raises(ExportError, match=message):
                compiled(source, [SHORT])
        else:
            compiled(source, [SHORT])
            assert error_log(trt).reason() == "no reason given"


def test_a_reason_of_memory_names_the_workspace() -> None:
    assert "another --workspace-mb (it was 64)" in _remedy("insufficient memory on requested size", 64)


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(ExportError, match="not an ONNX graph"):
        compiled(tmp_path / "a.onnx", [SHORT])


def test_weights_in_a_file_beside_the_graph_are_refused(tmp_path: Path) -> None:
    model = onnx.load(str(product(tmp_path / "a.onnx")))
    onnx.save_model(model, str(tmp_path / "deep.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(ExportError, match="keeps weights in another file"):
        compiled(tmp_path / "deep.onnx", [SHORT])


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ([], "no profile; expected shapes for x"),
        ([{}], "profile 0 has no shapes for the input x; it has none"),
        ([SHORT, {"y": SHORT["x"]}], "profile 1 has no shapes for the input x; it has y"),
        ([{**SHORT, "z": SHORT["x"]}], "names z, which is no input; the inputs are x"),
        ([{"x": ((4, 4), (2, 4), (8, 4))}], "gives x 4x4, 2x4, 8x4; expected smallest, usual and largest, in order, of nx4"),
        ([{"x": ((1, 4), (9, 4), (8, 4))}], "gives x 1x4, 9x4, 8x4"),
        ([{"x": ((1, 5), (2, 5), (8, 5))}], "gives x 1x5, 2x5, 8x5"),
        ([{"x": ((0, 4), (2, 4), (8, 4))}], "gives x 0x4"),
        ([{"x": ((1,), (2,), (8,))}], "gives x 1, 2, 8"),
    ],
)
def test_profiles_that_do_not_fit(tmp_path: Path, profiles: list[Profile], message: str) -> None:
    with pytest.raises(ExportError) as error:
        compiled(one_node(tmp_path / "a.onnx", "Relu"), profiles)
    assert message in str(error.value)
    assert not (tmp_path / "a.plan").exists()


def test_a_graph_without_dynamic_axes(tmp_path: Path) -> None:
    source = save(tmp_path / "a.onnx", [helper.make_node("Relu", ["x"], ["y"], name="r")], {"x": [2, 4]}, {"y": [2, 4]})
    assert compiled(source, [{"x": ((2, 4),) * 3}]).bytes > 1000
    assert not _fits(((2, 4), (2, 4), (3, 4)), (2, 4))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Polygraphy sets a timing cache, which RTX calls deprecated
def test_polygraphy_sees_the_same_network(tmp_path: Path) -> None:
    pytest.importorskip("polygraphy", reason="Polygraphy is not installed")
    import polygraphy.config

    polygraphy.config.USE_TENSORRT_RTX = True
    from polygraphy.backend.trt import NetworkFromOnnxPath
    from polygraphy.backend.trt import Profile as TheirProfile
    from polygraphy.logger import G_LOGGER

    source = product(tmp_path / "a.onnx")
    log = error_log(trt)
    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
        _, theirs, _theirs_parser = NetworkFromOnnxPath(str(source), strongly_typed=True)()
        filled = TheirProfile().add("x", *SHORT["x"]).fill_defaults(theirs)
    builder = trt.Builder(log.logger)
    ours = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = _parse(trt, ours, source)
    _check_profiles(ours, [{name: tuple(map(tuple, filled[name])) for name in filled}], source)  # type: ignore[misc]
    parts = [
        (
            [(network.get_layer(n).name, network.get_layer(n).type) for n in range(network.num_layers)],
            [(network.get_input(n).name, network.get_input(n).dtype, tuple(network.get_input(n).shape)) for n in range(network.num_inputs)],
            [(network.get_output(n).name, network.get_output(n).dtype) for n in range(network.num_outputs)],
        )
        for network in (ours, theirs)
    ]
    assert parts[0] == parts[1] and len(parts[0][0]) > 1
    del parser


def test_it_loads_no_torch_and_no_onnx(tmp_path: Path) -> None:
    source = product(tmp_path / "a.onnx")
    code = (
        f"import sys; from pathlib import Path; from wsra.export.tensorrt.engine import compile_graph; p = Path({str(source)!r});"
        " compile_graph(p, p.with_suffix('.plan'), [{'x': ((1, 4), (2, 4), (8, 4))}], workspace_mb=64, timing_cache=None);"
        " print(sorted({'torch', 'transformers', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
