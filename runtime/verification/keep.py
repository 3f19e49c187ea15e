"""What `wsra verify` found, kept: the record of this device, and what disagrees with PyTorch renamed.

Loads no torch and no onnx: it runs on the device.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from wsra.runtime.backends.routes import engines_here, write_record
from wsra.runtime.device import Device
from wsra.runtime.errors import OutputError
from wsra.runtime.formats.bundle import REJECTED, Bundle, reject
from wsra.runtime.verification.route_check import Entry

logger = logging.getLogger(__name__)


def keep(bundle: Bundle, device: Device, entries: Mapping[str, Entry]) -> Bundle:
    """Keep what was found: the record of this device, and what disagrees with PyTorch renamed to `.rejected`.

    Graphs that ran on the CPU and disagree are wrong everywhere and leave the bundle's precisions; engines are renamed in their folder.
    A provider that disagrees, and whatever could not run here, is kept from `auto` by the record alone.

    Returns:
        The bundle without what was rejected.
    """
    try:
        logger.info(f"kept in {write_record(bundle, device, dict(entries))}")
        for entry in entries.values():
            if entry["passed"] or not entry["ran"]:
                continue
            if entry["provider_asked"] == "cpu":
                bundle = reject(bundle, entry["precision"], entry["reason"])
                logger.info(f"{entry['precision']} is kept as {bundle.folder / entry['precision']}.rejected")
            elif entry["provider_asked"] == "engine":
                _reject_engines(engines_here(bundle, device) / entry["precision"], entry["reason"])
    except (OSError, OutputError) as err:
        logger.warning(f"{bundle.folder} cannot be changed ({err})")
    return bundle


def _reject_engines(folder: Path, reason: str) -> None:
    rejected = folder.with_name(f"{folder.name}{REJECTED}")
    shutil.rmtree(rejected, ignore_errors=True)
    (folder / "reason.txt").write_text(f"{reason}\n", encoding="utf-8")
    os.replace(folder, rejected)
    logger.info(f"the engines are kept as {rejected}")
