"""A Ray cluster of two workers on this machine gives what one process gives, also where a worker is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from pathlib import Path

import av
import numpy as np
import patient
import pytest
import tasks
from films import Film
from numpy.typing import NDArray
from patient import be_patient

from wsra.runtime.archive.request import Question, Request
from wsra.runtime.archive.search import SearchResults, search
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.commands.ground import paths_and_queries
from wsra.runtime.errors import ClusterError, VideoError
from wsra.runtime.extraction.batch import extract_batch
from wsra.runtime.files.tensors import TensorFile
from wsra.runtime.formats.bundle import read_manifest
from wsra.runtime.formats.features import Features, write_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.workers.cluster import Cluster
from wsra.runtime.workers.pool import open_pool

WSRA = [sys.executable, str(Path(patient.__file__))]
QUERY, OTHER = "a man in a yellow shirt walks past", "a red car"
PATIENCE_S = 300.0  # a cluster takes ten seconds to start, and a minute where other tests keep the cores busy
Make = Callable[..., Features]
Fill = Callable[[Path], Path]


@pytest.fixture(autouse=True, scope="module")
def _mark() -> Iterator[None]:
    """Every process that these tests start inherits the mark, so that clusters of other tests are not taken for theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WSRA_TEST_RAY", str(os.getpid()))
        yield


def of_ray() -> list[str]:
    """Command lines of what runs for a cluster that these tests started; the folder of its session is in the arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
            marked = f"WSRA_TEST_RAY={os.getpid()}".encode() in process.joinpath("environ").read_bytes().split(b"\0")
            if marked and "wsra-ray-" in line:
                found.append(line)
    return found


def of_ray_soon() -> list[str]:
    """The same once it has had time to end: on busy cores a process that was told to end takes its time."""
    until = time.monotonic() + PATIENCE_S
    while of_ray() and time.monotonic() < until:
        time.sleep(0.1)
    return of_ray()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as two:
        be_patient(two)
        two.setattr(os, "cpu_count", lambda: 2)
        two.setenv("PYTHONPATH", f"{Path(tasks.__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        with Cluster("local") as opened:
            assert {name for line in of_ray() for name in ("gcs_server", "raylet") if name in line} == {"gcs_server", "raylet"}
            yield opened
    assert of_ray_soon() == []


@pytest.fixture(scope="module")
def rows(bundle_folder: Path) -> NDArray[np.float32]:
    """Random snippets, those first that speak most for the sentence."""
    with Grounder.open(bundle_folder, threads=1) as grounder:
        values = np.random.default_rng(0).normal(size=(3000, grounder.manifest.feature_width)).astype(np.float32)
        starts = np.arange(3000.0)
        pool = Features(values, np.stack([starts, starts + 1], axis=1), "pool", 3000.0, grounder.manifest.backbone)
        return values[np.argsort(-grounder.answer(pool, QUERY).curve)]


@pytest.fixture
def archive(rows: NDArray[np.float32], bundle_folder: Path, make_features: Make) -> Callable[[Path], Path]:
    return lambda folder: fill(folder, rows, make_features, read_manifest(bundle_folder).backbone)


def fill(folder: Path, rows: NDArray[np.float32], make_features: Make, backbone: str) -> Path:
    """A camera of five files of which the third is damaged, one of two, single files, one cut off, one of another backbone."""
    names = [f"door_20261123_1359{second:02d}" for second in range(0, 50, 10)]
    names += ["garage_20261123_090000", "garage_20261123_090010", *(f"north/clip{number}" for number in range(6)), "broken"]
    for seed, name in enumerate(names):
        features = make_features(10, rows.shape[1], seed=seed, backbone=backbone, video=f"{Path(name).name}.mp4")
        features.values[[0, 3 + seed % 4, 9]] = rows[[seed % 6, (seed + 2) % 6, (seed + 4) % 6]]
        path = folder / f"{name}.feat"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_features(path, features)
        if seed == 2:
            row = features.values[4].tobytes()
            path.write_bytes(path.read_bytes().replace(row, np.full_like(features.values[4], np.nan).tobytes()))
    (folder / "broken.feat").write_bytes((folder / "broken.feat").read_bytes()[:-9])
    write_features(folder / "other.feat", make_features(3, 4))
    return folder


def found(
    bundle: Path, inputs: list[str], queries: Path | None = None, *, per_video: int | None = None, **changes: object
) -> SearchResults:
    paths, sentences = paths_and_queries(inputs, queries)
    question = Question(sentences, top_k=99, per_video=per_video, false_alarms=inf)  # every candidate is found
    request = Request(paths, question, bundle, RunSettings("fp32", "cpu", threads=1))
    return search(replace(request, **changes))  # type: ignore[arg-type]


@contextmanager
def in_the_midst(video: Path, meanwhile: Callable[[int], None]) -> Iterator[None]:
    """Do something to the process that is extracting a video."""
    failed: list[BaseException] = []

    def watch() -> None:
        try:
            meanwhile(reader_of(video))
        except BaseException as err:
            failed.append(err)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join(PATIENCE_S)
    assert not thread.is_alive() and not failed, failed


def reader_of(file: Path) -> int:
    """The process that has had a file open for a while, which is more than looking at it."""
    deadline, before = time.monotonic() + PATIENCE_S, set()
    while time.monotonic() < deadline:
        now = set()
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                if link.readlink() == file:
                    now.add(link)
        if now & before:
            return int((now & before).pop().parts[2])
        before = now
        time.sleep(0.1)
    raise TimeoutError(f"nobody reads {file}")


@pytest.fixture(scope="module")
def an_hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame a second, on which something moves; it takes seconds to extract."""

    def picture(number: int) -> NDArray[np.uint8]:
        image = np.full((120, 160, 3), 110, np.uint8)
        image[60:100, number % 140 : number % 140 + 12] = 30
        return image

    film = Film(shown_ms=range(0, 3_600_000, 1000), picture=picture, size=(160, 120))
    return Path(film.write(tmp_path_factory.mktemp("films") / "hour.mkv"))


def again(film: Path, times: int, to: Path) -> Path:
    """An hour again and again: so long that who watches its extraction is not late."""
    with av.open(str(to), "w") as made:
        stream = None
        for turn in range(times):
            with av.open(str(film)) as hour:
                of_hour = hour.streams.video[0]
                stream = stream or made.add_stream_from_template(of_hour)
                for packet in hour.demux(of_hour):
                    if packet.dts is not None:
                        shift = round(3600 * turn / of_hour.time_base)
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                        made.mux(packet)
    return to


@pytest.mark.parametrize(("address", "message"), [("head", "neither HOST:PORT nor auto nor local"), ("127.0.0.1:{}", "refused")])
def test_no_cluster_is_one_line(address: str, message: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        given = address.format(free.getsockname()[1])
        command = [*WSRA, "extract", "a.mp4", "-o", "out", "--ray", given]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert run.returncode == 1 and run.stdout == "" and not (tmp_path / "out").exists()
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"wsra: --ray {given}: no cluster (") and message in line


def test_the_command_prints_data_alone_and_leaves_no_process(bundle_folder: Path, archive: Fill, tmp_path: Path) -> None:
    archive(tmp_path / "archive")
    command = [*WSRA, "ground", "archive", QUERY, "-b", str(bundle_folder), "--threads", "1", "--json"]
    command += ["--false-alarms", "inf"]
    here = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    there = subprocess.run([*command, "--ray", "local"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert json.loads(there.stdout) == json.loads(here.stdout) and json.loads(there.stdout)["found"]
    assert there.returncode == here.returncode == 1  # files are left out
    assert there.stderr.count("left out: ") == 3 and "ray" not in there.stderr
    assert of_ray_soon() == []


def test_an_interrupted_batch_ends_at_once_with_what_is_complete(clip_file: Path, an_hour: Path, tmp_path: Path) -> None:
    shutil.copy2(clip_file, tmp_path / "a.mp4")
    late = again(an_hour, 20, tmp_path / "late.mkv")
    command = [*WSRA, "extract", "a.mp4", "late.mkv", "-o", "out", "--ray", "local"]

    def interrupt(worker: int) -> None:
        """The other video stands still meanwhile, so that most of it is left when the signal comes."""
        os.kill(worker, signal.SIGSTOP)
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / "out" / "a.feat").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        os.kill(worker, signal.SIGCONT)

    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with in_the_midst(late, interrupt):
        _, err = running.communicate(timeout=2 * PATIENCE_S)
    assert running.returncode not in (0, None) and "Traceback" not in err, err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.feat"]
    assert of_ray_soon() == []


def test_an_archive_is_answered_as_in_one_process(cluster: Cluster, bundle_folder: Path, archive: Fill, tmp_path: Path) -> None:
    """Moments, scores, order, curves, what is left out, and the keys that are kept."""
    (tmp_path / "queries.txt").write_text(f"{QUERY}\n{OTHER}\n")
    answers = {}
    for name, ray in (("here", None), ("there", "auto")):
        folder = archive(tmp_path / name)
        for per_video in (None, 1):
            one = found(bundle_folder, [str(folder)], tmp_path / "queries.txt", ray=ray, per_video=per_video)
            curves = [(curve.title, curve.curve.tolist(), curve.marked) for result in one.results for curve in result.curves]
            detections = [(result.query, [replace(seen, excerpts=()) for seen in result.detections]) for result in one.results]
            left_out = [reason.replace(str(folder), "") for reason in one.left_out]
            answers[name, per_video] = (detections, curves, left_out)
    assert answers["here", None] == answers["there", None] and answers["here", 1] == answers["there", 1]
    results, _, left_out = answers["there", None]
    assert len(results[0][1]) >= 9 and len(left_out) == 3
    assert any(one.until is not None for _, detections in results for one in detections)
    keys, made = (
        {path.relative_to(tmp_path / place): TensorFile(path).map("keys").tobytes() for path in (tmp_path / place).rglob("*.keys")}
        for place in ("here", "there")
    )
    assert len(keys) >= 6 and keys == made


def test_videos_are_extracted_as_in_one_process(cluster: Cluster, clip_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named from the folder of the process that asks; one is no video, one is not there."""
    monkeypatch.chdir(tmp_path)
    videos = [Path(shutil.copy2(clip_file, f"{number}.mp4")) for number in range(4)]
    Path("bad.mp4").write_bytes(b"no video")
    videos += [Path("bad.mp4"), Path("missing.mp4")]
    here, there = list(extract_batch(videos, Path("here"))), list(extract_batch(videos, Path("there"), pool=cluster))
    assert [replace(one, feat=Path()) for one in here] == [replace(one, feat=Path()) for one in there]
    assert [one.error is None for one in there] == [True] * 4 + [False] * 2
    assert [one.feat.read_bytes() for one in here[:4]] == [one.feat.read_bytes() for one in there[:4]]
    assert sorted(path.name for path in Path("there").iterdir()) == [f"{number}.feat" for number in range(4)]
    assert all(one.kept for one in extract_batch(videos[:4], Path("there"), pool=cluster))


def test_a_killed_worker_changes_no_answer(
    cluster: Cluster, rows_bundle_folder: Path, archive: Fill, an_hour: Path, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    """SIGKILL while a worker extracts a video of the folder; the other files there are of snippets, which this bundle leaves out."""
    video = again(an_hour, 2, archive(tmp_path / "archive") / "hours.mkv")
    asked = [str(tmp_path / "archive"), QUERY]
    with in_the_midst(video, lambda worker: os.kill(worker, signal.SIGKILL)):
        there = found(rows_bundle_folder, asked, ray="auto")
    warnings = [record.getMessage() for record in logged.records if record.levelname == "WARNING"]
    assert f"{video}: its worker was lost; retried on another (1 of 3)" in warnings
    features = video.with_suffix(".feat").read_bytes()
    video.with_suffix(".feat").unlink()
    here = found(rows_bundle_folder, asked)
    assert [result.detections for result in there.results] == [result.detections for result in here.results]
    assert there.left_out and there.left_out == here.left_out and not any(str(video) in message for message in there.left_out)
    assert features == video.with_suffix(".feat").read_bytes()


def test_a_task_that_kills_every_worker_is_lost_and_no_other(
    cluster: Cluster, capfd: pytest.CaptureFixture[str], logged: pytest.LogCaptureFixture
) -> None:
    items = [*range(20), 7]
    with open_pool("auto") as pool:
        for chunksize in (1, 8):
            squares = pool.map(tasks.Square(), items, chunksize=chunksize)
            assert list(squares) == [-13 if item == 13 else item * item for item in items]
            assert capfd.readouterr() == ("", "")
            assert [record.name for record in logged.records if record.getMessage() == "seven"] == ["wsra.tests"] * 2
            assert logged.text.count("a library warns (UserWarning of") == 2
            assert logged.text.count("13: its worker was lost") == 3
            assert logged.text.count("its 8 files are retried one by one") == (chunksize == 8)
            logged.clear()


def test_a_file_that_only_this_machine_sees(cluster: Cluster, bundle_folder: Path, archive: Fill, tmp_path: Path) -> None:
    """A folder that is open in this process has a name that means nothing in another."""
    archive(tmp_path)
    opened = os.open(tmp_path, os.O_RDONLY)
    private = Path(f"/proc/self/fd/{opened}")
    try:
        with pytest.raises(ClusterError, match=f"^{private}/.*: exists here, but not on the node {socket.gethostname()}; files, bundle"):
            found(bundle_folder, [str(private), QUERY], ray="auto")
        with pytest.raises(ClusterError, match=f"^{private}/.wsra-.*: exists here, but not on the node"):
            list(extract_batch([tmp_path / "a.mp4"], private, pool=cluster))
        with pytest.raises(VideoError, match="another video of this batch"):
            list(extract_batch([tmp_path / "a.mp4", tmp_path / "a.mkv"], tmp_path, pool=cluster))
    finally:
        os.close(opened)


def test_more_than_any_node_has_is_refused(cluster: Cluster, bundle_folder: Path) -> None:
    with pytest.raises(ClusterError, match="none of its 1 nodes has 1000 CPU and 1 GPU for a task"), open_pool("auto", cpus=1000, gpus=1):
        pass
