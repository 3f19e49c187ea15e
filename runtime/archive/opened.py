"""A bundle that is open: graphs, kernel and, for videos, the backbone; for one question or for many."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from wsra.runtime.backends.records import read_record
from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.formats.bundle import Bundle, open_bundle
from wsra.runtime.grounding.grounder import Grounder

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from wsra.runtime.backbones.common.protocol import Backbone


class OpenBundle:
    """Owns what answering opens. Each part is opened when it is first needed.

    A context manager: the end of its block closes everything.

    Args (constructor):
        folder: the bundle.
        route: the precision and the provider that were chosen.
        settings: how the bundle runs otherwise.
    """

    def __init__(self, folder: Path, route: Route, settings: RunSettings) -> None:
        self.folder, self.route, self.settings = folder, route, settings
        self._owned = ExitStack()
        self._logged = False

    def __enter__(self) -> OpenBundle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close everything, also when closing one part fails."""
        self._owned.close()

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle, its files checked.

        Raises:
            BundleError: it cannot be used.
        """
        return open_bundle(self.folder, trust_unchanged=True)

    @cached_property
    def grounder(self) -> Grounder:
        """What answers.

        Raises:
            BackendError, BundleError, MissingExtraError: as `Grounder.open`.
        """
        grounder = Grounder.of_route(self.bundle, self.route, this_device(gpu=self.settings.device), self.settings, keep_keys=True)
        return self._owned.enter_context(grounder)

    @cached_property
    def backbone(self) -> Backbone:
        """What makes the features of videos; see `open_backbone`."""
        from wsra.runtime.archive.videos import open_backbone

        self._owned.callback(self.__dict__.pop, "backbone", None)  # backbones close when nothing refers to them
        return open_backbone(self.bundle, self.route, self.settings)

    def log_how_it_runs(self) -> None:
        """Once: log what runs, whether the CPU stands in for the provider, and whether the route was verified."""
        if self._logged:
            return
        self._logged, scorer = True, self.grounder.scorer
        logger.info(f"bundle {self.folder} ({self.grounder.precision}, {scorer.provider}, {scorer.device})")
        if self.route.provider != "cpu" and scorer.device == "cpu":
            logger.warning(f"{self.route.name} cannot be had here; ONNX Runtime runs it on the CPU, as --allow-fallback accepts")
        if self.route.name not in read_record(self.bundle, this_device(gpu=self.settings.device)):
            logger.info(
                f"{self.route.name} was not verified on this device; after wsra verify {self.folder} auto takes the fastest that passes"
            )
