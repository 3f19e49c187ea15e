"""The content of a .feat file, a checkpoint or a bundle, for `wsra info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from wsra.runtime.errors import ConfigError, DataError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.headers import read_header
from wsra.runtime.formats.bundle import MANIFEST, open_bundle
from wsra.runtime.formats.epochs import read_metrics
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.terminal.display import Table, clock, plain_table

CHECKPOINT = "model.safetensors"


def describe(path: Path) -> dict[str, Any]:
    """Read and check a file or folder of wsra.

    Returns:
        Facts by name; `kind` is "features", "checkpoint" or "bundle".

    Raises:
        WsraError: the path is none of these, or damaged.
    """
    with one_file(path, DataError):
        if (path / MANIFEST).is_file():
            return _bundle(path)
        if (path / CHECKPOINT).is_file():
            return _checkpoint(path)
        if path.is_dir():
            raise DataError(
                f"{path}: a folder without {MANIFEST} (bundle) or {CHECKPOINT} (checkpoint); expected one of these or a .feat file"
            )
        return _features(path)


def _features(path: Path) -> dict[str, Any]:
    features = read_features(path)
    features.check_finite()
    facts = {
        "kind": "features",
        "video": features.video,
        "duration_s": features.duration_s,
        "duration": clock(features.duration_s),
        **(_of_snippets(features) if features.tracks is None else {"rows": len(features), "tracks": len(features.tracks)}),
        "width": features.width,
        "dtype": str(features.values.dtype),
        "snippet_s": _snippet_s(features),
        "backbone": features.backbone,
    }
    # Metadata of the file must not replace facts such as "kind".
    extra = {name: value for name, value in features.extra.items() if name not in facts or name == "snippet_s"}
    return facts | extra


def _of_snippets(features: Features) -> dict[str, int]:
    gaps = features.times_s[1:, 0] - features.times_s[:-1, 1]
    return {"snippets": len(features), "gaps": int((gaps > 1e-3).sum())}


def _snippet_s(features: Features) -> float | str:
    """The median length of a row; if there are no rows, the length in the metadata."""
    lengths = sorted(features.times_s[:, 1] - features.times_s[:, 0])
    return float(lengths[len(lengths) // 2]) if lengths else features.extra.get("snippet_s", "")


def _checkpoint(path: Path) -> dict[str, Any]:
    try:
        header = read_header(path / CHECKPOINT)
    except (SafetensorError, OSError, ValueError) as err:
        raise ConfigError(f"{path / CHECKPOINT}: cannot be read ({err}); it may be truncated") from err
    if header.metadata.get("format") != "wsra.checkpoint":
        raise ConfigError(f"{path / CHECKPOINT}: a safetensors file, but not one of wsra; expected a checkpoint of wsra train")
    rows = read_metrics(path)
    shapes = {name: list(header.entries[name].shape) for name in sorted(header.entries)}
    facts = {"kind": "checkpoint", "tensors": shapes, "epochs": len(rows), "last": rows[-1] if rows else None}
    return {"kind": "checkpoint", **header.metadata} | facts


def _bundle(path: Path) -> dict[str, Any]:
    manifest = open_bundle(path).manifest
    engines = sorted(plan.relative_to(path).as_posix() for plan in path.glob("engines/*/*/*.plan"))
    return {
        "kind": "bundle",
        "backbone": manifest.backbone,
        "snippet_s": manifest.snippet_s,
        "plan": manifest.plan,
        "span_score": manifest.span_score,
        "theta": manifest.theta,
        "text": manifest.text,
        "widths": {"feature": manifest.feature_width, "text": manifest.text_width, "key": manifest.key_width},
        "precisions": manifest.precisions,
        "engines": engines,
        "wsra": manifest.wsra,
        "versions": manifest.versions,
        "bytes": sum((path / name).stat().st_size for name in manifest.files),
    }


def info_table(facts: dict[str, Any]) -> Table:
    """The facts as a table."""
    table = plain_table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value if isinstance(value, str) else json.dumps(value))
    return table
