from __future__ import annotations

import numpy as np
import pytest

from wsra.calib.theta import LIFE_SHARE, SHARE, calibrate_lives, calibrate_theta
from wsra.runtime.errors import DataError

pytestmark = pytest.mark.device


def test_theta_lies_between_background_and_event() -> None:
    curves = [np.array([-4.0, -4.0, -4.0, 6.0]), np.array([-2.0, -2.0, 2.0])]
    assert calibrate_theta(curves) == pytest.approx(-3.0 + SHARE * (4.0 + 3.0))


def test_theta_does_not_depend_on_how_long_the_event_lasts() -> None:
    short, long = np.full(100, -4.0), np.full(100, -4.0)
    short[:3], long[:40] = 5.0, 5.0
    assert calibrate_theta([short]) == calibrate_theta([long])


@pytest.mark.parametrize(("curves", "message"), [([], "without captions"), ([np.zeros(5)], "does not discriminate")])
def test_what_cannot_be_calibrated(curves: list[np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        calibrate_theta(curves)


def test_theta_of_lives_lies_between_other_sentences_and_own_ones() -> None:
    """Whatever a few untracked or ambiguous ones score."""
    theta = calibrate_lives([3.0, 3.0, 4.0, 3.0, -50.0], [-7.0, -7.0, -7.0, 3.0, -9.0])
    assert theta == pytest.approx(-7.0 + LIFE_SHARE * 10.0)


@pytest.mark.parametrize(
    ("own", "others", "message"),
    [
        ([], [1.0], "without validation captions of several videos in which something moves"),
        ([1.0], [], "without validation captions of several videos in which something moves"),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], "does not discriminate: train longer"),
        ([1.0], [2.0], r"medians 1\.0000 and 2\.0000"),
    ],
)
def test_what_cannot_be_calibrated_of_lives(own: list[float], others: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        calibrate_lives(own, others)
