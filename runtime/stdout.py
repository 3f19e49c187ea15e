"""Stdout is for data; what libraries print there on their own goes to stderr."""

from __future__ import annotations

import os
import sys


def claim_stdout() -> None:
    """From now on only Python prints on stdout; what is written to file descriptor 1 itself goes to stderr.

    TensorRT's provider in ONNX Runtime tells its failures there, in the midst of a program's JSON.
    """
    if sys.stdout is not sys.__stdout__ or sys.stdout is None:
        return
    sys.stdout.flush()
    data = os.dup(1)
    os.dup2(2, 1)
    buffering = 1 if os.isatty(data) else -1
    sys.stdout = os.fdopen(data, "w", buffering, encoding=sys.stdout.encoding, errors=sys.stdout.errors)
