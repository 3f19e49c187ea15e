"""Checks of names from files before they become paths: a video's name is one component, a bundle's file stays in the bundle."""

from __future__ import annotations

from pathlib import Path

from wsra.runtime.errors import WsraError

FEAT = ".feat"
VIDEOS = frozenset(
    {".mp4", ".mov", ".m4v", ".3gp", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".asf", ".flv", ".dav"}
    | {".h264", ".264", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg"}  # raw streams
)
_LONGEST = 255  # bytes of a name that file systems accept
_SHOWN = 60  # characters of a name in a message


def is_component(name: str) -> bool:
    """Whether a name is one component of a path, so that folder / name is always an entry of that folder."""
    if name in ("", ".", "..") or any(letter in name for letter in "/\\\0"):
        return False
    try:
        return len(name.encode()) <= _LONGEST
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def is_inside(name: str) -> bool:
    """Whether a relative path with "/" between its components stays inside its folder."""
    return all(map(is_component, name.split("/")))


def feat_of(folder: Path, video: str, *, error: type[WsraError], source: object) -> Path:
    """The .feat file of a video whose name comes from a file.

    Args:
        folder: folder of the features.
        video: name of the video, such as a `vid` of annotations.
        error: the exception to raise.
        source: the file that contains the name.

    Raises:
        WsraError: of the given kind; the name is not one component of a path.
    """
    if not is_component(f"{video}{FEAT}") or not is_component(video):
        shown = video if len(video) <= _SHOWN else f"{video[:_SHOWN]}..."
        raise error(f"{source}: a video {shown!r}, which cannot name a file; expected a name of at most 250 bytes, without / and \\")
    return folder / f"{video}{FEAT}"
