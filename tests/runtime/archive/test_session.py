"""What a session opens it closes, also when something fails."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest
from presences import upgrade

import wsra.runtime.archive.search
from wsra.runtime.archive.request import Question, Request
from wsra.runtime.archive.search import search
from wsra.runtime.archive.session import Session, SessionSpec
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.backends.routes import Route, open_route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.errors import BackendError
from wsra.runtime.formats.bundle import open_bundle
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.recording import Part, Recording, joined

pytestmark = pytest.mark.device
FIXTURES = Path(__file__).parents[2] / "fixtures" / "v0.1.0"
SETTINGS = RunSettings("fp32", "cpu", threads=1, kernel="graph")  # text, keys and scorer: three graphs
GRAPHS = ["keys.onnx", "scorer.onnx", "text.onnx"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURES, tmp_path / "old")
    upgrade(tmp_path / "old" / "bundle")
    return tmp_path / "old"


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the graphs that were closed."""
    names: list[str] = []

    def leave(graph: OrtBackend, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        names.append(graph._path.name)

    monkeypatch.setattr(OrtBackend, "__exit__", leave)
    return names


def spec(place: Path) -> SessionSpec:
    return SessionSpec(place / "bundle", Route("fp32", "cpu"), SETTINGS, Question(("the yellow bus",)))


def test_a_search_closes_every_graph(place: Path, closed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request([place / "features" / "val3.feat"], Question(("the yellow bus",)), place / "bundle", SETTINGS)
    assert search(request).ran.kernel == "graph"
    assert sorted(closed) == GRAPHS
    closed.clear()

    def fails(*given: object) -> None:
        raise RuntimeError("in the midst")

    monkeypatch.setattr(wsra.runtime.archive.search, "recordings_for", fails)
    with pytest.raises(RuntimeError, match="in the midst"):
        search(request)
    assert sorted(closed) == GRAPHS


def test_a_graph_that_does_not_close_keeps_no_other_open(place: Path, closed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    leave = OrtBackend.__exit__

    def fails(graph: OrtBackend, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        leave(graph, kind, error, trace)
        if graph._path.name == "scorer.onnx":
            raise BackendError("does not close")

    monkeypatch.setattr(OrtBackend, "__exit__", fails)
    with (
        pytest.raises(BackendError, match="does not close"),
        Grounder.open(place / "bundle", precision="fp32", provider="cpu", kernel="graph"),
    ):
        pass
    assert sorted(closed) == GRAPHS


def test_graphs_are_closed_when_a_later_one_does_not_open(place: Path, closed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, device = open_bundle(place / "bundle"), this_device()
    begin = OrtBackend.__init__

    def fails(graph: OrtBackend, path: Path, **settings: object) -> None:
        if path.name == "scorer.onnx":
            raise BackendError("does not open")
        begin(graph, path, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(OrtBackend, "__init__", fails)
    with pytest.raises(BackendError, match="does not open"):
        open_route(bundle, Route("fp32", "cpu"), device, SETTINGS)
    assert sorted(closed) == ["keys.onnx", "text.onnx"]
    closed.clear()
    with pytest.raises(BackendError, match="does not open"):
        Grounder.of_route(bundle, Route("fp32", "cpu"), device, SETTINGS)
    assert sorted(closed) == ["keys.onnx", "text.onnx"]


def test_a_worker_keeps_one_session_open_between_its_tasks(place: Path, closed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "_of_this_worker", None)
    sent = pickle.dumps(Session(spec(place)))
    session = pickle.loads(sent)
    assert session.spec == spec(place) and session.grounder.ran.kernel == "graph"
    assert pickle.loads(sent) is session and closed == []
    other = SessionSpec(place / "bundle", Route("fp16", "cpu"), SETTINGS, Question(("the yellow bus",)))
    assert pickle.loads(pickle.dumps(Session(other))) is not session
    assert sorted(closed) == GRAPHS


def test_a_file_of_a_recording_is_opened_once_where_its_keys_are_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def counted(path: Path) -> Features:
        opened.append(path.name)
        return read_features(path)

    monkeypatch.setattr("wsra.runtime.grounding.recording.read_features", counted)
    names = ["a.feat", "b.feat", "c.feat"]
    paths = [Path(shutil.copy(place / "features" / "val3.feat", place / name)) for name in names]
    whole = read_features(paths[0])

    def camera() -> Recording:
        return joined([Part(path, 0, len(whole), 0.0, whole.duration_s) for path in paths], video="camera")

    with Session(spec(place)) as session:
        scorer, text = session.grounder.scorer, session.grounder.encoder.encode(["the yellow bus"])
        first = scorer.logits(camera(), text)
        assert opened == [*names, *names]  # there were no keys
        opened.clear()
        np.testing.assert_array_equal(scorer.logits(camera(), text), first)
        assert opened == names
        opened.clear()
        recording = camera()
        write_features(paths[1], replace(whole, values=2 * np.asarray(whole.values)))  # after it was joined
        changed = scorer.logits(recording, text).reshape(3, -1)
        assert opened == [*names, "b.feat"]
        before = first.reshape(3, -1)
        np.testing.assert_array_equal(changed[[0, 2]], before[[0, 2]])
        assert not np.array_equal(changed[1], before[1])
