"""What a .feat file, a checkpoint or a bundle holds: as facts for JSON, and as a table for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError

from wsra.runtime.errors import ConfigError, DataError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.headers import read_header
from wsra.runtime.formats.bundle import MANIFEST, open_bundle
from wsra.runtime.formats.epochs import read_metrics
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.formats.vocabulary import vocabulary_in
from wsra.runtime.terminal.display import Group, Table, clock, plain_table

CHECKPOINT = "model.safetensors"
FINDS = {  # by the manifest's span_score
    "additive": "spans of snippets, scored by the sum of their logits",
    "pooled": "spans of snippets, pooled before they are scored",
    "lives": "tracked objects, each from its first to its last second in view",
}


def describe(path: Path) -> dict[str, Any]:
    """Read and check a file or folder that wsra wrote.

    Returns:
        Facts by name; `kind` is "features", "checkpoint" or "bundle".

    Raises:
        WsraError: the path is none of these, or it is damaged.
    """
    with one_file(path, DataError):
        if (path / MANIFEST).is_file():
            return _bundle(path)
        if (path / CHECKPOINT).is_file():
            return _checkpoint(path)
        if path.is_dir():
            raise DataError(
                f"{path}: the folder holds neither {MANIFEST} (a bundle) nor {CHECKPOINT} (a checkpoint); expected one of these, or a .feat"
                " file"
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
    # Metadata never replace what was measured, except the length of a snippet.
    return facts | {name: value for name, value in features.extra.items() if name not in facts or name == "snippet_s"}


def _of_snippets(features: Features) -> dict[str, int]:
    gaps = features.times_s[1:, 0] - features.times_s[:-1, 1]
    return {"snippets": len(features), "gaps": int((gaps > 1e-3).sum())}


def _snippet_s(features: Features) -> float | str:
    """The median length of a row; for a file without rows, the length in its metadata."""
    lengths = sorted(features.times_s[:, 1] - features.times_s[:, 0])
    return float(lengths[len(lengths) // 2]) if lengths else features.extra.get("snippet_s", "")


def _checkpoint(path: Path) -> dict[str, Any]:
    try:
        header = read_header(path / CHECKPOINT)
    except (SafetensorError, OSError, ValueError) as err:
        raise ConfigError(f"{path / CHECKPOINT}: cannot be read ({err}); it may be truncated") from err
    if header.metadata.get("format") != "wsra.checkpoint":
        raise ConfigError(f"{path / CHECKPOINT}: a safetensors file that wsra did not write; expected a checkpoint of wsra train")
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
        "presence": {"source": manifest.presence.source, "hours": manifest.presence.hours},
        "text": manifest.text,
        "widths": {"feature": manifest.feature_width, "text": manifest.text_width, "key": manifest.key_width},
        "precisions": manifest.precisions,
        "engines": engines,
        "wsra": manifest.wsra,
        "versions": manifest.versions,
        "bytes": sum((path / name).stat().st_size for name in manifest.files),
    }


def describe_vocabulary(path: Path) -> dict[str, Any]:
    """Read and check the vocabulary of a bundle.

    Returns:
        Its fields by name; `kind` is "vocabulary".

    Raises:
        WsraError: the path is no bundle, the bundle is damaged, or it has no vocabulary.
    """
    with one_file(path, DataError):
        if not (path / MANIFEST).is_file():
            raise DataError(f"{path}: not a bundle, and only bundles have a vocabulary; give a folder written by wsra export")
        vocabulary = vocabulary_in(open_bundle(path))
    if vocabulary is None:
        raise DataError(
            f"{path}: the bundle has no vocabulary; a zero-shot bundle has none, and any other gets one when it is exported anew"
        )
    return {"kind": "vocabulary", **asdict(vocabulary)}


def vocabulary_table(facts: Mapping[str, Any]) -> Table:
    """The words of a vocabulary with their counts, one row per group; of the other words only how many there are.

    Args:
        facts: from `describe_vocabulary`.
    """
    table = _names_and_values()
    table.add_row("captions", f"{facts['captions']:,} ({facts['source']})")
    for group in ("kinds", "colours", "garments", "actions"):
        table.add_row(group, ", ".join(f"{word} {count:,}" for word, count in facts[group].items()) or "none")
    table.add_row("others", f"{len(facts['others']):,} words; --json lists them")
    return table


def info_table(facts: Mapping[str, Any]) -> Table:
    """All facts about a .feat file or a checkpoint, one row each."""
    table = _names_and_values()
    for name, value in facts.items():
        table.add_row(name, value if isinstance(value, str) else json.dumps(value))
    return table


def bundle_table(facts: Mapping[str, Any], speeds_ms: Mapping[str, float]) -> Group:
    """The facts about a bundle that matter to a person.

    Args:
        facts: from `describe`.
        speeds_ms: milliseconds per query of each route that `wsra verify` measured on this device, for example "fp16" or "fp16/engine".
    """
    text, widths = facts["text"], facts["widths"]
    table = _names_and_values()
    table.add_row("finds", f"{FINDS[facts['span_score']]} (plan {facts['plan']}, theta {facts['theta']:.3g})")
    table.add_row("features", f"{facts['backbone']}, {widths['feature']} numbers per row, a snippet every {facts['snippet_s']:g} s")
    table.add_row("sentences", f"{text['encoder']}, pooling {text['pooling']}, at most {text['max_tokens']} tokens")
    table.add_row("keys", f"{widths['key']} numbers per row")
    table.add_row("presence", f"calibrated on {facts['presence']['source']}, {facts['presence']['hours']:.3g} hours without the sentence")
    table.add_row("size", f"{facts['bytes'] / 1e6:.1f} MB, written by wsra {facts['wsra']}")
    for folder, graphs in groupby(facts["engines"], key=lambda plan: str(PurePosixPath(plan).parent)):
        table.add_row("engines", f"{folder} ({', '.join(PurePosixPath(plan).stem for plan in graphs)})")
    if not facts["engines"]:
        table.add_row("engines", "none")
    precisions = plain_table()
    for heading in ("precision", "MB", "gate", "agree %", "ms/query on this device"):
        precisions.add_column(heading, justify="right" if heading in ("MB", "agree %") else "left", overflow="fold")
    for name, entry in facts["precisions"].items():
        precisions.add_row(name, *_precision_row(name, entry, speeds_ms))
    return Group(table, "", precisions)


def _precision_row(name: str, entry: Mapping[str, Any], speeds_ms: Mapping[str, float]) -> tuple[str, str, str, str]:
    """Size, gate, agreement and speed; a foreign manifest may lack the first and the third."""
    grounding = entry.get("grounding")
    speeds = [f"{way}: {ms:.1f}" for way, ms in speeds_ms.items() if way.partition("/")[0] == name]
    return (
        _tenths(entry.get("bytes"), scale=1e6),
        "passed" if entry["passed"] else f"FAILED: {entry.get('reason')}",
        _tenths(grounding.get("agreement") if isinstance(grounding, dict) else None),
        ", ".join(speeds) or "not measured",
    )


def _tenths(value: object, *, scale: float = 1.0) -> str:
    return f"{value / scale:.1f}" if isinstance(value, int | float) and 0 <= value < 1e18 else "-"


def _names_and_values() -> Table:
    table = plain_table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table
