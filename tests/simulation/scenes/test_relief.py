"""Roads have the slopes that they are said to have, and what lies beside them begins at their edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cosense.simulation.scenes.relief import Country, Way, lay, shape
from cosense.simulation.scenes.roads import arm_line
from cosense.simulation.scenes.surface import Ground

KERB, EDGE, CROSSFALL = 6.0, 9.0, 0.025
PLAIN = Country(
    grade=0.08,
    crossfall=CROSSFALL,
    bank_m=2.0,
    verge_fall=0.0,
    ditch_m=0.0,
    undulation_m=0.0,
    undulation_span_m=10.0,
    roughness_m=0.0,
    potholes=0,
    kerb_m=0.12,
)
EAST = Way(np.column_stack([np.arange(-190, 190.5, 0.5), np.zeros(761)]), KERB, EDGE)


def laid(
    country: Country = PLAIN,
    ways: tuple[Way, ...] = (EAST,),
    hills: Callable[[np.ndarray], np.ndarray] = lambda xy: 0.0 * xy[:, 0],
) -> Ground:
    ground = Ground()
    lay(ground, country, ways, hills, np.random.default_rng(0))
    return ground


def at(ground: Ground, *places: tuple[float, float]) -> np.ndarray:
    return ground.relief_at(np.array(places, dtype=np.float64))


def test_a_road_up_a_hill_has_its_slope_and_falls_from_its_crown() -> None:
    ground = laid(hills=lambda xy: 0.08 * xy[:, 0])
    along = at(ground, (-60, 0), (0, 0), (50, 0))
    np.testing.assert_allclose(along, [-4.8, 0.0, 4.0], atol=0.005)
    across = at(ground, (50, 5), (50, -5), (50, 8), (50, -8))
    fall = CROSSFALL * KERB - 0.02 * 2
    np.testing.assert_allclose(across - 4.0, [-CROSSFALL * 5] * 2 + [-fall] * 2, atol=0.005)
    normal = ground.normal_at(np.array([[30.0, 3.0]]))[0]
    np.testing.assert_allclose(normal[:2] / normal[2], [-0.08, CROSSFALL], atol=1e-3)


def test_the_kerbs_are_those_of_the_country() -> None:
    ground = laid(replace(PLAIN, kerb_m=0.07))
    assert ground.raise_m.max() == pytest.approx(0.07)
    assert laid(replace(PLAIN, kerb_m=0.0)).raise_m.max() == 0.0


def test_a_bend_falls_to_its_inner_side() -> None:
    bend = np.concatenate([arm_line(np.pi, 100.0, -1 / 120)[:0:-1], arm_line(0.0, 100.0, 1 / 120)])
    ground = laid(ways=(Way(bend, KERB, EDGE),))
    np.testing.assert_allclose(
        at(ground, (0, 5), (0, 0), (0, -5)), [-CROSSFALL * 5, 0, CROSSFALL * 5], atol=0.01
    )


def test_a_crest_is_rounded() -> None:
    ground = laid(hills=lambda xy: -0.08 * np.abs(xy[:, 0]))
    height = at(ground, *[(x, 0.0) for x in range(-60, 61)])
    assert -1.2 < height[60] < -0.5
    assert np.abs(np.diff(height, 2)).max() < 0.08 / 14
    assert height[0] == pytest.approx(-4.8, abs=0.01)


def test_banks_lead_to_the_country_from_the_edge_of_the_walkway() -> None:
    """The country is 5 m higher than the road beside it: the cutting begins at the edge."""
    ground = laid(hills=lambda xy: 5.0 * np.clip((np.abs(xy[:, 1]) - 12) / 2, 0, 1))
    road, edge, bank, far = at(ground, (20, 0), (20, 9), (20, 21), (20, 60))
    assert edge - road == pytest.approx(-CROSSFALL * KERB + 0.02 * 3, abs=0.005)
    assert 1.5 < bank - edge < 2.2
    assert far == pytest.approx(5.0, abs=0.2)


def test_a_ditch_runs_beside_the_road() -> None:
    ground = laid(replace(PLAIN, ditch_m=0.8))
    edge, ditch, beyond = at(ground, (20, 9), (20, 10.7), (20, 13))
    assert 0.5 < edge - ditch < 0.85
    assert beyond == pytest.approx(edge, abs=0.1)


def test_a_junction_is_level_and_lets_go_of_its_arms() -> None:
    ways = tuple(Way(arm_line(h, 190.0, 0.0), KERB, EDGE, level_m=16.0) for h in np.arange(4) * np.pi / 2)
    ground = laid(ways=ways, hills=lambda xy: 0.06 * xy[:, 0])
    grid = np.stack(np.meshgrid(np.arange(-6, 7), np.arange(-6, 7)), axis=2).reshape(-1, 2).astype(float)
    assert np.ptp(ground.relief_at(grid)) < 0.01
    np.testing.assert_allclose(at(ground, (100, 0), (-100, 0), (0, 100)), [6, -6, 0], atol=0.01)


def test_a_road_is_dug_in_as_deep_as_asked() -> None:
    ground = laid(replace(PLAIN, bank_m=6.0), ways=(replace(EAST, sink_m=np.full(len(EAST.line), 5.0)),))
    assert at(ground, (0, 0))[0] == pytest.approx(-5.0, abs=0.01)
    assert -1.5 < at(ground, (0, 30))[0] <= 0.0


def test_lawns_undulate_and_roads_do_not() -> None:
    ground = laid(replace(PLAIN, undulation_m=0.4))
    x = np.arange(-80, 80, 1.0)
    lawn, road = (ground.relief_at(np.column_stack([x, np.full(len(x), y)])) for y in (40.0, 0.0))
    assert 0.15 < np.ptp(lawn) < 0.8
    assert np.ptp(road) < 1e-3


def test_potholes_and_rough_road_are_centimetres() -> None:
    ground = laid(replace(PLAIN, potholes=20, roughness_m=0.004))
    places = (
        np.stack(np.meshgrid(np.arange(-150, 150), np.arange(-8, 9)), axis=2).reshape(-1, 2).astype(float)
    )
    road, smooth = ground.relief_at(places), laid().relief_at(places)
    difference = road - smooth
    assert difference.min() < -0.02
    assert np.abs(difference).max() < 0.09
    assert difference.std() == pytest.approx(0.004, abs=0.002)


def test_the_steepest_road_is_as_steep_as_the_country_says() -> None:
    ground = Ground()
    shape(ground, PLAIN, [EAST], np.random.default_rng(3))
    height = at(ground, *[(x, 0.0) for x in range(-185, 186)])
    assert np.abs(np.diff(height)).max() == pytest.approx(0.08, abs=0.004)
    assert len(ground.relief_mesh()) < 120_000


def test_a_third_of_the_places_is_nearly_level_and_few_are_very_steep() -> None:
    rng = np.random.default_rng(0)
    grade = np.array([Country.drawn(rng).grade for _ in range(600)])
    assert 0.28 < (grade < 0.0125).mean() < 0.39
    assert 0.28 < (grade > 0.04).mean() < 0.39
    assert 0.0 < (grade > 0.08).mean() < 0.06
    assert grade.max() <= 0.12
