"""The interfaces of a task and of a pool that runs tasks, and the choice of a pool: this process, several processes, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol, TypeVar

Place = Literal["process", "machine", "cluster"]
Item = TypeVar("Item")
Result = TypeVar("Result")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Work(Protocol[Item_contra, Result_co]):
    """The work on one item: a frozen dataclass that can be pickled, and that opens what it needs once per process.

    A problem with one item belongs in its result. A `WsraError` stops the whole run.
    """

    def __call__(self, item: Item_contra, /) -> Result_co:
        """The result of one item. It must be safe to do an item twice."""

    def reads(self, item: Item_contra, /) -> Sequence[Path]:
        """Files and folders that a worker must be able to see; the first one names the item."""

    def lost(self, item: Item_contra, reason: str, /) -> Result_co:
        """The result of an item on which worker after worker was lost."""


class Pool(Protocol):
    """Runs tasks."""

    @property
    def place(self) -> Place:
        """Where tasks run. In this process they run one after the other, so they can report their own progress."""

    @property
    def threads(self) -> int:
        """Processors that a task may use; 0 for all."""

    def map(self, work: Work[Item, Result], items: Sequence[Item], *, chunksize: int = 1) -> Iterator[Result]:
        """Work on all items.

        Args:
            work: the work on one item.
            items: the items.
            chunksize: number of items sent together; use more if one item takes less than a few milliseconds.

        Yields:
            One result per item, in order.

        Raises:
            WsraError: the work cannot continue.
        """


class ThisProcess:
    """Runs one task after the other in this process, each when its result is requested."""

    place: Place = "process"
    threads = 0

    def map(self, work: Work[Item, Result], items: Sequence[Item], *, chunksize: int = 1) -> Iterator[Result]:
        """See `Pool`."""
        return map(work, items)


@contextmanager
def open_pool(ray: str | None = None, *, jobs: int = 1, cpus: int = 1, gpus: int = 0) -> Iterator[Pool]:
    """Open a pool.

    Args:
        ray: address of a cluster, see `Cluster`, or None for this machine.
        jobs: number of processes on this machine.
        cpus: CPUs per task on a cluster.
        gpus: GPUs per task on a cluster.

    Raises:
        ClusterError: the cluster cannot be reached, or has no node for such a task.
        MissingExtraError: Ray is not installed.
    """
    if ray is not None:
        from wsra.runtime.workers.cluster import Cluster

        with Cluster(ray, cpus=cpus, gpus=gpus) as cluster:
            yield cluster
    elif jobs > 1:
        from wsra.runtime.workers.processes import Processes

        yield Processes(jobs)
    else:
        yield ThisProcess()
