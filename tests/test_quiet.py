"""No command speaks to any host, or writes anywhere but where docs/privacy.md says: seen by strace, in a home folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import patient
import pytest
from traced import WSRA, Trace, strace, trace

import wsra.runtime

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="strace is for Linux")

PATIENCE_S = 600  # of whoever waits; what is traced is slow, and a busy machine makes it slower
QUERY = "a man in a yellow shirt walks past"
INSTALLED = Path(wsra.runtime.__file__).resolve().parent
# Below the home folder; the caches of matplotlib and wsra.
HOME = (".cache/wsra", ".cache/matplotlib", ".config/matplotlib")
RAY = "/tmp/wsra-ray-"  # the folder of a cluster, while it lasts
Run = Callable[..., Trace]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, rows_bundle_folder: Path, clip_file: Path) -> Path:
    """A folder with all that the commands are run on."""
    from tiny import make_rows_run

    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(rows_bundle_folder, folder / "bundle")
    shutil.copy2(clip_file, folder / "clip.mp4")
    make_rows_run(folder, epochs=40)  # as the bundle above: enough on every CPU for theta to be calibrated
    (folder / "run.toml").write_text((folder / "run.toml").read_text().replace(f'"{folder}/bert"', '"bert"'))
    rows = [json.loads(line) | {"relevant_windows": [[1, 5]]} for line in (folder / "val.jsonl").read_text().splitlines()]
    (folder / "true.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    np.save(folder / "array.npy", np.ones((5, 4), np.float32))
    return folder


@pytest.fixture
def traced(work: Path, tmp_path: Path) -> Iterator[Run]:
    """Runs a command; the home and temporary folders are new, and afterwards the trace says nothing of others."""
    strace()
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }

    def run(
        *arguments: str,
        meanwhile: Callable[[int], None] = lambda process: None,
        program: Sequence[str] = WSRA,
        code: int = 0,
        **more: str,
    ) -> Trace:
        found = trace(arguments, work, environment | more, tmp_path / "logs", meanwhile, program=program)
        assert found.returncode == code, found.said
        allowed = [work, tmp_path / "tmp", Path("/dev"), Path("/proc"), *(tmp_path / "home" / name for name in HOME)]
        above = {folder for place in allowed for folder in place.parents}  # such as ~/.cache, which is made for what is in it
        strangers = [path for path in found.written - above if not any(path.is_relative_to(place) for place in allowed)]
        strangers = [path for path in strangers if not _compiled(path) and not str(path).startswith(RAY)]
        assert not strangers
        return found

    yield run


def _compiled(path: Path) -> bool:
    """What numba and Python keep of compiled code beside the installed package."""
    return "__pycache__" in path.parts and INSTALLED in path.resolve().parents


def _files(folder: Path) -> set[str]:
    """Paths of the files of a folder; clips without their names."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {f"clips/*{path.suffix}" if path.parent.name == "clips" and path.suffix else path.as_posix() for path in paths}


EVERYTHING = ("--false-alarms", "inf")  # every candidate is found


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--help"], set()),
        (["info", "features/val1.feat"], set()),
        (["doctor", "bundle"], set()),
        (["convert", "array.npy", "-o", "array.feat", "--snippet-s", "1"], {"array.feat"}),
        (["extract", "clip.mp4", "-o", "extracted"], {"extracted/clip.feat"}),
        (["ground", "features/val1.feat", QUERY], {"features/val1.keys"}),
        (["ground", "clip.mp4", QUERY], {"clip.feat", "clip.keys"}),
        (["ground", "clip.mp4", "clip.feat", QUERY], set()),
        (
            [
                "ground",
                "clip.mp4",
                QUERY,
                *EVERYTHING,
                "--report",
                "r.html",
                "--clips",
                "clips",
                "--playlist",
                "p.csv",
                "--picture",
                "p.png",
            ],
            {"clips/SHA256SUMS", "clips/*.mp4", "clips/*.json", "p.csv", "p.png", "r.html"},
        ),
        (["bench", "bundle", "features/val1.feat", "--repeats", "1"], set()),
        (["evaluate", "bundle", "true.jsonl", "--protocol", "spans", "--features", "features"], set()),
        (["verify", "bundle", "--precision", "fp32"], set()),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_command_speaks_to_nobody_and_writes_where_it_was_told(arguments: list[str], left: set[str], traced: Run, work: Path) -> None:
    before = _files(work)
    assert traced(*arguments).contacts == set()
    assert _files(work) - before == left


def test_training_and_export_speak_to_nobody(traced: Run, work: Path, tmp_path: Path) -> None:
    before = _files(work)
    assert traced("train", "run.toml", "--out", "trained").contacts == set()
    (cache,) = (work / "text-cache").iterdir()
    names = ("config.toml", "curves.png", "last.safetensors", "metrics.csv", "model.safetensors")
    assert _files(work) - before == {f"text-cache/{cache.name}", *(f"trained/{name}" for name in names)}
    before = _files(work)
    shutil.rmtree(tmp_path / "logs")
    assert traced("export", "trained", "-o", "exported").contacts == set()
    made = _files(work) - before
    assert made and all(name.startswith("exported/") for name in made)


def _answers(port: int) -> bool:
    """Whether a server on this machine takes connections."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_the_page_speaks_to_nobody(traced: Run, work: Path) -> None:
    """A browser opens it, looks at what is there, extracts a video and asks; then Ctrl-C ends it."""
    (work / "yard").mkdir()
    shutil.copy2(work / "clip.mp4", work / "yard")
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the page binds it, too; nobody else gets it meanwhile
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

        def browse(process: int) -> None:
            until = time.monotonic() + PATIENCE_S
            while not _answers(port):
                assert time.monotonic() < until, "the page does not open"
                time.sleep(0.2)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
                assert "<title>" in client.get("/").text
                (folder,) = client.get("/api/archive").json()["folders"]
                assert client.post("/api/jobs", json={"folder": folder["id"]}).json() == {"added": 1}
                while not client.get("/api/archive").json()["cameras"]:
                    assert time.monotonic() < until, "the video is not extracted"
                    time.sleep(0.2)
                assert "event: answers" in client.get("/api/ask", params={"q": QUERY}).text
                assert client.get("/api/report", params={"q": QUERY}).status_code == 200
            os.kill(process, signal.SIGINT)

        before = _files(work)
        page = traced("view", "yard", "-b", "bundle", "--port", str(port), "--no-browser", meanwhile=browse, code=130)
    assert page.contacts == set()
    assert _files(work) - before == {"yard/clip.feat", "yard/clip.keys"}


def test_a_cluster_of_this_machine_speaks_to_this_machine_alone(traced: Run) -> None:
    """Ray asks the system by which address 8.8.8.8 would be reached: a datagram socket that is connected and sends nothing."""
    contacts = traced("ground", "features", QUERY, "--ray", "auto", RAY_ADDRESS="local", program=[patient.__file__]).contacts
    outside = {(host, port) for host, port in contacts if not host.removeprefix("::ffff:").startswith("127.")}
    assert contacts and outside <= {("8.8.8.8", 53)}


def test_the_tracer_sees_a_library_that_reports_home(tmp_path: Path) -> None:
    """ONNX Runtime without our variable leaves a device id: so the tests above can fail."""
    (tmp_path / "home").mkdir()
    code = "import onnxruntime"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    loud = _files(tmp_path / "home")
    for package in ("runtime", "calib", "train", "export"):
        shutil.rmtree(tmp_path / "home")
        (tmp_path / "home").mkdir()
        environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
        subprocess.run([sys.executable, "-c", f"import wsra.{package}; {code}"], env=environment, check=True)
        assert _files(tmp_path / "home") == set()
    assert loud
