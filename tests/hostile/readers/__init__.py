"""All readers, by name."""

from __future__ import annotations

from hostile.cases import Reader
from hostile.readers.bundles import DamagedBundle, RecordReader, StrangersFiles, StrangersManifest
from hostile.readers.converts import Hdf5Reader, NpyReader, NpzReader, PtReader, PublishedReader
from hostile.readers.encoders import EncoderReader, EngineReader
from hostile.readers.feats import FeatInFolder, FeatReader, KeysReader
from hostile.readers.films import H264, Avi, FragmentedMp4, Mjpeg, Mkv, Mp4, TextAsVideo, Ts, WithGood
from hostile.readers.runs import CameraReader, CheckpointReader, RunReader, TrainReader
from hostile.readers.tables import (
    AnnotationsReader,
    BundleAnnotationsReader,
    CaptionsReader,
    DurationsReader,
    PredictionsReader,
    QueriesReader,
)

_ALL: tuple[type[Reader], ...] = (
    FeatReader,
    FeatInFolder,
    KeysReader,
    DamagedBundle,
    StrangersManifest,
    StrangersFiles,
    RecordReader,
    CaptionsReader,
    AnnotationsReader,
    BundleAnnotationsReader,
    PredictionsReader,
    DurationsReader,
    QueriesReader,
    RunReader,
    TrainReader,
    CheckpointReader,
    NpyReader,
    NpzReader,
    Hdf5Reader,
    PtReader,
    PublishedReader,
    Mp4,
    FragmentedMp4,
    Mkv,
    Avi,
    Ts,
    H264,
    Mjpeg,
    TextAsVideo,
    WithGood,
    EncoderReader,
    CameraReader,
    EngineReader,
)
READERS: dict[str, type[Reader]] = {reader.name: reader for reader in _ALL}
