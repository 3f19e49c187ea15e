"""Videos as inputs: whether features next to them can be used, and making those that are missing.

Only a request about videos imports this module, and with it decoders and backbones.
"""

from __future__ import annotations

import logging
import os
from functools import partial

from wsra.runtime.archive.inputs import FeatureLocation, Input
from wsra.runtime.archive.sidecar import find_sidecar
from wsra.runtime.backbones.common.protocol import BACKBONE_JSON, Backbone
from wsra.runtime.backbones.detectors.load import CARRIED, DETECTOR_JSON
from wsra.runtime.backbones.registry import backbone_of
from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.errors import OutputError
from wsra.runtime.extraction.batch import extract_features
from wsra.runtime.extraction.provenance import is_extracted, is_of
from wsra.runtime.files.locks import locked, sweep_lock
from wsra.runtime.files.names import FEAT
from wsra.runtime.files.writing import refuse_existing
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.formats.features import write_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.progress import Progress
from wsra.runtime.video.frames import Video

logger = logging.getLogger(__name__)


def locate_of_video(given: Input, grounder: Grounder) -> FeatureLocation:
    """Where the features of a video are, or belong.

    Raises:
        FeatureError: they are of another backbone than the bundle's.
        VideoError: the video cannot be opened.
        OutputError: features are missing, and the folder of the video cannot hold them.
    """
    path = given.path
    feat, features = find_sidecar(path, grounder.manifest.backbone)
    if features is not None:
        grounder.check(features)
        if not is_extracted(features) or is_of(features, path):
            sweep_lock(feat)
            return FeatureLocation(given, feat, missing=False)
        logger.info(f"{path}: changed since it was extracted")
    refuse_existing(feat, overwrite=True)
    with Video(path, height_px=1, frames_per_s=1.0):
        pass
    if not feat.exists() and not os.access(path.parent, os.W_OK):
        raise OutputError(
            f"{path.parent}: not writable, so features cannot be kept there; run wsra extract {path} -o DIR and ground the {FEAT}"
        )
    return FeatureLocation(given, feat, missing=True)


def open_backbone(bundle: Bundle, route: Route, settings: RunSettings) -> Backbone:
    """The backbone of a bundle, on the provider of the route where it has that.

    Raises:
        BackboneError, BackendError, BundleError, MissingExtraError: as `backbone_of`.
    """
    carried = (bundle.folder / BACKBONE_JSON, bundle.folder / CARRIED / DETECTOR_JSON)
    if route.provider == "engine" and any(path.is_file() for path in carried):
        logger.info("engines are of the text and the scorer; ONNX Runtime runs the encoder or detector of videos on the CPU")
    return backbone_of(
        bundle,
        precision=route.precision,
        provider=route.provider,
        threads=settings.threads,
        allow_fallback=settings.allow_fallback,
    )


def extract_missing(location: FeatureLocation, snippet_s: float, backbone: Backbone, progress: Progress) -> None:
    """Make the features of a video and keep them; `progress` is called with the seconds done and all.

    Raises:
        VideoError: it cannot be decoded.
        BackboneError: the encoder gives something else than its JSON says.
        OutputError: the place cannot be written.
    """
    path = location.given.path
    with locked(location.feat, wait=True):
        _, features = find_sidecar(path, backbone.id(snippet_s))
        if features is not None and is_extracted(features) and is_of(features, path):
            return  # another process made them while this one waited
        logger.info(f"extracting {path}; the features are kept in {location.feat}")
        features = extract_features(path, backbone=backbone, snippet_s=snippet_s, progress=partial(progress, "seconds"))
        write_features(location.feat, features)
