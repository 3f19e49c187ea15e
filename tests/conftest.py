"""Small things made once: features, clips, a bundle. Imports no torch: a device runs some of these tests."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from wsra.runtime.formats.features import Features, write_features

PARITY = "parity"  # name of a property of a test's report, which pytest-xdist sends to the process that prints
GPU_TESTS = "test_gpu.py"  # their properties are figures, such as milliseconds of a graph
ENGINES = ("PyTorch's own half", "ONNX Runtime", "rounded to half at every node", "TensorRT-RTX")

# A machine that does other work, too, may take seconds for one example; what takes too long is measured in benchmarks/.
settings.register_profile("wsra", deadline=None)
settings.load_profile("wsra")

# Whoever starts the tests in the background may have had SIGINT ignored; the processes that they start and interrupt must not inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What wsra logs in this process, from level INFO on."""
    caplog.set_level(logging.INFO, logger="wsra")
    return caplog


@pytest.fixture
def tell_parity(request: pytest.FixtureRequest) -> Callable[[str, str, str, str], None]:
    """Note (encoder, precision, engine, what was found) for the table at the end of the run."""

    def tell(encoder: str, precision: str, engine: str, found: str) -> None:
        request.node.user_properties.append((PARITY, (encoder, precision, engine, found)))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows: dict[tuple[str, str], dict[str, str]] = {}
    figures: list[str] = []
    for report in terminalreporter.getreports("passed"):
        for name, row in report.user_properties:
            if name == PARITY:
                rows.setdefault((row[0], row[1]), {})[row[2]] = row[3]
            elif Path(report.location[0]).name == GPU_TESTS:
                figures.append(f"{name}: {row}")
    if figures:
        terminalreporter.section("measured on the GPU")
    for line in figures:
        terminalreporter.line(line)
    if rows:
        terminalreporter.section("encoders beside PyTorch in FP32: largest difference, of the largest number")
        terminalreporter.line(f"| encoder | precision | {' | '.join(ENGINES)} |")
        terminalreporter.line("|---|---|---|---|---|---|")
    for (encoder, precision), found in sorted(rows.items()):
        terminalreporter.line(f"| {encoder} | {precision} | {' | '.join(found.get(engine, '') for engine in ENGINES)} |")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Third-party annotations and footage, never part of the project."""
    place = os.environ.get("WSRA_DATA")
    if not place:
        pytest.skip("WSRA_DATA is not set: third-party annotations are not at hand")
    return Path(place)


@pytest.fixture
def make_features() -> Callable[..., Features]:
    def make(count: int = 12, width: int = 4, *, seed: int = 0, backbone: str = "test", video: str = "v") -> Features:
        values = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
        starts = np.arange(count, dtype=np.float64)
        return Features(values, np.stack([starts, starts + 1], axis=1), video, float(count), backbone)

    return make


@pytest.fixture
def feat_file(tmp_path: Path, make_features: Callable[..., Features]) -> Path:
    path = tmp_path / "v.feat"
    write_features(path, make_features())
    return path


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered test clip as a real H.264 file."""
    pytest.importorskip("av")
    from wsra.train.scenes.demo.render import render_clip
    from wsra.train.scenes.demo.world import sample_clip

    return render_clip(sample_clip("clip", "test", 5), tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A container with sound and no video stream."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("sound") / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Path]) -> Path:
    """A folder that the processes of pytest-xdist share: the first one that needs it makes it, and the others wait.

    Args:
        factory: of the session.
        name: of the folder.
        make: fills an empty folder, and returns the place in it that tests use.
    """
    from filelock import FileLock

    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    place, note = root / name, root / f"{name}.made"
    with FileLock(root / f"{name}.lock"):
        if not note.exists():
            place.mkdir()
            note.write_text(str(make(place)))
    return Path(note.read_text())


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle over the motion backbone with a tiny text encoder; $WSRA_TEST_BUNDLE where torch is not installed."""
    made = os.environ.get("WSRA_TEST_BUNDLE")
    if made:
        return Path(made)
    pytest.importorskip("torch")
    from tiny import make_bundle

    return made_once(tmp_path_factory, "bundle", make_bundle)


@pytest.fixture(scope="session")
def gpt2_bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `bundle_folder`, over a small GPT-2 with random weights."""
    pytest.importorskip("torch")
    from tiny import make_bundle

    return made_once(tmp_path_factory, "gpt2-bundle", partial(make_bundle, kind="gpt2"))


@pytest.fixture(scope="session")
def rows_bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `bundle_folder` ($WSRA_TEST_ROWS_BUNDLE), over rows of objects: its candidates are lives.

    Beside it lie captions, spans and features.
    """
    made = os.environ.get("WSRA_TEST_ROWS_BUNDLE")
    if made:
        return Path(made)
    pytest.importorskip("torch")
    from tiny import make_rows_bundle

    return made_once(tmp_path_factory, "rows-bundle", make_rows_bundle)


@pytest.fixture(autouse=True, scope="session")
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _no_default_bundle(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("WSRA_BUNDLE", raising=False)
    yield
