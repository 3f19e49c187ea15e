"""Options of ONNX Runtime's providers on a GPU: where engines are kept, which shapes, which precision, which GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsra.runtime.backends.engines import Profile
from wsra.runtime.backends.providers import picture_options, profile_options, provider_options, tensorrt_options
from wsra.runtime.device import Device, Gpu
from wsra.runtime.formats.bundle import Bundle, read_manifest

pytestmark = pytest.mark.device
PC = Device("a processor", 8, 32000, 16000, Gpu("NVIDIA RTX A2000", "8.6", 5937, "550.54.15", "12.4", 26), "", "")


def test_options_of_a_graph_of_a_bundle(bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle(tmp_path, read_manifest(bundle_folder))
    options = {precision: tensorrt_options(bundle, PC, precision, "text") for precision in ("fp32", "fp16", "int8")}
    cache = Path(options["fp16"]["trt_engine_cache_path"])
    assert cache.is_dir() and cache.parent.parent == tmp_path / "engines" and cache.name == "fp16"
    assert cache.parent.name.startswith("nvidia-rtx-a2000-26-sm86-ort")
    assert options["fp16"]["trt_timing_cache_path"] == str(cache)
    assert options["fp16"]["trt_engine_cache_enable"] == options["fp16"]["trt_timing_cache_enable"] == "1"
    flags = {
        precision: sorted(key for key in found if key in ("trt_fp16_enable", "trt_int8_enable")) for precision, found in options.items()
    }
    assert flags == {"fp32": [], "fp16": ["trt_fp16_enable"], "int8": ["trt_fp16_enable", "trt_int8_enable"]}
    assert options["fp32"]["trt_profile_min_shapes"].startswith("input_ids:1x1,attention_mask:1x1")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr("wsra.runtime.backends.providers.user_cache_path", lambda name: tmp_path / "cache")
    elsewhere = Path(tensorrt_options(bundle, PC, "fp16", "text")["trt_engine_cache_path"])
    assert elsewhere.is_dir() and elsewhere.is_relative_to(tmp_path / "cache")


def test_a_graph_of_no_route_keeps_its_engines_beside_it_or_in_its_bundle(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    graph = tmp_path / "fp16" / "image.onnx"
    graph.parent.mkdir()
    graph.write_bytes(b"one")
    profile: Profile = {"x": ((1, 3, 8, 8), (16, 3, 8, 8), (16, 3, 8, 8))}
    beside = picture_options(graph, PC, None, profile)
    place = Path(beside["trt_engine_cache_path"])
    assert place.is_dir() and place.parents[1] == graph.parent / "engines" and beside["trt_timing_cache_path"] == str(place)
    assert beside["trt_fp16_enable"] == "1" and beside["trt_profile_max_shapes"] == "x:16x3x8x8"
    inside = Path(picture_options(graph, PC, tmp_path, None)["trt_engine_cache_path"])
    assert inside.name == "fp16" and inside.parents[1] == tmp_path / "engines" and inside.parent.name == place.parent.name
    graph.write_bytes(b"two")  # the provider would take the engine of another graph with the same names
    assert picture_options(graph, PC, None, None)["trt_engine_cache_path"] != str(place)
    assert not logged.messages


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    graph = tmp_path / "image.onnx"
    graph.write_bytes(b"one")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr("wsra.runtime.backends.providers.user_cache_path", lambda name: tmp_path / "cache")
    kept = [picture_options(graph, PC, None, None)["trt_engine_cache_path"] for _ in range(2)]
    assert kept[0] == kept[1] and Path(kept[0]).is_relative_to(tmp_path / "cache")
    assert logged.messages == [f"{tmp_path}: cannot be written; the engines of the TensorRT provider are kept in {kept[0]}"]
    logged.clear()
    monkeypatch.setattr("wsra.runtime.backends.providers.user_cache_path", lambda name: graph)  # a file: no folder can be made in it
    assert [picture_options(graph, PC, None, None) for _ in range(2)] == [{}, {}]
    (said,) = logged.messages
    assert "the TensorRT provider builds its engines at every start" in said


def test_profiles_become_one_range() -> None:
    profiles = [{"x": [[1, 4], [2, 4], [8, 4]], "m": [[1], [2], [8]]}, {"x": [[8, 4], [16, 4], [64, 4]], "m": [[8], [16], [64]]}]
    assert profile_options(profiles) == {
        "trt_profile_min_shapes": "x:1x4,m:1",
        "trt_profile_opt_shapes": "x:2x4,m:2",
        "trt_profile_max_shapes": "x:64x4,m:64",
    }
    assert profile_options([]) == {}


def test_the_number_of_the_gpu() -> None:
    assert provider_options("cpu", gpu=1) == {}
    assert provider_options("cuda", gpu=1) == {"device_id": "1", "use_tf32": "0"}
    assert provider_options("tensorrt", gpu=2) == {"device_id": "2"}
