"""Videos: `wsra extract` of a damaged one and a good one, then `ground` over what came out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from hostile.cases import Damage, Reader
from hostile.materials import Materials
from hostile.mutate import boxes, ebml, nals, raw, riff
from hostile.readers.asking import answer_of
from wsra.runtime.errors import VideoError
from wsra.runtime.extraction.batch import extract_batch
from wsra.runtime.formats.features import read_features


class FilmReader(Reader):
    """One kind of film."""

    film: ClassVar[str]
    weight = 0.5

    def lay(self, place: Path) -> None:
        shutil.copyfile(self.materials.films / self.film, place / self.film)

    def made(self, place: Path) -> frozenset[str]:
        return frozenset({"out", f"out/{Path(self.film).stem}.feat"})

    def read(self, place: Path) -> Any:
        (done,) = extract_batch([place / self.film], place / "out")
        if done.error is not None:
            raise VideoError(done.error)
        features = read_features(done.feat)
        found = answer_of(features, self.materials, keep_keys=False)
        return {"shape": features.values.shape, "times": features.times_s.tolist(), "moments": found["moments"]}

    def damage(self, rng: Random, place: Path) -> Damage:
        path = place / self.film
        data = path.read_bytes()
        data, what = self.structure(rng, data) if rng.random() < 0.7 else raw.damaged(rng, data)
        path.write_bytes(data)
        return Damage(what)

    def structure(self, rng: Random, data: bytes) -> tuple[bytes, str]:
        """Damage by the structure of the format."""
        raise NotImplementedError


class Mp4(FilmReader):
    """MP4 with its index."""

    name, film = "MP4", "plain.mp4"
    structure = staticmethod(boxes.damaged)


class FragmentedMp4(FilmReader):
    """MP4 in fragments, as recorders write it."""

    name, film = "MP4, fragmented", "fragmented.mp4"
    structure = staticmethod(boxes.damaged)


class Mkv(FilmReader):
    """Matroska."""

    name, film = "MKV", "plain.mkv"
    structure = staticmethod(ebml.damaged)


class Avi(FilmReader):
    """AVI of MPEG-4."""

    name, film = "AVI", "plain.avi"
    structure = staticmethod(riff.damaged)


class Ts(FilmReader):
    """MPEG-TS."""

    name, film = "MPEG-TS", "plain.ts"
    structure = staticmethod(nals.packets_damaged)


class H264(FilmReader):
    """Bare H.264."""

    name, film = "H.264, bare", "bare.h264"
    structure = staticmethod(nals.damaged)


class Mjpeg(FilmReader):
    """Bare motion JPEG."""

    name, film = "MJPEG, bare", "bare.mjpeg"
    structure = staticmethod(nals.jpeg_damaged)


class TextAsVideo(FilmReader):
    """Playlists and other text under the name of a film, which make FFmpeg open another file."""

    name, film = "text named .mp4", "plain.mp4"
    weight = 0.02

    def damage(self, rng: Random, place: Path) -> Damage:
        neighbour = place / "neighbour.mp4"
        shutil.copyfile(self.materials.films / self.film, neighbour)
        texts = (
            f"ffconcat version 1.0\nfile {neighbour.name}\n",
            f"ffconcat version 1.0\nfile '{neighbour}'\n",
            f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{neighbour.name}\n#EXT-X-ENDLIST\n",
            f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{neighbour}\n#EXT-X-ENDLIST\n",
            f"file {neighbour.name}\n",
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n# {neighbour}",
            f'<?xml version="1.0"?><MPD><Period><BaseURL>{neighbour}</BaseURL></Period></MPD>',
            f"[playlist]\nFile1={neighbour}\n",
        )
        text = rng.choice(texts)
        (place / self.film).write_text(rng.choice(("", "\n", "\ufeff")) + text)
        return Damage(json.dumps(text[:60]), "refused")


class WithGood(FilmReader):
    """A batch: the good film beside a damaged one must be extracted."""

    name, film = "damaged film in a batch", "plain.mp4"
    weight = 0.05

    def __init__(self, materials: Materials) -> None:
        super().__init__(materials)
        self._all = (Mp4(materials), Mkv(materials), Avi(materials), Ts(materials))

    def lay(self, place: Path) -> None:
        for one in self._all:
            one.lay(place)
        shutil.copyfile(self.materials.films / "plain.mkv", place / "zzz-good.mkv")

    def damage(self, rng: Random, place: Path) -> Damage:
        told = [one.damage(rng, place).what for one in self._all]
        for one in self._all:  # names that do not clash
            (place / one.film).rename(place / f"bad-{one.film.replace('.', '-')}{Path(one.film).suffix}")
        return Damage(" | ".join(told))

    def made(self, place: Path) -> frozenset[str]:
        out = {f"out/{path.name}" for path in (place / "out").glob("[!.]*.feat")} if (place / "out").is_dir() else set()
        return frozenset({"out", *out})

    def read(self, place: Path) -> Any:
        bad = sorted(place.glob("bad-*"))
        done = list(extract_batch([*bad, place / "zzz-good.mkv"], place / "out"))
        if done[-1].error is not None or len(done) != len(bad) + 1:
            raise AssertionError(f"the good film was not extracted: {done[-1].error}")
        return read_features(done[-1].feat).values.shape
