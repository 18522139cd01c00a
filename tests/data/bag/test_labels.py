from __future__ import annotations

import numpy as np
import pytest

from cosense.data.bag import message_types
from cosense.data.bag.dataset import objects_of
from cosense.data.bag.writer import make
from cosense.errors import CosenseError
from cosense.geometry.transforms import quaternion_of, transform_from_quaternion, yaw_of
from cosense.sensing.objects import ObjectClass
from tests.data.bag.bags import START_NS, boxes, header, numbers

BOX = (1.0, -2.0, 0.5, 4.5, 1.8, 1.6, -3.1)


def cube(**fields):
    size = numbers("Vector3", BOX[3:6])
    return make("visualization_msgs/msg/Marker", header=header(START_NS, "map"), scale=size, type=1, **fields)


@pytest.mark.parametrize("yaw", [-np.pi, -1.0, 0.0, 0.3, 3.1])
def test_typed_boxes(yaw):
    _, _, message, _ = boxes(START_NS, "map", (*BOX[:6], yaw), name="Pedestrian")
    objects, frame = objects_of(message)
    assert frame == "map"
    assert (list(objects.ids), list(objects.labels)) == (["17"], [ObjectClass.PEDESTRIAN])
    np.testing.assert_allclose(objects.boxes, [(*BOX[:6], yaw)], atol=1e-12)


def test_the_other_quaternion_of_the_same_turn():
    _, _, message, _ = boxes(START_NS, "map", BOX)
    rotation = message.detections[0].bbox.center.orientation
    rotation.z, rotation.w = -rotation.z, -rotation.w
    objects, _ = objects_of(message)
    np.testing.assert_allclose(objects.boxes, [BOX], atol=1e-12)


def test_a_tilted_box_keeps_its_heading():
    _, _, message, _ = boxes(START_NS, "map", BOX)
    rotation = np.array([0.05, -0.03, 0.6, 0.8])
    rotation /= np.linalg.norm(rotation)
    message.detections[0].bbox.center.orientation = numbers("Quaternion", rotation)
    objects, _ = objects_of(message)
    assert objects.boxes[0, 6] == pytest.approx(yaw_of(transform_from_quaternion([0, 0, 0], rotation)))
    assert quaternion_of(transform_from_quaternion([0, 0, 0], rotation)) == pytest.approx(rotation)


def test_only_cubes_that_are_there_count_among_markers():
    clear = make("visualization_msgs/msg/Marker", header=header(START_NS, "map"), action=3)
    text = make(
        "visualization_msgs/msg/Marker", header=header(START_NS, "map"), type=9, ns="car", text="fast"
    )
    markers = [
        clear,
        cube(ns="traffic_cone", id=4),
        text,
        cube(ns="van", text="v1"),
        cube(ns="car", action=2),
    ]
    objects, frame = objects_of(make(message_types.MARKERS, markers=markers))
    assert frame == "map"
    assert list(objects.labels) == [ObjectClass.TRAFFIC_CONE, ObjectClass.VAN]
    assert list(objects.ids) == ["traffic_cone/4", "v1"]


def test_no_objects():
    objects, frame = objects_of(make(message_types.MARKERS))
    assert (len(objects), frame) == (0, "")
    objects, frame = objects_of(make(message_types.DETECTIONS, header=header(START_NS, "map")))
    assert (len(objects), frame) == (0, "map")


def test_what_cannot_be_a_box():
    with pytest.raises(CosenseError, match="a box has the class 'tank'"):
        objects_of(make(message_types.MARKERS, markers=[cube(ns="tank")]))
    flat = cube(ns="car")
    flat.scale.z = 0.0
    with pytest.raises(CosenseError, match=r"a box of 'car' has size 4.5 x 1.8 x 0.0 m"):
        objects_of(make(message_types.MARKERS, markers=[flat]))
