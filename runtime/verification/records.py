"""Keep what `wsra verify` found: write the record of this device, and rename what disagrees with PyTorch. Runs without torch."""

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
from wsra.runtime.verification.reports import RouteReport

logger = logging.getLogger(__name__)


def keep_reports(bundle: Bundle, device: Device, reports: Mapping[str, RouteReport]) -> Bundle:
    """Write the record of this device, and rename what disagrees with PyTorch to `.rejected`.

    Graphs that ran on the CPU and disagree are wrong everywhere, so the bundle loses that precision. Engines that disagree are renamed in
    their folder. A provider that disagrees, and a route that could not run here, are only recorded: `auto` then avoids them.

    Args:
        bundle: an open bundle.
        device: this machine.
        reports: route -> what the gates found.

    Returns:
        The bundle without the precisions that were rejected.
    """
    try:
        logger.info(f"kept in {write_record(bundle, device, {name: report.to_json() for name, report in reports.items()})}")
        for report in reports.values():
            if report.reason is None or not report.ran:
                continue
            precision = report.route.precision
            if report.route.provider == "cpu":
                bundle = reject(bundle, precision, report.reason)
                logger.info(f"{precision} is kept as {bundle.folder / precision}.rejected")
            elif report.route.provider == "engine":
                _reject_engines(engines_here(bundle, device) / precision, report.reason)
    except (OSError, OutputError) as err:
        logger.warning(f"{bundle.folder} cannot be changed ({err})")
    return bundle


def _reject_engines(folder: Path, reason: str) -> None:
    rejected = folder.with_name(f"{folder.name}{REJECTED}")
    shutil.rmtree(rejected, ignore_errors=True)
    (folder / "reason.txt").write_text(f"{reason}\n", encoding="utf-8")
    os.replace(folder, rejected)
    logger.info(f"the engines are kept as {rejected}")
