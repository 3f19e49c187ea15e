"""The score curve of a recording as SVG, to stand in a page; it needs no script and no other file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 900, 130
_PLOT, _TOP = 90, 18  # height of the curve, and what stands above it: the numbers of the moments
_COLUMNS = 450
_TICKS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400, 604800)


def curve_svg(
    curve: NDArray[np.float64],
    times_s: NDArray[np.float64],
    duration_s: float,
    *,
    marked: Sequence[tuple[float, float]],
    name: str,
    title: str,
) -> str:
    """The score curve over time, as an SVG element with a title and a description for those who do not see it.

    Args:
        curve: (T,) logit - theta per row; what is below 0 is not drawn.
        times_s: (T, 2) of the rows in seconds.
        duration_s: of the recording.
        marked: start and end of each moment in seconds, the best first; each is drawn as a band with its number.
        name: unique in the page; ids begin with it.
        title: what the curve is of.
    """
    peaks = _peaks(curve, times_s, duration_s)
    tops = [f"{_TOP + _PLOT * (1 - value):.1f}" for value in peaks / max(float(peaks.max()), 1e-9)]
    step = WIDTH / len(tops)
    path = f"M0,{_TOP + _PLOT}" + "".join(f"V{top}H{(place + 1) * step:.1f}" for place, top in enumerate(tops)) + f"V{_TOP + _PLOT}Z"
    bands = "".join(_band(number, start_s, end_s, duration_s) for number, (start_s, end_s) in enumerate(marked, 1))
    highest = float(times_s[int(np.argmax(curve))].mean()) if len(curve) else 0.0
    spans = "; ".join(f"{number}: {clock(start_s)} to {clock(end_s)}" for number, (start_s, end_s) in enumerate(marked, 1))
    described = f"Score over {clock(duration_s)} of recording, highest at {clock(highest)}. " + (
        f"Moments: {spans}." if marked else "No moment is marked."
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-title {name}-desc" width="100%" font-size="12"'
        f' font-family="sans-serif"><title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(described)}</desc>'
        f'{bands}<path d="{path}" fill="#2a8fb0"/>{_axis(duration_s)}</svg>'
    )


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _peaks(curve: NDArray[np.float64], times_s: NDArray[np.float64], duration_s: float) -> NDArray[np.float64]:
    """The highest value, at least 0, in each column of the drawing."""
    step_s = float(np.median(times_s[:, 1] - times_s[:, 0])) if len(times_s) else 1.0
    columns = int(np.clip(round(duration_s / step_s), 1, _COLUMNS))
    peaks = np.zeros(columns)
    column = np.clip((times_s.mean(axis=1) / duration_s * columns).astype(int), 0, columns - 1)
    np.maximum.at(peaks, column, curve)
    return peaks


def _band(number: int, start_s: float, end_s: float, duration_s: float) -> str:
    left = min(WIDTH - 2.0, start_s / duration_s * WIDTH)
    width = max(2.0, min(WIDTH - left, (end_s - start_s) / duration_s * WIDTH))
    opacity = 0.55 if number == 1 else 0.3
    middle = min(WIDTH - 6.0, max(6.0, left + width / 2))
    return (
        f'<rect x="{left:.1f}" y="{_TOP}" width="{width:.1f}" height="{_PLOT}" fill="#e0a100" opacity="{opacity}"/>'
        f'<text x="{middle:.1f}" y="{_TOP - 5}" text-anchor="middle" fill="currentColor">{number}</text>'
    )


def _axis(duration_s: float) -> str:
    """The time axis: about six ticks at round times."""
    base = _TOP + _PLOT
    step_s = next((step for step in _TICKS_S if duration_s / step <= 7), _TICKS_S[-1])
    ticks = [f'<path d="M0,{base}H{WIDTH}" stroke="currentColor" fill="none"/>']
    for number in range(int(duration_s // step_s) + 1):
        x = number * step_s / duration_s * WIDTH
        anchor = "start" if x < 25 else "end" if x > WIDTH - 25 else "middle"
        ticks.append(
            f'<path d="M{x:.1f},{base}v4" stroke="currentColor"/>'
            f'<text x="{x:.1f}" y="{base + 17}" text-anchor="{anchor}" fill="currentColor">{clock(number * step_s)}</text>'
        )
    return "".join(ticks)
