"""Calibrations of presence that find everything, or nothing, and old bundles with one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import safe_open

from wsra.runtime.files.tensors import write_tensors
from wsra.runtime.formats.bundle import GOLDEN, MANIFEST, Manifest, sealed_files, write_manifest
from wsra.runtime.formats.presence import KEYS, REFERENCE, Presence

PRESENCE = Presence("captions", hours=2.0, slope=1.0, intercept=0.0, scores=[-1.0, 0.0, 2.0], rates=[40.0, 10.0, 1.0], tail=1.5)
ALWAYS = replace(PRESENCE, intercept=1e6)
NEVER = replace(PRESENCE, intercept=-1e6)


def upgrade(bundle: Path) -> None:
    """Make a bundle of wsra 0.1.0, of manifest version 2, one of today that finds every candidate, as it did."""
    table = json.loads((bundle / MANIFEST).read_text())
    for name in ("format", "version", "seal"):
        del table[name]
    for entry in table["precisions"].values():
        entry["grounding"] |= {"presence": 100.0, "confidence_error": 0.0}
    golden = bundle / GOLDEN
    with safe_open(golden, framework="numpy") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    tensors["check/confidence"] = (~np.isnan(tensors["check/moments"][:, 0])).astype(np.float64)
    write_tensors(golden, tensors, metadata | {"version": "4"})
    keys = np.random.default_rng(0).normal(size=(50, table["key_width"])).astype(np.float16)
    write_tensors(bundle / REFERENCE, {KEYS: keys}, {})
    write_manifest(bundle, Manifest(**table | {"presence": ALWAYS, "files": sealed_files(bundle)}))
