"""The three steps of `wsra ground` as tasks, one file or recording each: look at it, make its features, answer it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from wsra.runtime.archive.answering import Answered, Answerer
from wsra.runtime.archive.cameras import Footage, Recording, footage_of
from wsra.runtime.archive.inputs import Input
from wsra.runtime.archive.sources import Source, extract_source, source_of
from wsra.runtime.backbones.common.protocol import BACKBONE_JSON, Backbone
from wsra.runtime.backbones.detectors.load import CARRIED, DETECTOR_JSON
from wsra.runtime.backbones.registry import backbone_of
from wsra.runtime.backends.routes import Route
from wsra.runtime.device import this_device
from wsra.runtime.errors import FeatureError, OutputError, VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import SpanPlan, open_bundle
from wsra.runtime.formats.features import read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.kernels.choose import KernelName, open_kernel

logger = logging.getLogger(__name__)

Refusal = FeatureError | VideoError | OutputError  # what stops one file, not the rest
_REFUSALS = (FeatureError, VideoError, OutputError)


@dataclass(frozen=True)
class Asked:
    """What every process must know.

    Attributes:
        bundle: its folder.
        route: how it runs.
        queries: sentences.
        top_k: moments per query.
        per_video: moments of one video per query, or None for any number.
        plan: of candidate spans, or None for the bundle's.
        threads: of ONNX Runtime and of the kernel.
        allow_fallback: run on the CPU where the provider cannot be had.
        kernel: what scores snippets, or "auto".
    """

    bundle: Path
    route: Route
    queries: tuple[str, ...]
    top_k: int
    per_video: int | None
    plan: SpanPlan | None
    threads: int
    allow_fallback: bool
    kernel: KernelName = "auto"


@lru_cache(maxsize=1)
def opened(asked: Asked) -> Answerer:
    """The open bundle of this process."""
    grounder = Grounder.of_route(
        open_bundle(asked.bundle, trust_unchanged=True),
        asked.route,
        this_device(),
        threads=asked.threads,
        allow_fallback=asked.allow_fallback,
        kernel=asked.kernel,
        keep_keys=True,
        numbers=0,
    )
    return Answerer(grounder, asked.queries, top_k=asked.top_k, per_video=asked.per_video, plan=asked.plan)


@lru_cache(maxsize=1)
def scoring(asked: Asked, numbers: int) -> Answerer:
    """The same with the kernel for so many numbers of keys, all recordings together."""
    answerer = opened(asked)
    if asked.kernel != "auto" or answerer.grounder.scorer.device != "cpu":
        return answerer
    bundle, route, device = open_bundle(asked.bundle, trust_unchanged=True), asked.route, this_device()
    return answerer.scoring_with(open_kernel(bundle, route, device, on_cpu=True, threads=asked.threads, numbers=numbers))


@lru_cache(maxsize=1)
def backbone_for(asked: Asked) -> Backbone:
    """What makes the features of videos, on the provider of the route where it has that."""
    if asked.route.provider == "engine" and any((asked.bundle / name).is_file() for name in (BACKBONE_JSON, f"{CARRIED}/{DETECTOR_JSON}")):
        logger.info("engines are of the text and the scorer; ONNX Runtime runs the encoder or detector of videos on the CPU")
    return backbone_of(
        open_bundle(asked.bundle, trust_unchanged=True),
        precision=asked.route.precision,
        provider=asked.route.provider,
        threads=asked.threads,
        allow_fallback=asked.allow_fallback,
    )


def forget() -> None:
    """Close what this process holds open."""
    opened.cache_clear()
    scoring.cache_clear()
    backbone_for.cache_clear()


@dataclass(frozen=True)
class Look:
    """What an input is: its features, or where they must be made first; refuses what cannot be used, quickly and without writing."""

    asked: Asked

    def __call__(self, given: Input, /) -> Footage | Source | Refusal:
        """Do it."""
        grounder = opened(self.asked).grounder
        try:
            with one_file(given.path, VideoError):
                source = source_of(given, grounder)
                if source.missing:
                    return source
                if given.root is None and given.path != source.feat:
                    logger.info(f"features {source.feat}")
                return _footage(source)
        except _REFUSALS as err:
            return err

    def reads(self, given: Input, /) -> Sequence[Path]:
        """The input and the bundle."""
        return given.path, self.asked.bundle

    def lost(self, given: Input, why: str, /) -> Refusal:
        """It is left out."""
        return VideoError(f"{given.path}: {why}")


@dataclass(frozen=True)
class Make:
    """The features of a video that has none."""

    asked: Asked

    def __call__(self, source: Source, /) -> Footage | Refusal:
        """Do it."""
        snippet_s, backbone = opened(self.asked).grounder.manifest.snippet_s, backbone_for(self.asked)
        try:
            with one_file(source.given.path, VideoError):
                extract_source(source, snippet_s, backbone)
                return _footage(source)
        except _REFUSALS as err:
            return err

    def reads(self, source: Source, /) -> Sequence[Path]:
        """The video and the bundle."""
        return source.given.path, self.asked.bundle

    def lost(self, source: Source, why: str, /) -> Refusal:
        """It is left out."""
        return VideoError(f"{source.given.path}: {why}")


def _footage(source: Source) -> Footage:
    return footage_of(source.feat, read_features(source.feat), root=source.given.root)


@dataclass(frozen=True)
class Answering:
    """The answers of a recording, one of all whose keys are so many numbers."""

    asked: Asked
    numbers: int

    def __call__(self, recording: Recording, /) -> Answered:
        """Do it."""
        return scoring(self.asked, self.numbers).answer(recording)

    def reads(self, recording: Recording, /) -> Sequence[Path]:
        """Its first file and the bundle; all of them have just been looked at."""
        return recording[0].footage.feat, self.asked.bundle

    def lost(self, recording: Recording, why: str, /) -> Answered:
        """All of it is left out."""
        return Answered(refused=tuple((stretch, FeatureError(f"{stretch.footage.feat}: {why}")) for stretch in recording))
