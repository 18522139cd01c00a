"""The ground is found below a car's roof and below a mast, whatever stands on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.data import open_dataset
from cosense.sensing.ground import ground_height


def road(height_m: float, rng: np.random.Generator, beams: int = 24) -> np.ndarray:
    """Rings of a LiDAR `height_m` above a flat road, (N,4)."""
    distance = height_m / np.tan(np.deg2rad(np.linspace(3, 40, beams)))
    angle = np.linspace(-np.pi, np.pi, 360, endpoint=False)
    r, a = (grid.reshape(-1) for grid in np.meshgrid(distance, angle))
    z = -height_m + rng.normal(0, 0.02, len(r))
    return np.stack([r * np.cos(a), r * np.sin(a), z, 0 * r], axis=1).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.floats(1.5, 8.0), st.integers(0, 1000))
def test_a_wall_a_bus_and_a_roof_do_not_move_the_ground(height_m: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wall = np.column_stack(
        [np.full(4000, 20.0), rng.uniform(-30, 30, 4000), rng.uniform(-height_m, 3, 4000), np.zeros(4000)]
    )
    roof = np.column_stack([rng.uniform(8, 20, (900, 1)), rng.uniform(3, 5.5, (900, 1))])
    bus = np.column_stack([roof, np.full(900, 3.0 - height_m), np.zeros(900)])
    own_roof = rng.normal([0, 0, -0.5, 0], [0.5, 0.3, 0.01, 0], (3000, 4))
    cloud = np.concatenate([road(height_m, rng), wall, bus, own_roof]).astype(np.float32)
    assert ground_height(cloud) == pytest.approx(-height_m, abs=0.1)


def test_a_few_points_below_the_road_are_reflections() -> None:
    rng = np.random.default_rng(0)
    cloud = road(1.9, rng)
    below = cloud[rng.choice(len(cloud), len(cloud) // 20)] - np.array([0, 0, 1.5, 0], dtype=np.float32)
    assert ground_height(np.concatenate([cloud, below])) == pytest.approx(-1.9, abs=0.05)


def test_no_point_no_ground() -> None:
    assert ground_height(np.zeros((0, 4), np.float32)) == 0.0


def test_ground_of_a_foreign_frame(shared_data: Path) -> None:
    frame = open_dataset(shared_data / "v2xset_frame")[0]
    for agent in frame.agents.values():
        assert agent.objects is not None
        bottoms = agent.objects.boxes[:, 2] - agent.objects.boxes[:, 5] / 2
        assert ground_height(agent.points) == pytest.approx(float(np.median(bottoms)), abs=0.3)
