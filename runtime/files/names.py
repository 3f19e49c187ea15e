"""Names that come from files, before they become paths: a video's is one component, a bundle's file stays in the bundle."""

from __future__ import annotations

from pathlib import Path

from wsra.runtime.errors import WsraError

FEAT = ".feat"
VIDEOS = frozenset(
    {".mp4", ".mov", ".m4v", ".3gp", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".asf", ".flv", ".dav"}
    | {".h264", ".264", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg"}  # bare streams
)
_LONGEST = 255  # bytes of a name; what file systems take
_SHOWN = 60  # letters of a name in a message


def is_component(name: str) -> bool:
    """Whether a name is one component of a path, so that joining it to a folder leads to nothing but an entry of that folder."""
    if name in ("", ".", "..") or any(letter in name for letter in "/\\\0"):
        return False
    try:
        return len(name.encode()) <= _LONGEST
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def is_inside(name: str) -> bool:
    """Whether a name with "/" between its components leads into a folder, never out of it."""
    return all(map(is_component, name.split("/")))


def feat_of(folder: Path, video: str, *, error: type[WsraError], source: object) -> Path:
    """The .feat file of a video that a file names.

    Args:
        folder: of the features.
        video: its name, such as a `vid` of annotations.
        error: kind of what is raised.
        source: the file that names it.

    Raises:
        WsraError: of the given kind; the name is not one component of a path.
    """
    if not is_component(f"{video}{FEAT}") or not is_component(video):
        shown = video if len(video) <= _SHOWN else f"{video[:_SHOWN]}..."
        raise error(f"{source}: a video {shown!r}, which cannot name a file; expected a name of at most 250 bytes, without / and \\")
    return folder / f"{video}{FEAT}"
