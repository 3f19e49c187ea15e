"""metrics.csv of a checkpoint: one row of figures per epoch."""

from __future__ import annotations

import csv
from pathlib import Path

from wsra.runtime.errors import ConfigError
from wsra.runtime.files.reading import read_text

METRICS = "metrics.csv"


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """One row per epoch; an empty list if there is no file yet.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / METRICS
    if not path.exists():
        return []
    hint = "restore it or train again"
    text = read_text(path, error=ConfigError, hint=hint)
    try:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(text.split("\n"))]
    except (ValueError, TypeError, csv.Error) as err:  # TypeError: more or fewer values than names
        raise ConfigError(f"{path}: damaged ({err}); {hint}") from err
