"""What the library refuses or raises becomes one line, and the GPU's memory is given back whatever fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fake_tensorrt
from wsra.runtime.backends.trt import TrtBackend
from wsra.runtime.errors import BackendError

pytestmark = pytest.mark.device

PROFILES: fake_tensorrt.Profiles = [{"x": ((1, 4), (2, 4), (8, 4))}]
ROWS = {"x": np.arange(8, dtype=np.float32).reshape(2, 4)}


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "g.plan"
    path.write_bytes(b"plan")
    return path


def raising(error: Exception) -> Callable[..., Any]:
    def call(*_: Any) -> Any:
        raise error

    return call


def nothing(*_: Any) -> Any:
    return None


def assert_given_back(cuda: fake_tensorrt.FakeCuda) -> None:
    assert not cuda.memory and not cuda.pinned
    assert cuda.calls["cuDevicePrimaryCtxRelease_v2"] == cuda.calls["cuDevicePrimaryCtxRetain"] == 1


@pytest.mark.parametrize(
    ("function", "does", "message"),
    [
        ("create_runtime_config", nothing, "it gives no settings of an engine"),
        ("create_runtime_config", raising(RuntimeError("out of\nmemory")), "out of; memory"),
        ("create_runtime_cache", nothing, "it gives no cache of kernels"),
        ("deserialize", raising(TypeError("damaged")), "damaged"),
    ],
    ids=["no settings", "settings fail", "no cache", "cache fails"],
)
def test_an_engine_that_cannot_be_set_up(
    plan: Path, monkeypatch: pytest.MonkeyPatch, function: str, does: Callable[..., Any], message: str
) -> None:
    cuda, engine = fake_tensorrt.install(monkeypatch, PROFILES)
    fake_tensorrt.with_kernels(monkeypatch, engine)
    plan.with_suffix(".kernels").write_bytes(b"compiled")
    owner: Any = engine if function == "create_runtime_config" else fake_tensorrt.FakeKernels
    monkeypatch.setattr(owner, function, does)
    with pytest.raises(BackendError) as error:
        TrtBackend(plan)
    assert str(error.value) == f"{plan}: tensorrt 10.3.0 cannot set it up ({message}); see wsra doctor"
    assert_given_back(cuda)


def test_kernels_that_cannot_be_read(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, engine = fake_tensorrt.install(monkeypatch, PROFILES)
    fake_tensorrt.with_kernels(monkeypatch, engine)
    kernels, read = plan.with_suffix(".kernels"), Path.read_bytes
    kernels.write_bytes(b"compiled")

    def refused(path: Path) -> bytes:
        if path == kernels:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(BackendError, match=r"g\.kernels: cannot be read \(Permission denied\); delete it"):
        TrtBackend(plan)
    assert_given_back(cuda)


@pytest.mark.parametrize("does", [nothing, raising(RuntimeError("no cache"))], ids=["nothing", "raises"])
def test_kernels_that_cannot_be_kept_are_only_told(
    plan: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, does: Callable[..., Any]
) -> None:
    cuda, engine = fake_tensorrt.install(monkeypatch, PROFILES)
    fake_tensorrt.with_kernels(monkeypatch, engine)
    monkeypatch.setattr(fake_tensorrt.FakeKernels, "serialize", does)
    with caplog.at_level(logging.INFO), TrtBackend(plan) as backend:
        np.testing.assert_array_equal(backend.infer(ROWS)["y"], 2 * ROWS["x"])
    assert "g.plan: its compiled kernels cannot be kept (" in caplog.text
    assert_given_back(cuda)
    assert not plan.with_suffix(".kernels").exists()


def test_memory_that_is_refused(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, _ = fake_tensorrt.install(monkeypatch, PROFILES)
    monkeypatch.setattr(fake_tensorrt.FakeContext, "set_tensor_address", lambda *_: False)
    with pytest.raises(BackendError, match=r"refuses the memory of x \(no reason given\); build"), TrtBackend(plan) as backend:
        backend.infer(ROWS)
    assert_given_back(cuda)


def test_an_engine_that_does_not_describe_itself(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, engine = fake_tensorrt.install(monkeypatch, PROFILES)
    monkeypatch.setattr(engine, "get_tensor_profile_shape", raising(RuntimeError("no such profile")))
    with pytest.raises(BackendError, match=r"does not describe it \(no such profile\); build the engine again"):
        TrtBackend(plan)
    assert_given_back(cuda)
