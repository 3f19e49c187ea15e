"""The stock bundle: what `wsra ground` asks where no bundle is given. Its place in the cache; `wsra.export.stock` makes it."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "stock-2"  # counted up with its weights


def stock_folder() -> Path:
    """Where the stock bundle of this version lies: in $XDG_CACHE_HOME/wsra, else in ~/.cache/wsra."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wsra" / NAME
