"""Options of ONNX Runtime's providers on a GPU: where engines are kept, which shapes, which precision, which GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wsra.runtime.backends.providers import profile_options, provider_cache, provider_options, tensorrt_options
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
    assert provider_cache(bundle, PC, "fp16").is_relative_to(tmp_path / "cache")
    assert provider_cache(bundle, replace(PC, gpu=None, cpu="x"), "fp16").parent.name.startswith("x-8-ort")


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
