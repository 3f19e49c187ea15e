"""`wsra bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import (
    DecoderOption,
    DeviceOption,
    FallbackOption,
    JsonOption,
    KernelOption,
    PlanOption,
    PrecisionOption,
    ProviderOption,
    QueriesOption,
    ThreadsOption,
    print_json,
)


def bench(
    inputs: Annotated[
        list[str], typer.Argument(metavar="[BUNDLE] X.feat|VIDEO", help="Bundle (else $WSRA_BUNDLE, ./bundle), features or a video.")
    ],
    queries: QueriesOption = None,
    plan: PlanOption = None,
    hours: Annotated[float | None, typer.Option(min=0.001, max=48, help="Repeat the snippets to so many hours.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How much of a VIDEO is decoded.")] = 30.0,
    precision: PrecisionOption = "auto",
    provider: ProviderOption = "auto",
    allow_fallback: FallbackOption = False,
    threads: ThreadsOption = 0,
    kernel: KernelOption = "auto",
    device: DeviceOption = 0,
    decoder: DecoderOption = "cpu",
    repeats: Annotated[int | None, typer.Option(min=1, help="Rounds; default as many as take some seconds, 5 to 100.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Time every stage on this device, and compare scoring with reading the keys once."""
    from wsra.runtime.archive.request import read_queries
    from wsra.runtime.backends.settings import RunSettings
    from wsra.runtime.bench.report import bench_json, bench_view
    from wsra.runtime.bench.stages import QUERY, BenchRequest, measure
    from wsra.runtime.formats.bundle import default_bundle

    if len(inputs) > 2:
        raise typer.BadParameter(f"got {len(inputs)} arguments; expected [BUNDLE] and one X.feat or VIDEO")
    request = BenchRequest(
        source=Path(inputs[-1]),
        queries=[QUERY] if queries is None else read_queries(queries),
        plan=plan,
        settings=RunSettings(precision, provider, threads, allow_fallback, kernel, device, decoder),
        repeats=repeats,
        first_s=seconds,
        hours=hours,
    )
    measured = measure(default_bundle(Path(inputs[0]) if len(inputs) == 2 else None), request)
    if as_json:
        print_json(bench_json(measured))
    else:
        from wsra.runtime.terminal.display import stdout_console

        stdout_console().print(bench_view(measured))
