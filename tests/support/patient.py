"""`wsra` with limits of time that a busy machine keeps: `python patient.py ARGUMENTS`. They decide nothing where all goes well."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

PATIENCE_S = 300
_OF_RAY = ("RAY_gcs_server_port_wait_time_s", "RAY_worker_register_timeout_seconds")


def be_patient(patch: pytest.MonkeyPatch) -> None:
    """Set the limits of this process and of a cluster that it starts."""
    from wsra.runtime.terminal import signals
    from wsra.runtime.workers import cluster, processes

    for module, name in ((signals, "_AGAIN_S"), (processes, "_CLEAN_S"), (cluster, "_CANCEL_S")):
        patch.setattr(module, name, PATIENCE_S)
    with suppress(ImportError):
        from wsra.runtime.view import running

        patch.setattr(running, "_LAST_S", PATIENCE_S)
    for name in _OF_RAY:
        patch.setenv(name, str(PATIENCE_S))
    connect = cluster.Cluster._connect

    def connected(self: cluster.Cluster, address: str) -> None:
        from ray._private import services  # not before: wsra decides what Ray reads when it is imported

        with pytest.MonkeyPatch.context() as while_it_starts:
            while_it_starts.setattr(services, "get_node", _retried(services.get_node))
            connect(self, address)

    patch.setattr(cluster.Cluster, "_connect", connected)


def _retried(once: Callable[..., Any]) -> Callable[..., Any]:
    """Ray gives a node thirty seconds to begin, by a number within a function; this asks for the node until it is there."""

    def retried(*given: Any) -> Any:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return once(*given)
            except RuntimeError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    return retried


if __name__ == "__main__":
    be_patient(pytest.MonkeyPatch())
    from wsra.runtime.cli import main

    main()
