"""Boxes are drawn into images where they project to."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.testing import assert_allclose

from cosense.geometry.transforms import invert, transform_from
from cosense.sensing.detections import Detections, Source
from cosense.sensing.frame import Camera
from cosense.viewer import colors
from cosense.viewer.image_boxes import edges_of, pictures_of, write_pictures
from tests.viewer.scenes import T_WORLD_UNIT, detections_of, street

K = np.array([[100.0, 0, 160], [0, 100, 90], [0, 0, 1]])
FORWARD = transform_from([[0, -1, 0], [0, 0, -1], [1, 0, 0]], np.zeros(3))
AHEAD = np.array([[10.0, 0, 0, 2, 4, 2, 0]])


def camera() -> Camera:
    return Camera("front", np.full((180, 320, 3), 30, np.uint8), K, FORWARD, 0)


def test_the_edges_of_a_box_are_where_its_corners_project():
    lines = edges_of(AHEAD, K, FORWARD)
    assert lines.shape == (12, 2, 2)
    # The rear is 9 m away, the front 11 m: half of 4 m wide, half of 2 m high.
    expected = {(160 + 100 * y / x, 90 + 100 * z / x) for x in (9, 11) for y in (2, -2) for z in (1, -1)}
    found = np.unique(lines.reshape(-1, 2).round(6), axis=0)
    assert_allclose(found, sorted(expected), atol=1e-5)


def test_what_is_behind_the_lens_is_cut_off():
    around = np.array([[0.0, 0, -2, 8, 2, 1, 0]])
    lines = edges_of(around, K, FORWARD)
    # Four edges along the heading pass the lens, four are ahead of it.
    assert len(lines) == 8
    assert np.isfinite(lines).all()
    assert (lines[..., 1] > 90).all()
    assert len(edges_of(-AHEAD, K, FORWARD)) == len(edges_of(20 * AHEAD, K, FORWARD)) == 0


def test_each_agent_sees_the_boxes_of_the_ego_from_its_own_place():
    frame = street()
    unit = replace(frame.agents["mast"], cameras=(camera(),))
    frame = replace(frame, agents={**frame.agents, "mast": unit})
    T_ego_unit = invert(frame.ego.T_world_agent) @ T_WORLD_UNIT
    centre = (T_ego_unit @ [12.0, 0, 0, 1])[:3]
    late = detections_of(np.array([[*centre, 2.0, 2, 2, 0]]), [Source.LATE])
    (picture,) = pictures_of(frame, late, (320, 180))
    assert (picture.agent_id, picture.camera) == ("mast", "front")
    orange = np.round(255 * np.array(colors.rgba(colors.SOURCES[Source.LATE])[:3]))
    rows, columns = np.nonzero((picture.image == orange).all(axis=2))
    assert abs(columns.mean() - 160) < 3
    assert abs(rows.mean() - 90) < 3
    assert (frame.agents["mast"].cameras[0].image == 30).all()
    small = pictures_of(frame, Detections.empty(), (160, 90))[0]
    assert small.image.shape == (90, 160, 3)


def test_pictures_are_written_side_by_side(tmp_path):
    frame = street()
    unit = replace(frame.agents["mast"], cameras=(camera(), replace(camera(), name="rear")))
    frame = replace(frame, agents={**frame.agents, "mast": unit})
    write_pictures(tmp_path / "new" / "cameras.jpg", pictures_of(frame, Detections.empty(), (160, 90)))
    assert cv2.imread(str(tmp_path / "new" / "cameras.jpg")).shape == (90, 320, 3)
