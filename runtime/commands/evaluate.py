"""`wsra evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsra.runtime.commands.options import JsonOption, PlanOption, PrecisionOption, ProviderOption, ThreadsOption, print_json


def evaluate(
    source: Annotated[Path, typer.Argument(metavar="MODEL|PREDICTIONS", help="A bundle, or JSON lines of answers.", show_default=False)],
    annotations: Annotated[
        Path,
        typer.Argument(help="JSON lines with relevant_windows, DiDeMo's JSON, UCA's JSON or Charades-STA's text.", show_default=False),
    ],
    protocol: Annotated[Literal["didemo", "charades", "spans"], typer.Option(help="Whose rules; see docs/evaluate.md.")],
    features: Annotated[Path | None, typer.Option(help="Folder of .feat files named by video, for a bundle.")] = None,
    plan: PlanOption = None,
    prior_from: Annotated[Path | None, typer.Option(help="Annotations of the TRAINING split, whose timing the prior fits.")] = None,
    durations: Annotated[Path | None, typer.Option(help="JSON with the durations, for Charades-STA's text: charades.json.")] = None,
    clip_ends: Annotated[bool, typer.Option("--clip-ends", help="Clip true spans to the end of the video.")] = False,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Moments asked of a bundle per query; changes no span.")] = 10,
    seed: Annotated[int, typer.Option(help="Random seed for shuffled queries and bootstrap intervals.")] = 0,
    precision: PrecisionOption = "auto",
    provider: ProviderOption = "auto",
    threads: ThreadsOption = 0,
    predictions_out: Annotated[Path | None, typer.Option(help="Also write the answers as JSON lines.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing --predictions-out.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a bundle or predictions, and compare them with chance, timing alone and shuffled queries."""
    from wsra.runtime.backends.settings import RunSettings
    from wsra.runtime.evaluation.evaluate import EvaluationRequest
    from wsra.runtime.evaluation.evaluate import evaluate as measure
    from wsra.runtime.files.writing import refuse_existing
    from wsra.runtime.formats.predictions import write_predictions
    from wsra.runtime.terminal.console import progress_shown

    if predictions_out is not None:
        refuse_existing(predictions_out, overwrite=overwrite)
    request = EvaluationRequest(
        source=source,
        annotations=annotations,
        protocol=protocol,
        features=features,
        plan=plan,
        prior_from=prior_from,
        durations=durations,
        clip_ends=clip_ends,
        top_k=top_k,
        seed=seed,
        settings=RunSettings(precision, provider, threads),
    )
    with progress_shown() as progress:
        evaluation = measure(request, progress)
    if predictions_out is not None:
        write_predictions(predictions_out, evaluation.annotations, evaluation.answers)
    from wsra.runtime.evaluation.report import evaluation_json, evaluation_view

    if as_json:
        print_json(evaluation_json(evaluation))
        return
    from wsra.runtime.terminal.display import stdout_console

    stdout_console().print(evaluation_view(evaluation))
