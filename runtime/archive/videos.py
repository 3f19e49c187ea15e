"""Videos as inputs: whether features next to them can be used, and making those that are missing.

Only a request about videos imports this module, and with it decoders and backbones.
"""

from __future__ import annotations

import logging
import os
from functools import partial

from wsra.runtime.archive.cameras import Footage, footage_of
from wsra.runtime.archive.catalogue import Catalogue
from wsra.runtime.archive.inputs import Check, Input, MissingFeatures, find_sidecar
from wsra.runtime.backbones.common.protocol import Backbone
from wsra.runtime.backbones.registry import backbone_of
from wsra.runtime.backends.choice import choose_for_pictures
from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import GraphSettings, RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.errors import OutputError
from wsra.runtime.extraction.batch import extract_features, warning
from wsra.runtime.extraction.provenance import is_extracted, is_of
from wsra.runtime.files.locks import locked, sweep_lock
from wsra.runtime.files.names import FEAT
from wsra.runtime.files.writing import refuse_existing
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.formats.features import write_features
from wsra.runtime.progress import Progress
from wsra.runtime.video.frames import Video

logger = logging.getLogger(__name__)


def look_at_video(given: Input, backbone: str, check: Check, catalogue: Catalogue) -> Footage | MissingFeatures:
    """The features of a video, or where they are to be kept.

    Args:
        given: the video.
        backbone: as the rest, see `look`.
        check: of the bundle.
        catalogue: of what .feat files hold.

    Raises:
        FeatureError: they are of another backbone than the bundle's.
        VideoError: the video cannot be opened.
        OutputError: features are missing, and the folder of the video cannot hold them.
    """
    path, summary, origin = given.path, None, None
    if given.entry is not None:
        feat, summary, origin = path.with_suffix(FEAT), given.entry.summary, given.entry.origin
    else:
        feat, summary = find_sidecar(path, backbone, catalogue.summary)
    if summary is not None:
        check(summary)
        if not is_extracted(summary) or is_of(summary, path):
            if given.folder is None or f".{feat.name}.lock" in given.folder.names:
                sweep_lock(feat)
            if given.root is None:
                logger.info(f"features {feat}")
            return footage_of(feat, summary, root=given.root, file=path, origin=origin, folder=given.folder)
        logger.info(f"{path}: changed since it was extracted")
    refuse_existing(feat, overwrite=True)
    with Video(path, height_px=1, frames_per_s=1.0):
        pass
    if not feat.exists() and not os.access(path.parent, os.W_OK):
        raise OutputError(
            f"{path.parent}: not writable, so features cannot be kept there; run wsra extract {path} -o DIR and ground the {FEAT}"
        )
    return MissingFeatures(given.bare(), feat)


def open_backbone(bundle: Bundle, route: Route, settings: RunSettings) -> Backbone:
    """The backbone of a bundle, on the provider of the route, or with the provider "auto" on the route that is the fastest for pictures.

    If the provider was chosen by "auto" and has nothing for the backbone, such as no plan of a detector, ONNX Runtime runs it on the CPU,
    with a message.

    Raises:
        BackboneError, BackendError, BundleError, MissingExtraError: as `backbone_of`.
    """
    route, ms_per_picture = choose_for_pictures(bundle, this_device(gpu=settings.device), settings, route)
    if ms_per_picture is not None:
        logger.info(f"video: {route.name}, {ms_per_picture:.2f} ms a picture")
    may_fall_back = settings.allow_fallback or settings.provider == "auto"
    run = GraphSettings(route.provider, settings.threads, may_fall_back, settings.device)
    return backbone_of(bundle, run, precision=route.precision)


def extract_missing(location: MissingFeatures, snippet_s: float, backbone: Backbone, decoder: str, progress: Progress) -> None:
    """Make the features of a video and keep them.

    Args:
        location: the video, and where its features are kept.
        snippet_s: length of a snippet in seconds.
        backbone: what makes them.
        decoder: see `open_video`; a message says why the CPU decodes instead.
        progress: called with the seconds done and all.

    Raises:
        VideoError: it cannot be decoded.
        BackboneError: the encoder gives something else than its JSON says.
        OutputError: the place cannot be written.
    """
    path = location.given.path
    with locked(location.feat, wait=True):
        _, known = find_sidecar(path, backbone.id(snippet_s))
        if known is not None and is_extracted(known) and is_of(known, path):
            return  # another process made them while this one waited
        logger.info(f"extracting {path}; the features are kept in {location.feat}")
        features = extract_features(path, backbone=backbone, snippet_s=snippet_s, decoder=decoder, progress=partial(progress, "seconds"))
        write_features(location.feat, features)
        if (problem := warning(features, decoder)) is not None:
            logger.warning(f"{path}: {problem}")
