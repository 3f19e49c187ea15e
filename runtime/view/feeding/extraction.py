"""The features of one video after the other, with a backbone of its own, so that questions are answered meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable

from wsra.runtime.archive.inputs import Input, MissingFeatures, find_sidecar
from wsra.runtime.backbones.common.protocol import Backbone
from wsra.runtime.backends.choice import choose
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.errors import OutputError, VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import Bundle

Seen = Callable[[float, float | None], None]  # seconds done, and all where they are known


class Extraction:
    """Makes features. Used by one thread, because a GPU's libraries tie what they open to a thread.

    Args (constructor):
        bundle: whose features are wanted.
        settings: how it runs.
    """

    def __init__(self, bundle: Bundle, settings: RunSettings) -> None:
        self._bundle, self._settings = bundle, settings
        self._backbone: Backbone | None = None

    def extract(self, given: Input, seen: Seen) -> None:
        """Make the features of a video, and keep them beside it; nothing half made is left, whatever happens.

        Args:
            given: the video.
            seen: called after each snippet; what it raises ends the extraction.

        Raises:
            VideoError: the video cannot be decoded.
            OutputError: the features cannot be kept there.
            BackboneError, BackendError, BundleError, MissingExtraError: the backbone cannot be opened or used.
        """
        from wsra.runtime.archive.videos import extract_missing, open_backbone

        if self._backbone is None:
            route = choose(self._bundle, this_device(gpu=self._settings.device), self._settings)
            self._backbone = open_backbone(self._bundle, route, self._settings)
        path, manifest = given.path, self._bundle.manifest
        with one_file(path, VideoError):
            feat, _ = find_sidecar(path, manifest.backbone)
            if not feat.exists() and not os.access(path.parent, os.W_OK):
                raise OutputError(
                    f"{path.parent}: not writable, so features cannot be kept there; allow this user to write, or copy the video"
                )
            seen(0.0, None)
            missing, decoder = MissingFeatures(given, feat), self._settings.decoder
            extract_missing(missing, manifest.snippet_s, self._backbone, decoder, lambda _, done, total: seen(done, total))

    def rest(self) -> None:
        """Free the backbone until it is needed again."""
        self._backbone = None
