"""Tasks on a Ray cluster: results in order, tasks of lost workers retried, files that a node cannot see reported at once."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from wsra.runtime.errors import ClusterError, MissingExtraError, first_line
from wsra.runtime.workers.pool import Item, Place, Result, Work
from wsra.runtime.workers.worker import Done, work_on

logger = logging.getLogger(__name__)

LOCAL, AUTO = "local", "auto"
RETRIES = 3
AHEAD = 1000  # tasks submitted before the first of them is done
_STORE_BYTES = 100 * 2**20  # for a cluster that is started here; results are small
_REACH_S = 5.0
_CANCEL_S = 5.0
# Ray reads these when it is imported; they keep advice and lost workers off stdout. `quiet.py` stops its usage statistics.
_QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
}
_LOOPBACK = "127.0.0.2"  # for all processes started here; Ray replaces 127.0.0.1 by the network address
# Ray's head queries the addresses of cloud providers even with usage statistics off; a proxy that does not exist stops that.
_NOWHERE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}


class Cluster:
    """A connection to a Ray cluster for the length of a block. An existing connection of this process is used and stays open.

    Args (constructor):
        address: HOST:PORT of its head, "auto" (`RAY_ADDRESS`, else the cluster that runs on this machine), or "local": one that is started
            on this machine and ends with the block.
        cpus: CPUs per task.
        gpus: GPUs per task.

    Raises (on entering):
        ClusterError: the cluster cannot be reached, or has no node for such a task.
        MissingExtraError: Ray is not installed.
    """

    place: Place = "cluster"

    def __init__(self, address: str, *, cpus: int = 1, gpus: int = 0) -> None:
        self._address, self._gpus = address, gpus
        self.threads = cpus
        self._ray: Any = None
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Cluster:
        address = (os.environ.get("RAY_ADDRESS") or AUTO) if self._address == AUTO else self._address
        if "ray" not in sys.modules:
            os.environ.update(_QUIET)
            if address == LOCAL:  # nobody else may submit work; without a token here Ray would leave one in the home folder
                os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex()})
        try:
            import ray
        except ImportError as err:
            raise MissingExtraError("Ray", "ray", "--ray") from err
        self._ray = ray
        with self._resources:
            if not ray.is_initialized():
                self._connect(address)
            self._check_nodes()
            self._resources = self._resources.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the cluster, which ends running tasks; a cluster that was started here ends."""
        self._resources.close()

    def map(self, work: Work[Item, Result], items: Sequence[Item], *, chunksize: int = 1) -> Iterator[Result]:
        """See `Pool`.

        A task whose worker or node is lost is retried on another, with a warning, at most `RETRIES` times. What
        workers log is logged here once their task is done.

        Raises:
            ClusterError: a node cannot see a file that exists here or has another version of wsra, or the cluster is lost.
        """
        task = self._ray.remote(_work_on).options(num_cpus=self.threads, num_gpus=self._gpus, max_retries=0)
        folder, version = str(Path.cwd()), _version()
        running: dict[Any, range] = {}  # indices of the items, by Ray reference
        results: dict[int, Result] = {}
        lost: Counter[int] = Counter()
        submitted = 0

        def submit(places: range) -> None:
            seen = tuple(path for path in work.reads(items[places[0]]) if path.exists())
            running[task.remote(work, [items[place] for place in places], seen, folder, version)] = places

        try:
            for place in range(len(items)):
                while place not in results:
                    while submitted < min(len(items), place + AHEAD * chunksize):
                        submit(range(submitted, min(len(items), submitted + chunksize)))
                        submitted += chunksize
                    for ref in self._ready(running):
                        places = running.pop(ref)
                        outcome = self._outcome(ref)
                        if isinstance(outcome, Done):
                            outcome.log()
                            results.update(zip(places, outcome.results, strict=True))
                        elif isinstance(outcome, _Unseen):
                            outcome.refuse()
                            submit(places)  # the file was deleted meanwhile; the task reports that, as in one process
                        elif len(places) > 1:
                            logger.warning(f"a worker was lost; its {len(places)} files are retried one by one")
                            for alone in places:
                                submit(range(alone, alone + 1))
                        elif lost[places[0]] < RETRIES:
                            lost[places[0]] += 1
                            name = work.reads(items[places[0]])[0]
                            logger.warning(f"{name}: its worker was lost; retried on another ({lost[places[0]]} of {RETRIES})")
                            submit(places)
                        else:
                            reason = f"{RETRIES + 1} workers were lost on it, usually for lack of memory"
                            results[places[0]] = work.lost(items[places[0]], reason)
                yield results.pop(place)
        finally:
            self._cancel(list(running))

    def _connect(self, address: str) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        resources, handler = self._resources, signal.getsignal(signal.SIGTERM)
        try:
            if address == LOCAL:
                parent = "/tmp" if Path("/tmp").is_dir() else None  # paths of its sockets must be short
                folder = resources.enter_context(TemporaryDirectory(prefix="wsra-ray-", dir=parent, ignore_cleanup_errors=True))
                resources.callback(self._ray.shutdown)
                with _nowhere():
                    self._ray.init(
                        LOCAL,
                        num_cpus=os.cpu_count(),
                        include_dashboard=False,
                        object_store_memory=_STORE_BYTES,
                        _node_ip_address=_LOOPBACK,
                        _temp_dir=folder,
                        **quiet,
                    )
            else:
                _reach(address)
                resources.callback(self._ray.shutdown)
                self._ray.init(address, **quiet)
        except Exception as err:  # Ray raises a bare one where its processes begin too slowly
            reason = (str(err) or type(err).__name__).splitlines()[0]
            raise ClusterError(
                f"--ray {self._address}: no cluster ({reason}); start one with ray start --head, or use --ray local"
            ) from err
        except SystemExit:  # SIGTERM: Ray has installed its own handler, with its own exit code
            raise SystemExit(128 + signal.SIGTERM) from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)

    def _check_nodes(self) -> None:
        """Refuse a task for which no node is large enough; it would wait forever."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= self.threads and node.get("GPU", 0) >= self._gpus for node in nodes):
            gpus = f" and {self._gpus} GPU" if self._gpus else ""
            raise ClusterError(
                f"--ray {self._address}: none of its {len(nodes)} nodes has {self.threads} CPU{gpus} for a task; start one that has,"
                " or use fewer --threads or another provider"
            )

    def _ready(self, running: dict[Any, range]) -> list[Any]:
        """Wait for a task; return all that are done by then."""
        refs = list(running)
        self._ray.wait(refs, num_returns=1, fetch_local=False)
        ready: list[Any] = self._ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=False)[0]
        return ready

    def _outcome(self, ref: Any) -> Done | _Unseen | None:
        """What a task returned; None if it was lost."""
        errors = self._ray.exceptions
        try:
            outcome: Done | _Unseen = self._ray.get(ref)
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError):
            return None
        except errors.RayError as err:
            cause = getattr(err, "cause", err)
            if isinstance(cause, errors.RayError):
                reason = first_line(str(cause), otherwise=type(cause).__name__)
                raise ClusterError(
                    f"--ray {self._address}: cannot continue ({reason}); complete results are kept: all nodes need"
                    " the same wsra, Ray and Python"
                ) from err
            raise cause from err
        return outcome

    def _cancel(self, refs: list[Any]) -> None:
        """Cancel tasks, with time to remove unfinished files."""
        if refs and self._ray.is_initialized():
            for ref in refs:
                self._ray.cancel(ref, force=False)
            self._ray.wait(refs, num_returns=len(refs), timeout=_CANCEL_S, fetch_local=False)


@dataclass(frozen=True)
class _Unseen:
    path: Path
    node: str

    def refuse(self) -> None:
        """Stop if the file exists here.

        Raises:
            ClusterError: the file exists here, so the node has other storage.
        """
        if self.path.exists():
            raise ClusterError(
                f"{self.path.absolute()}: exists here, but not on the node {self.node}; files, bundle and output must be on storage"
                " that all nodes have at the same path"
            )


def _work_on(work: Work[Any, Any], items: Sequence[Any], seen: Sequence[Path], folder: str, version: str) -> Done | _Unseen:
    """Work on some items in a worker, if it sees the files `seen` and has the same version of wsra as the caller."""
    node = socket.gethostname()
    if _version() != version:
        raise ClusterError(f"the node {node} has wsra {_version()}; expected {version}, as here: install the same on all nodes")
    with contextlib.suppress(OSError):  # without the folder, files with names relative to it are missing too
        os.chdir(folder)
    unseen = next((path for path in seen if not path.exists()), None)
    if unseen is not None:
        return _Unseen(unseen, node)
    return work_on(work, items)


@cache
def _version() -> str:
    return metadata.version("wsra")


@contextlib.contextmanager
def _nowhere() -> Iterator[None]:
    """Keep processes that are started in the block from reaching anything outside by HTTP."""
    before = {name: os.environ.get(name) for name in _NOWHERE}
    os.environ.update(_NOWHERE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _reach(address: str) -> None:
    """Check that an address answers, because Ray would try for minutes.

    Raises:
        OSError: nothing answers.
        ValueError: the address is not HOST:PORT.
    """
    if address == AUTO:
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"{address} is neither HOST:PORT nor {AUTO} nor {LOCAL}")
    socket.create_connection((host, int(port)), timeout=_REACH_S).close()
