"""`wsra verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import DeviceOption, JsonOption, ProviderOption, ThreadsOption, print_json


def verify(
    bundle: Annotated[Path | None, typer.Argument(help="The bundle; default $WSRA_BUNDLE, else ./bundle.")] = None,
    precision: Annotated[str, typer.Option(help="auto (all), fp32, fp16 or int8.")] = "auto",
    provider: ProviderOption = "auto",
    data: Annotated[Path | None, typer.Option(help="Labelled queries, as JSON lines with relevant_windows; give --features, too.")] = None,
    features: Annotated[Path | None, typer.Option(help="Folder of the .feat files of their videos.")] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Instead, compare every layer of a precision with FP32, and name the first that leaves it.")
    ] = False,
    threads: ThreadsOption = 0,
    device: DeviceOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Check on this device every way to run a bundle: its tensors, and the moments it finds."""
    from wsra.runtime.formats.bundle import default_bundle
    from wsra.runtime.verification.verify import verify_bundle

    if layers:
        _compare_layers(default_bundle(bundle), precision, provider, given=data or features, as_json=as_json)
        return
    reports = verify_bundle(
        default_bundle(bundle), precision=precision, provider=provider, data=data, features=features, threads=threads, gpu=device
    )
    if as_json:
        print_json({"precisions": {name: report.to_json() for name, report in reports.items()}})
    else:
        from wsra.runtime.terminal.display import stdout_console
        from wsra.runtime.verification.table import verify_table

        stdout_console().print(verify_table(reports))
    if not all(report.passed for report in reports.values()):
        raise typer.Exit(1)


def _compare_layers(folder: Path, precision: str, provider: str, *, given: Path | None, as_json: bool) -> None:
    """Print where the precisions of a bundle leave FP32.

    Raises:
        ConfigError: an option does not go with --layers.
        MissingExtraError: onnx or Polygraphy is not installed.
        Exit: a layer leaves its limit.
    """
    from importlib.util import find_spec

    from wsra.runtime.errors import ConfigError, MissingExtraError
    from wsra.runtime.formats.bundle import open_bundle

    if given is not None:
        raise ConfigError("--layers compares tensors and needs no labelled queries; leave --data and --features away")
    if provider not in ("auto", "cpu", "engine") or precision == "fp32":
        raise ConfigError(
            f"--layers with --provider {provider} --precision {precision}: expected auto, cpu or engine, and auto, fp16 or int8, which are"
            " compared with fp32 on the CPU"
        )
    for library in ("onnx", "onnxruntime", "polygraphy"):
        if find_spec(library) is None:
            raise MissingExtraError(library, "layers", "wsra verify --layers")
    from wsra.export.layers import compare_bundle

    bundle = open_bundle(folder)
    if precision != "auto":
        bundle.check(precision)
    reports = compare_bundle(bundle, precision, engine=provider == "engine")
    if as_json:
        print_json({"layers": [report.to_json() for report in reports]})
    else:
        from wsra.runtime.terminal.display import stdout_console

        for report in reports:
            stdout_console().print(report.line())
    if any(report.first is not None for report in reports):
        raise typer.Exit(1)
