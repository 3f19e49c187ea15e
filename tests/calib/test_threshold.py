from __future__ import annotations

import numpy as np
import pytest

from wsra.calib.threshold import SHARE, calibrate_theta
from wsra.runtime.errors import DataError

pytestmark = pytest.mark.device


def test_theta_lies_between_background_and_event() -> None:
    curves = [np.array([-4.0, -4.0, -4.0, 6.0]), np.array([-2.0, -2.0, 2.0])]
    assert calibrate_theta(curves) == pytest.approx(-3.0 + SHARE * (4.0 + 3.0))


def test_theta_does_not_depend_on_how_long_the_event_lasts() -> None:
    short, long = np.full(100, -4.0), np.full(100, -4.0)
    short[:3], long[:40] = 5.0, 5.0
    assert calibrate_theta([short]) == calibrate_theta([long])


@pytest.mark.parametrize(("curves", "told"), [([], "without captions"), ([np.zeros(5)], "tells nothing apart")])
def test_what_cannot_be_calibrated(curves: list[np.ndarray], told: str) -> None:
    with pytest.raises(DataError, match=told):
        calibrate_theta(curves)
