"""How high LiDARs sit, and how far they lean."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.sensing.objects import ObjectClass
from cosense.simulation.mounting import Mounting, check_tilt, on_mast, on_vehicle
from cosense.simulation.scenes.bodies import make_body


def test_positive_angles_lean_forward_and_to_the_right() -> None:
    T = Mounting(1.0, 2.0, *np.radians([3.0, 5.0])).T_carrier_sensor
    np.testing.assert_allclose(T[:3, 3], [1.0, 0.0, 2.0])
    assert np.degrees(np.arcsin(-T[2, 0])) == pytest.approx(5.0)
    assert T[2, 1] == pytest.approx(np.sin(np.radians(3.0)) * np.cos(np.radians(5.0)))
    np.testing.assert_allclose(Mounting().T_carrier_sensor, np.eye(4))


def test_heights_and_places_on_vehicles() -> None:
    for label in (ObjectClass.CAR, ObjectClass.VAN, ObjectClass.TRUCK):
        for seed in range(40):
            rng = np.random.default_rng(seed)
            body = make_body(label, rng)
            mounting = on_vehicle(body, None, rng)
            assert 1.5 <= mounting.height_m <= 2.6
            # Above the roof, or in front of a body that is too tall: never inside.
            assert mounting.height_m > body.size[2] or mounting.forward_m > body.size[0] / 2
            if body.size[2] < 2.1:
                assert abs(mounting.forward_m) < body.size[0] / 5


def test_tilt_is_drawn_once_or_given() -> None:
    drawn = np.degrees([(m.roll_rad, m.pitch_rad) for m in map(mast, range(400))])
    assert np.abs(drawn).max() <= 5.0 + 1e-9
    assert drawn.std() == pytest.approx(2.4, abs=0.3)
    assert np.abs(drawn.mean(axis=0)).max() < 0.4
    given = np.degrees([(m.roll_rad, m.pitch_rad) for m in (mast(seed, 5.0) for seed in range(40))])
    np.testing.assert_allclose(np.abs(given), 5.0)
    assert len(np.unique(np.round(given), axis=0)) == 4
    assert mast(3, 0.0) == Mounting()


def mast(seed: int, tilt_deg: float | None = None) -> Mounting:
    return on_mast(tilt_deg, np.random.default_rng(seed))


@pytest.mark.parametrize("tilt_deg", [-1.0, 40.0, float("nan")])
def test_a_tilt_that_is_none_is_refused(tilt_deg: float) -> None:
    with pytest.raises(CosenseError, match="expected 0 to 15 degrees"):
        check_tilt(tilt_deg)
    check_tilt(None)
