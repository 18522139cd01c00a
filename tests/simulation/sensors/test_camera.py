"""Images show things where the calibration says, in their colours."""

from __future__ import annotations

import numpy as np
import torch

from cosense.geometry.transforms import transform_from_planar
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.solids import Solid, gather
from cosense.simulation.scenes.surface import Ground, GroundTensors
from cosense.simulation.sensors.camera import CameraModel, render

MODEL = CameraModel((0.0, 0.0, 0.0), 0.15, 90.0, (160, 120))
POSE = transform_from_planar(3.0, -2.0, 0.4, 2.0)
SUN = np.array([0.0, 0.6, 0.8])
GROUND = GroundTensors.of(Ground(), torch.device("cpu"))


def picture(solids: list[Solid]) -> np.ndarray:
    return render(MODEL, gather(solids), GROUND, POSE, SUN, torch.Generator().manual_seed(0)).astype(int)


def test_a_red_post_appears_where_it_projects() -> None:
    at = POSE @ np.array([12.0, 2.0, -1.0, 1.0])
    post = Solid(tuple(at[:3]), (0.8, 0.8, 1.2), Material.METAL, yaw=0.4, colour=(0.9, 0.0, 0.0))
    image = picture([post])
    red = image[:, :, 0] - image[:, :, 1] > 80
    rows, columns = np.nonzero(red)
    corners = np.array(
        [[12 + dx, 2 + dy, -1 + dz, 1] for dx in (-0.4, 0.4) for dy in (-0.4, 0.4) for dz in (-0.6, 0.6)]
    )
    pixels = (MODEL.T_camera_agent @ corners.T)[:3].T @ MODEL.K.T
    u, v = (pixels[:, :2] / pixels[:, 2:]).T
    assert abs(columns.min() - u.min()) <= 1.5
    assert abs(columns.max() - u.max()) <= 1.5
    assert abs(rows.min() - v.min()) <= 1.5
    assert abs(rows.max() - v.max()) <= 1.5


def test_sky_is_above_the_ground() -> None:
    image = picture([])
    assert image[0, :, 2].mean() > image[0, :, 0].mean()
    assert image[-1, :, 1].mean() > image[-1, :, 2].mean()


def test_the_side_towards_the_sun_is_brighter() -> None:
    lit = Solid((3.0, 8.0, 2.0), (4.0, 0.2, 4.0), Material.METAL)

    def brightness(sun: np.ndarray) -> float:
        model = CameraModel((0.0, 0.0, 0.0), 0.0, 90.0, (40, 30))
        pose = transform_from_planar(3.0, -2.0, np.pi / 2, 2.0)
        image = render(model, gather([lit]), GROUND, pose, sun, torch.Generator().manual_seed(0))
        return float(image[15, 20].mean())

    assert brightness(np.array([0.0, -0.8, 0.6])) > brightness(np.array([0.0, 0.8, 0.6])) + 20


def test_houses_have_windows() -> None:
    wall = Solid((13.0, 2.0, 4.0), (0.4, 14.0, 8.0), Material.PLASTER, yaw=0.4)
    plain = Solid((13.0, 2.0, 4.0), (0.4, 14.0, 8.0), Material.CONCRETE, yaw=0.4)
    assert picture([wall])[40:60].std() > 1.5 * picture([plain])[40:60].std()
