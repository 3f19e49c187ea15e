"""The search for maximal spans compiled by numba (extra `fast`). Importing numba takes a third of a second."""

from __future__ import annotations

import numba

from wsra.runtime.spans.maximal import search

maximal = numba.njit(cache=True)(search)
