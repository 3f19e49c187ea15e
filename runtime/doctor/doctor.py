"""What this machine has, what stops `wsra ground` on it, and what to do; engines are checked without being loaded."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsra.runtime.backends.engines import SIDECAR
from wsra.runtime.backends.libraries import Library, find_libraries
from wsra.runtime.device import Device, find_gpus, this_device
from wsra.runtime.doctor.accelerators import gpu_checks, runtime_checks, tensorrt_checks
from wsra.runtime.doctor.checks import Check, clash_checks, disk_check, library_checks, memory_check, python_check
from wsra.runtime.doctor.cuda import cuda_check
from wsra.runtime.doctor.decoders import decoder_checks
from wsra.runtime.doctor.jetson import ONNXRUNTIME_FIX, is_jetson, jetpack_of, jetson_checks
from wsra.runtime.errors import WsraError
from wsra.runtime.formats.bundle import REJECTED, Bundle, default_bundle, open_bundle
from wsra.runtime.terminal.display import Group, RenderableType, Styled, Table, plain_table

_STYLES = {"ok": "green", "note": "cyan", "trouble": "yellow", "fatal": "bold red"}


def examine(bundle: Path | None, *, gpu: int = 0, root: Path = Path("/")) -> list[Check]:
    """Check everything that grounding needs.

    Args:
        bundle: a bundle to check as well; None stands for $WSRA_BUNDLE, else ./bundle if it exists.
        gpu: number of the GPU, from 0.
        root: folder that holds /proc and /etc; only tests give another one.

    Raises:
        ConfigError: there is no such GPU.
    """
    device, libraries = this_device(root, gpu=gpu), find_libraries()
    opened, bundle_checks = _open(bundle)
    usable = [library for library in libraries if library.new_enough] if device.gpu is not None else []
    engine_checks, fits = _engines(opened, device, [library for library in libraries if library.version]) if opened else ([], False)
    engines_run = bool(usable) and fits
    folder = opened.folder if opened else Path.cwd()
    return [
        python_check((sys.version_info[0], sys.version_info[1])),
        *library_checks(),
        *clash_checks(gpu=device.gpu is not None, install=ONNXRUNTIME_FIX if jetpack_of(device.l4t).startswith("6") else ""),
        *gpu_checks(device, find_gpus(root), root),
        *cuda_check(device),
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
    """Whether `wsra ground` can run, that is, whether no check is fatal."""
    return all(check.state != "fatal" for check in checks)


def doctor_json(checks: list[Check]) -> dict[str, Any]:
    """The checks as JSON."""
    return {"can_ground": can_ground(checks), "checks": [asdict(check) for check in checks]}


def doctor_table(checks: list[Check]) -> Table:
    """The checks as a table; each fix stands below what was found."""
    table = plain_table(show_header=False)
    table.add_column()
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for check in checks:
        style = _STYLES[check.state]
        lines: list[RenderableType] = [check.found]
        if check.fix:
            lines.append(Styled(f"→ {check.fix}", style))
        table.add_row(Styled(check.state, style), check.name, Group(*lines))
    verdict = "wsra ground can run here" if can_ground(checks) else "wsra ground cannot run here: fix what is fatal"
    table.add_row("", "", Styled(verdict, "bold"))
    return table


def _open(given: Path | None) -> tuple[Bundle | None, list[Check]]:
    folder = default_bundle(given)
    is_named = given is not None or bool(os.environ.get("WSRA_BUNDLE"))
    if not is_named and not folder.exists():
        return None, [Check("bundle", "note", "none given, and there is no ./bundle", "to check a bundle as well: wsra doctor BUNDLE")]
    try:
        opened = open_bundle(folder)
    except (WsraError, OSError) as err:
        return None, [Check("bundle", "fatal" if is_named else "trouble", str(err), "copy or export it again, or name another one")]
    entries = opened.manifest.precisions
    good = [name for name, entry in entries.items() if entry.get("passed")]
    failed = [f"{name} failed its gate ({entry.get('reason') or 'no reason given'})" for name, entry in entries.items() if name not in good]
    found = "; ".join([f"{folder} opens, no file changed; {', '.join(good) or 'no precision'} passed", *failed])
    if not good:
        return opened, [Check("bundle", "fatal", found, "export the bundle again: wsra export CHECKPOINT")]
    fix = f"ground uses the others; avoid {', '.join(n for n in entries if n not in good)}, or export again" if failed else ""
    return opened, [Check("bundle", "note" if failed else "ok", found, fix)]


def _engines(bundle: Bundle, device: Device, libraries: list[Library]) -> tuple[list[Check], bool]:
    """One check for each engine of a bundle, and whether one precision can run on engines alone."""
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
    """Why an engine cannot run here, in one line; None if it can."""
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
