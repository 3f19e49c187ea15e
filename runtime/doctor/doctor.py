"""What this machine has, what stops `wsra ground` on it, and what to do; engines are judged without being loaded."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsra.runtime.backends.engines import SIDECAR
from wsra.runtime.backends.libraries import Library, find_libraries, has_cuda_python
from wsra.runtime.device import Device, this_device
from wsra.runtime.doctor.accelerators import gpu_check, runtime_checks, tensorrt_checks
from wsra.runtime.doctor.checks import Check, clash_checks, disk_check, library_checks, memory_check, python_check
from wsra.runtime.doctor.decoders import decoder_checks
from wsra.runtime.doctor.jetson import is_jetson, jetson_checks
from wsra.runtime.errors import WsraError
from wsra.runtime.formats.bundle import REJECTED, Bundle, default_bundle, open_bundle
from wsra.runtime.terminal.display import Group, RenderableType, Styled, Table, plain_table

_STYLES = {"ok": "green", "note": "cyan", "trouble": "yellow", "fatal": "bold red"}


def examine(bundle: Path | None, *, root: Path = Path("/")) -> list[Check]:
    """Look at everything that grounding needs.

    Args:
        bundle: a bundle to look at, too; None is $WSRA_BUNDLE, else ./bundle where it is there.
        root: where /proc, /etc and the like are read; another one only in tests.
    """
    device, libraries = this_device(root), find_libraries()
    opened, bundle_checks = _open(bundle)
    usable = [library for library in libraries if library.new_enough] if device.gpu is not None else []
    engine_checks, fits = _engines(opened, device, [library for library in libraries if library.version]) if opened else ([], False)
    engines_run = bool(usable) and fits and has_cuda_python()
    folder = opened.folder if opened else Path.cwd()
    return [
        python_check((sys.version_info[0], sys.version_info[1])),
        *library_checks(),
        *clash_checks(gpu=device.gpu is not None),
        gpu_check(device, root),
        *jetson_checks(device, root),
        *tensorrt_checks(libraries, device),
        *runtime_checks(device, engines_run=engines_run),
        *decoder_checks(),
        disk_check(folder),
        memory_check(device, jetson=is_jetson(device)),
        *bundle_checks,
        *engine_checks,
    ]


def can_ground(checks: list[Check]) -> bool:
    """Whether `wsra ground` can run: nothing is fatal."""
    return all(check.state != "fatal" for check in checks)


def doctor_json(checks: list[Check]) -> dict[str, Any]:
    """The findings as JSON."""
    return {"can_ground": can_ground(checks), "checks": [asdict(check) for check in checks]}


def doctor_table(checks: list[Check]) -> Table:
    """The findings for people; what to do stands below what was found."""
    table = plain_table(show_header=False)
    table.add_column()
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for check in checks:
        style = _STYLES[check.state]
        told: list[RenderableType] = [check.found]
        if check.fix:
            told.append(Styled(f"→ {check.fix}", style))
        table.add_row(Styled(check.state, style), check.name, Group(*told))
    verdict = "wsra ground can run here" if can_ground(checks) else "wsra ground cannot run here: mend what is fatal"
    table.add_row("", "", Styled(verdict, "bold"))
    return table


def _open(given: Path | None) -> tuple[Bundle | None, list[Check]]:
    folder = default_bundle(given)
    asked = given is not None or bool(os.environ.get("WSRA_BUNDLE"))
    if not asked and not folder.exists():
        return None, [Check("bundle", "note", "none given, and no ./bundle here", "to look at one, too: wsra doctor BUNDLE")]
    try:
        opened = open_bundle(folder)
    except (WsraError, OSError) as err:
        return None, [Check("bundle", "fatal" if asked else "trouble", str(err), "copy or export it again, or name another one")]
    entries = opened.manifest.precisions
    good = [name for name, entry in entries.items() if entry.get("passed")]
    failed = [f"{name} failed its gate ({entry.get('reason') or 'no reason told'})" for name, entry in entries.items() if name not in good]
    told = "; ".join([f"{folder} opens, no file changed; {', '.join(good) or 'no precision'} passed", *failed])
    if not good:
        return opened, [Check("bundle", "fatal", told, "export the bundle again: wsra export CHECKPOINT")]
    fix = f"ground takes the others; leave {', '.join(n for n in entries if n not in good)} out, or export again" if failed else ""
    return opened, [Check("bundle", "note" if failed else "ok", told, fix)]


def _engines(bundle: Bundle, device: Device, libraries: list[Library]) -> tuple[list[Check], bool]:
    """Each engine of a bundle, and whether one precision can run on engines alone."""
    folders = sorted(path.parent for path in bundle.folder.glob(f"engines/*/*/{SIDECAR}") if path.parent.suffix != REJECTED)
    reasons = {folder: _misfit(bundle, folder, device, libraries) for folder in folders}
    fitting = {folder.name for folder, reason in reasons.items() if reason is None}
    checks = []
    for folder, reason in reasons.items():
        name, needed = f"engine {folder.parent.name}/{folder.name}", device.gpu is not None and folder.name not in fitting
        fix = f"wsra build {bundle.folder} --precision {folder.name}" if needed else ""
        checks.append(Check(name, "ok", "fits") if reason is None else Check(name, "trouble" if needed else "note", reason, fix))
    if not folders and device.gpu is not None and libraries:
        checks.append(Check("engines", "note", "none built yet", f"wsra build {bundle.folder}"))
    return checks, bool(fitting)


def _misfit(bundle: Bundle, folder: Path, device: Device, libraries: list[Library]) -> str | None:
    """Why an engine cannot run here, in one line; None when it fits."""
    if device.gpu is None:
        return "there is no GPU to run it"
    if not libraries:
        return "no TensorRT loads here"
    from wsra.runtime.backends.engines import SIDECAR, misfit, read_sidecar

    graphs = {graph: bundle.graph(folder.name, graph) for graph in bundle.graphs}
    try:
        engine = read_sidecar(folder / SIDECAR)
        reasons = [misfit(engine, folder, graphs, device, library.name, library.version) for library in libraries]
    except (WsraError, OSError) as err:
        return str(err)
    return None if None in reasons else reasons[0]
