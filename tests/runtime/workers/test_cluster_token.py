"""A cluster that is started here takes work only with its token and on the loopback interface, however it was asked for.

And one that does not start is one line.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from wsra.runtime.errors import ClusterError
from wsra.runtime.workers import cluster

RAY = """
import os

def is_initialized(): return False
def init(address, **settings):
    told = os.environ.get
    said.update(settings, address=address, token=told("RAY_AUTH_TOKEN"), mode=told("RAY_AUTH_MODE"), proxy=told("http_proxy"))
def nodes(): return [{"Alive": True, "Resources": {"CPU": 1}}]
def shutdown(): pass
said = {}
"""


@pytest.fixture(autouse=True)
def _made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up Ray; what a cluster sets is taken back after the test."""
    (tmp_path / "ray.py").write_text(RAY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)  # so that the made-up one is removed after the test
    monkeypatch.delitem(sys.modules, "ray")
    monkeypatch.setattr(cluster, "_reach", lambda _: None)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS", "http_proxy", *cluster._QUIET):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("asked", "address"), [("local", None), ("auto", "local"), ("auto", "127.0.0.1:1"), ("auto", "")])
def test_every_way_to_a_cluster_of_this_machine_needs_a_token(asked: str, address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with cluster.Cluster(asked):
        said = sys.modules["ray"].said
    here = "local" in (asked, address)
    assert said["address"] == ("local" if here else address or "auto")
    assert (said["mode"], len(said["token"] or "")) == (("token", 64) if here else (None, 0))
    assert said.get("_node_ip_address") == ("127.0.0.2" if here else None)
    assert said["proxy"] == ("http://127.0.0.1:9" if here else None) and "http_proxy" not in os.environ


@pytest.mark.parametrize("error", [Exception, RuntimeError, ConnectionError])
def test_a_cluster_that_does_not_start_is_one_line(error: type[Exception], tmp_path: Path) -> None:
    """Ray raises a bare Exception where its processes begin too slowly."""
    (tmp_path / "ray.py").write_text(f"{RAY}\ndef init(*given, **settings): raise {error.__name__}('timed out.\\nMore of it.')\n")
    with pytest.raises(ClusterError, match=r"^--ray local: no cluster \(timed out\.\); start one"), cluster.Cluster("local"):
        pass
