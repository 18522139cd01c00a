"""Where rays meet roads, walkways and kerbs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cosense.geometry.transforms import transform_from_planar
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.surface import KERB_M, Ground, GroundTensors


@pytest.fixture
def street() -> Ground:
    """A road for y < 5, a walkway beyond."""
    ground = Ground()
    ground.paint(np.array([[-100.0, -100], [100, -100], [100, 5], [-100, 5]]), Material.ASPHALT)
    ground.paint(np.array([[-100.0, 5], [100, 5], [100, 100], [-100, 100]]), Material.PAVING)
    return ground


def meet(ground: Ground, direction: list[float], height_m: float = 2.0) -> tuple[float, int, bool]:
    tensors = GroundTensors.of(ground, torch.device("cpu"))
    unit = torch.nn.functional.normalize(torch.tensor([direction]), dim=1)
    range_m, material, kerb = tensors.meet(unit, transform_from_planar(0.0, 0.0, 0.0, height_m))
    return range_m.item(), int(material.item()), bool(kerb.item())


def test_height_and_material(street: Ground) -> None:
    places = np.array([[0.0, 0.0], [0.0, 10.0]])
    assert street.height_at(places).tolist() == [0.0, KERB_M]
    assert street.material_at(places).tolist() == [Material.ASPHALT, Material.PAVING]


def test_a_ray_meets_the_road(street: Ground) -> None:
    assert meet(street, [1.0, 0.0, -1.0]) == (pytest.approx(2 * math.sqrt(2)), Material.ASPHALT, False)


def test_a_ray_meets_the_raised_walkway(street: Ground) -> None:
    # From 2 m height, sloping 1 in 5, the level of the walkway is reached at 5 (2 - kerb) m.
    across = 5 * (2.0 - KERB_M)
    range_m, material, kerb = meet(street, [0.0, 5.0, -1.0])
    assert range_m == pytest.approx(math.hypot(across, 2.0 - KERB_M), abs=1e-4)
    assert (material, kerb) == (Material.PAVING, False)


def test_a_ray_meets_the_face_of_the_kerb(street: Ground) -> None:
    # At y = 5 this ray is at half the height of the kerb.
    range_m, _, kerb = meet(street, [0.0, 5.0, KERB_M / 2 - 2.0])
    assert kerb
    assert range_m == pytest.approx(math.hypot(5.0, 2.0 - KERB_M / 2), abs=0.11)


def test_no_ground_above_the_horizon(street: Ground) -> None:
    assert meet(street, [1.0, 0.0, 0.1])[0] == math.inf
    assert meet(street, [1.0, 0.0, 0.0])[0] == math.inf
