"""`wsra verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsra.runtime.commands.options import DeviceOption, JsonOption, ProviderOption, ThreadsOption, print_json

if TYPE_CHECKING:
    from wsra.runtime.verification.reports import PictureReport, RouteReport


def verify(
    bundle: Annotated[
        Path | None, typer.Argument(help="A bundle, or a folder of an encoder or a detector; default $WSRA_BUNDLE, else ./bundle.")
    ] = None,
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
    """Check on this device every way to run a bundle, an encoder or a detector: tensors, and the moments that a bundle finds."""
    from wsra.runtime.backbones.registry import holds_graph
    from wsra.runtime.errors import BackendError
    from wsra.runtime.formats.bundle import MANIFEST, default_bundle
    from wsra.runtime.verification.verify import verify_bundle

    folder = default_bundle(bundle)
    if layers:
        _compare_layers(folder, precision, provider, gpu=device, given=data or features, as_json=as_json)
        return
    alone = not (folder / MANIFEST).is_file() and holds_graph(folder)
    if alone and (data or features):
        raise typer.BadParameter("--data and --features are for a bundle; an encoder or a detector finds no moments")
    reports = (
        {}
        if alone
        else verify_bundle(folder, precision=precision, provider=provider, data=data, features=features, threads=threads, gpu=device)
    )
    pictures = check_pictures(folder, precision=precision, provider=provider, threads=threads, gpu=device)
    if not alone:
        reports = time_pictures(folder, reports, pictures, threads=threads, gpu=device)
    if alone and not pictures:
        raise BackendError(f"{folder}: nothing of it runs here but its FP32 graph on the CPU, which is the reference; see wsra doctor")
    if as_json:
        found = {} if alone else {"precisions": {name: report.to_json() for name, report in reports.items()}}
        print_json(found | ({"pictures": {name: report.to_json() for name, report in pictures.items()}} if pictures else {}))
    else:
        from wsra.runtime.terminal.display import stdout_console
        from wsra.runtime.verification.table import pictures_table, verify_table

        for table in ([verify_table(reports)] if reports else []) + ([pictures_table(pictures)] if pictures else []):
            stdout_console().print(table)
    if not (all(report.passed for report in reports.values()) and all(report.passed for report in pictures.values())):
        raise typer.Exit(1)


def check_pictures(
    folder: Path, *, precision: str = "auto", provider: str = "auto", threads: int = 0, gpu: int = 0
) -> dict[str, PictureReport]:
    """Check an encoder or a detector, or the detector that a bundle carries, with pictures of rendered scenes; see `verify_pictures`.

    Raises:
        MissingExtraError: a library is not installed. Of a bundle, whose graphs need none of them, it is only said.
    """
    from wsra.runtime.backbones.detectors.load import CARRIED, DETECTOR_JSON
    from wsra.runtime.backbones.registry import holds_graph
    from wsra.runtime.errors import MissingExtraError
    from wsra.runtime.formats.bundle import MANIFEST
    from wsra.runtime.terminal.console import print_message

    is_bundle = (folder / MANIFEST).is_file()
    if not ((folder / CARRIED / DETECTOR_JSON).is_file() if is_bundle else holds_graph(folder)):
        return {}
    try:
        from wsra.runtime.verification.picture_check import picture_sources, verify_pictures
        from wsra.train.scenes.demo.pictures import scene_pictures
    except ImportError as err:
        missing = MissingExtraError("OpenCV, SciPy or PyAV", "video", "comparing an encoder or a detector")
        if not is_bundle:
            raise missing from err
        print_message(f"{folder / CARRIED} is not compared: {missing}")
        return {}
    sources = picture_sources(folder)
    reports = verify_pictures(sources, scene_pictures, precision=precision, provider=provider, threads=threads, gpu=gpu)
    if reports:
        print_message(f"{sources[0].graph}: has no golden images, and was compared on pictures of rendered scenes, as wsra export does")
    return reports


def time_pictures(
    folder: Path, reports: dict[str, RouteReport], pictures: dict[str, PictureReport], *, threads: int = 0, gpu: int = 0
) -> dict[str, RouteReport]:
    """Time the encoder or the detector of a bundle; see `with_picture_times`. Without the libraries of videos nothing is timed."""
    from wsra.runtime.backbones.common.protocol import BACKBONE_JSON
    from wsra.runtime.backbones.detectors.load import CARRIED, DETECTOR_JSON
    from wsra.runtime.terminal.console import print_message

    if not any((folder / place).is_file() for place in (BACKBONE_JSON, f"{CARRIED}/{DETECTOR_JSON}")):
        return reports
    try:
        from wsra.runtime.verification.picture_times import with_picture_times
    except ImportError as err:
        print_message(f"{folder}: not timed on pictures, for a library of the extra video is missing ({err})")
        return reports
    failed = {report.route.provider for report in pictures.values() if not report.passed}
    return with_picture_times(folder, reports, failed=failed, threads=threads, gpu=gpu)


def _compare_layers(folder: Path, precision: str, provider: str, *, gpu: int, given: Path | None, as_json: bool) -> None:
    """Print where the precisions of a bundle leave FP32.

    Raises:
        ConfigError: an option does not go with --layers, or there is no GPU of that number.
        BackendError: engines are asked for, and no GPU starts.
        MissingExtraError: onnx or Polygraphy is not installed.
        Exit: a layer leaves its limit.
    """
    from importlib.util import find_spec

    from wsra.runtime.device import find_gpu
    from wsra.runtime.errors import BackendError, ConfigError, MissingExtraError
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
    if find_gpu(index=gpu) is None and provider == "engine":
        raise BackendError("--layers --provider engine: no GPU starts here; leave --provider out, and see wsra doctor")
    from wsra.export.layers import compare_bundle

    bundle = open_bundle(folder)
    if precision != "auto":
        bundle.check(precision)
    reports = compare_bundle(bundle, precision, engine=provider == "engine", gpu=gpu)
    if as_json:
        print_json({"layers": [report.to_json() for report in reports]})
    else:
        from wsra.runtime.terminal.display import stdout_console

        for report in reports:
            stdout_console().print(report.line())
    if any(report.first is not None for report in reports):
        raise typer.Exit(1)
