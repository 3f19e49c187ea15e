"""Choosing and loading a backbone: the built-in `motion`, or an ONNX encoder or detector with its JSON. Imports are lazy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wsra.runtime.backbones.common.protocol import BACKBONE_JSON, BUILT_IN, Backbone, backbone_id
from wsra.runtime.backbones.common.settings_json import find_graph
from wsra.runtime.backbones.detectors.load import CARRIED, DETECTOR_JSON, load_detector
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings, read_settings
from wsra.runtime.backends.settings import ON_CPU, GraphSettings
from wsra.runtime.errors import BackboneError, BundleError, MissingExtraError
from wsra.runtime.formats.bundle import MANIFEST, Bundle, open_bundle
from wsra.runtime.video.frames import Frame, Reading

if TYPE_CHECKING:
    from wsra.runtime.backbones.encoders.onnx_backbone import OnnxBackbone
    from wsra.runtime.backbones.encoders.regions import Regions
    from wsra.runtime.backbones.encoders.tracked import TrackedBackbone
    from wsra.runtime.backbones.tracking.camera import Camera
    from wsra.runtime.backbones.tracking.tracker import Objects


class MotionBackbone:
    """The built-in `motion` features: rows of objects.

    Args (constructor):
        camera: state at the end of the previous file; afterwards the state at the end of this file (`runtime/extraction/continued.py`).

    Raises:
        MissingExtraError: OpenCV or SciPy is not installed.
    """

    def __init__(self, camera: Camera | None = None) -> None:
        try:
            from wsra.runtime.backbones.tracking import motion
        except ImportError as err:
            raise MissingExtraError("OpenCV or SciPy", "video", "extracting features from video") from err
        self._motion = motion
        self._camera = camera

    @property
    def width(self) -> int:
        """Numbers per row."""
        return self._motion.WIDTH

    def id(self, snippet_s: float) -> str:
        """See `backbone_id`."""
        return backbone_id(snippet_s)

    def reads_at(self, snippet_s: float) -> Reading:
        """240 rows; four frames per second, or one per snippet if that is more."""
        return Reading(self._motion.HEIGHT_PX, max(self._motion.FRAMES_PER_S, 1.0 / snippet_s))

    def objects(self, frames: Iterator[Frame], snippet_s: float, seen: Callable[[int], None] | None = None) -> Objects:
        """See `object_rows`."""
        return self._motion.object_rows(frames, snippet_s, self._camera, seen)

    def continuing(self, camera: Camera) -> MotionBackbone:
        """This backbone for the next file of a camera."""
        return MotionBackbone(camera)


@dataclass(frozen=True)
class BackboneChoice:
    """Which backbone to use and how to run it; each extracting process loads it once.

    Attributes:
        name: "motion", X.onnx or X.json (in one folder), or a folder with backbone.json (detector.json for a detector).
        regions: "whole", "grid", "moving" or "tracks"; for encoders.
        run: how its graph runs.
        detector: whether `name` is a detector.
    """

    name: str = BUILT_IN
    regions: Regions = "whole"
    run: GraphSettings = ON_CPU
    detector: bool = False

    def load(self) -> Backbone:
        """See `load_backbone` and `load_detector`."""
        if self.detector:
            return load_detector(self.name, self.run)
        return load_backbone(self.name, self.run, regions=self.regions)


def holds_graph(folder: Path) -> bool:
    """Whether a folder holds an encoder or a detector."""
    return any((folder / name).is_file() for name in (BACKBONE_JSON, DETECTOR_JSON))


def load_backbone(name_or_path: Path | str, run: GraphSettings = ON_CPU, *, regions: Regions = "whole") -> Backbone:
    """Load a backbone.

    Args:
        name_or_path: "motion", X.onnx or X.json (in one folder), a folder with backbone.json, or a bundle that contains one.
        run: how the graph of an encoder runs.
        regions: input of an encoder: "whole", "grid", "moving" or "tracks"; a bundle defines its own.

    Raises:
        BackboneError: there is no backbone, its JSON is wrong, or JSON and graph do not match.
        BackendError: ONNX Runtime refuses the graph, or the provider cannot be had.
        MissingExtraError: a library is not installed.
    """
    if str(name_or_path) == BUILT_IN:
        if regions != "whole":
            raise BackboneError(
                f"--regions {regions} with the motion backbone, which finds what moves by itself: leave --regions out, or give an encoder"
            )
        return MotionBackbone()
    given = Path(name_or_path)
    if (given / MANIFEST).is_file():
        return backbone_of(open_bundle(given), run)
    path = given / BACKBONE_JSON if given.is_dir() else given.with_suffix(".json")
    if given.suffix not in (".onnx", ".json") and not given.is_dir():
        raise BackboneError(f"{given}: not a backbone; expected motion, X.onnx next to X.json, or a folder with {BACKBONE_JSON}")
    settings = read_settings(path)
    graph = find_graph(path, given, graph=settings.graph, sha256=settings.sha256)
    return encoder_backbone(settings, graph, run, regions=regions)


def backbone_of(bundle: Bundle, run: GraphSettings = ON_CPU, *, precision: str = "fp32") -> Backbone:
    """The backbone whose features a bundle accepts.

    Args:
        bundle: an open bundle.
        run: how the graph of its encoder or detector runs; its plan is always the bundle's.
        precision: precision of the image graph, if the bundle contains an encoder; FP32 if that precision has none.

    Raises:
        BundleError: wsra cannot make such features, or the bundle contains another backbone than it names.
        BackboneError, BackendError, MissingExtraError: see `load_backbone`.
    """
    run = replace(run, bundle=bundle.folder)
    required, snippet_s = bundle.manifest.backbone, bundle.manifest.snippet_s
    if required == backbone_id(snippet_s):
        return MotionBackbone()
    place = bundle.folder / CARRIED
    if (place / DETECTOR_JSON).is_file():
        detector = load_detector(place, run)
        if detector.id(snippet_s) != required:
            raise BundleError(f"{place}: makes {detector.id(snippet_s)}, the bundle is for {required}; export it again")
        return detector
    path = bundle.folder / BACKBONE_JSON
    if not path.is_file():
        raise BundleError(f"{bundle.folder}: its backbone is {required}, which wsra does not include; give a .feat file made with it")
    settings = read_settings(path)
    graphs = [bundle.folder / folder / settings.graph for folder in (precision, "fp32")]
    graph = next((graph for graph in graphs if graph.is_file()), None)
    if graph is None:
        raise BundleError(f"{bundle.folder}: {graphs[0].relative_to(bundle.folder)} is missing; copy or export the bundle again")
    try:
        from wsra.runtime.backbones.encoders.onnx_backbone import encoder_id
        from wsra.runtime.backbones.encoders.regions import REGIONS
    except ImportError as err:
        raise MissingExtraError("OpenCV", "video", "extracting features from video") from err
    for regions in REGIONS:
        if encoder_id(settings, regions, snippet_s) == required:
            return encoder_backbone(settings, graph, run, regions=regions)
    raise BundleError(f"{path}: makes {encoder_id(settings, 'whole', snippet_s)}, the bundle is for {required}; export it again")


def encoder_backbone(
    settings: EncoderSettings,
    graph: Path,
    run: GraphSettings = ON_CPU,
    *,
    regions: Regions = "whole",
) -> OnnxBackbone | TrackedBackbone:
    """The backbone of an encoder.

    Args:
        settings: settings of the encoder.
        graph: the ONNX file.
        run: how it runs.
        regions: see `load_backbone`.

    Raises:
        BackboneError: the settings do not match the graph, or the regions do not suit the encoder.
        BackendError, MissingExtraError: see `load_backbone`.
    """
    try:
        from wsra.runtime.backbones.encoders.encoder import Encoder
        from wsra.runtime.backbones.encoders.onnx_backbone import OnnxBackbone
        from wsra.runtime.backbones.encoders.tracked import TrackedBackbone
    except ImportError as err:
        raise MissingExtraError("OpenCV or SciPy", "video", "extracting features from video") from err
    encoder = Encoder(settings, graph, run)
    return TrackedBackbone(encoder) if regions == "tracks" else OnnxBackbone(encoder, regions)
