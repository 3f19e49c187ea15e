"""Processes of this machine: what they log reaches the handlers of the caller."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import logging, os, sys, warnings
from dataclasses import dataclass
from wsra.runtime.workers.processes import Processes

@dataclass(frozen=True)
class Tell:
    def __call__(self, item):
        logger = logging.getLogger("wsra.runtime.part")
        logger.debug("too small to be sent")
        logger.info(f"{item} begins")
        warnings.warn("of a library")
        logger.warning("%s in another process", item)
        return os.getpid()

if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", stream=sys.stdout, level=getattr(logging, sys.argv[1]))
    processes = set()
    for number, process in enumerate(Processes(2).map(Tell(), ["a", "b", "c"])):
        processes.add(process)
        print("result", number)
    assert os.getpid() not in processes
"""


@pytest.mark.device
@pytest.mark.parametrize("level", ["INFO", "WARNING", "ERROR"])
def test_what_they_log_is_logged_here(tmp_path: Path, level: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    run = subprocess.run([sys.executable, "script.py", level], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    expected = []
    for number, item in enumerate("abc"):
        expected += [f"INFO wsra.runtime.part {item} begins"] if level == "INFO" else []
        expected += ["WARNING wsra of a library", f"WARNING wsra.runtime.part {item} in another process"] if level != "ERROR" else []
        expected += [f"result {number}"]
    assert [line.split(" (UserWarning")[0] for line in run.stdout.splitlines()] == expected
    assert run.stderr == ""
