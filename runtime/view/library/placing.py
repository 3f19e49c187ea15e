"""Which second of which video a time of a camera is: what a click on a heat strip means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsra.runtime.archive.cameras import Footage
from wsra.runtime.archive.search import camera_name
from wsra.runtime.formats.wallclock import instant
from wsra.runtime.view.library.library import Library
from wsra.runtime.view.library.listing import Camera, Listing
from wsra.runtime.view.web.refusals import NotServed


def place_of(library: Library, camera_id: str, at_s: float, near_s: float) -> dict[str, Any]:
    """The answer of /api/at: the video, and its second.

    Args:
        library: the opened folders.
        camera_id: of a camera of the listing.
        at_s: seconds since 1970; of a camera without a clock seconds of its video.
        near_s: as far from a recording as this a time may be; then it is the recording's first or last moment.

    Returns:
        `video`, its id, or None where the video is not here; and `second` of it.

    Raises:
        NotServed: the camera is unknown, or recorded nothing then.
    """
    listing = library.listing()
    camera = next((one for one in listing.cameras if one.id == camera_id), None)
    if camera is None:
        raise NotServed(f"no camera of this page has the id {camera_id[:40]!r}; load the page again")
    places = [(max(begin - at_s, at_s - begin - file.duration_s, 0.0), begin, file) for begin, file in _files(listing, camera)]
    off_s, begin, file = min(places, key=lambda place: place[:2])
    if off_s > near_s:
        raise NotServed(f"{camera.name} has no recording at that time; choose another place of its strip")
    second = min(max(at_s - begin, 0.0), file.duration_s)
    return {"video": library.video_id(file.feat, file.file), "second": second}


def _files(listing: Listing, camera: Camera) -> Iterator[tuple[float, Footage]]:
    """The files of a camera, each with its begin on the axis of the camera's strip."""
    for file in listing.footage:
        if camera_name(file) != camera.name:
            continue
        if not camera.clock:
            yield 0.0, file
        elif file.camera is not None and file.start is not None:
            yield instant(file.start).timestamp(), file
