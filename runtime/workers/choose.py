"""Opening the pool that the user chose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wsra.runtime.workers.processes import Processes, ThisProcess
from wsra.runtime.workers.protocol import Pool


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
    else:
        yield Processes(jobs) if jobs > 1 else ThisProcess()
