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
    run = subprocess.run([sys.executable, "script.py", level], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=True)
    expected = []
    for number, item in enumerate("abc"):
        expected += [f"INFO wsra.runtime.part {item} begins"] if level == "INFO" else []
        expected += ["WARNING wsra of a library", f"WARNING wsra.runtime.part {item} in another process"] if level != "ERROR" else []
        expected += [f"result {number}"]
    assert [line.split(" (UserWarning")[0] for line in run.stdout.splitlines()] == expected
    assert run.stderr == ""


SIGNALLED = """
import multiprocessing, os, signal, sys, threading
from wsra.runtime.workers.processes import blocked_in_children

def is_blocked(sending):
    sending.send(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))

if __name__ == "__main__":
    if sys.argv[1] == "other":  # a library's thread, which blocks nothing, takes the signal
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    receiving, sending = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("spawn").Process(target=is_blocked, args=(sending,))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ended = False
    try:
        with blocked_in_children(signal.SIGINT):
            os.kill(os.getpid(), signal.SIGINT)
            child.start()
            ended = True
    except KeyboardInterrupt:
        print("started", ended, "blocked in the child", receiving.recv())
    child.join()
"""


@pytest.mark.device
@pytest.mark.parametrize("thread", ["main", "other"])
def test_a_signal_while_a_child_starts_is_not_lost(tmp_path: Path, thread: str) -> None:
    (tmp_path / "script.py").write_text(SIGNALLED)
    run = subprocess.run([sys.executable, "script.py", thread], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=True)
    assert run.stdout == "started True blocked in the child True\n" and run.stderr == ""
