"""The paper's pooled score of all windows of a ladder, for kernels that score rows of keys.

Shapes: N windows, Q sentences, H key width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wsra.runtime.kernels.protocol import Array32, Kernel
from wsra.runtime.spans.sums import Rows, ladder_means
from wsra.runtime.spans.windows import Rung


def logits_of_means(kernel: Kernel, rows: Rows, ladder: Sequence[Rung], text: Array32) -> list[Array32]:
    """Logits (Q, N) of the mean keys of each rung's windows, some windows at a time."""
    logits = [np.empty((len(text), rung.windows), np.float32) for rung in ladder]
    for number, first, means in ladder_means(rows, ladder):
        logits[number][:, first : first + len(means)] = kernel.logits(means, text)
    return logits
