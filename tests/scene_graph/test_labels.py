"""A label means what the table says it means, as a whole, however it is written."""

from __future__ import annotations

import pytest

from cosense.config import load_yaml
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.graph_file import TABLE, classes_of, label_table, normalised


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("traffic light", NodeClass.POLE),
        ("Lamp_Post", NodeClass.POLE),
        ("TrafficLight", NodeClass.POLE),
        ("tree trunk", NodeClass.TRUNK),
        ("building", NodeClass.WALL),
        ("guard-rail", NodeClass.WALL),
        ("car", NodeClass.VEHICLE),  # COCO
        ("Person_sitting", NodeClass.PERSON),  # KITTI
        ("DontCare", NodeClass.UNKNOWN),
        ("vehicle.bus.bendy", NodeClass.VEHICLE),  # nuScenes
        ("human.pedestrian.adult", NodeClass.PERSON),
        ("TYPE_CYCLIST", NodeClass.RIDER),  # Waymo
        ("Tricyclist", NodeClass.RIDER),  # DAIR-V2X
        ("building  corner ", NodeClass.CORNER),
        ("curb", NodeClass.KERB),
    ],
)
def test_a_known_label_has_its_class(label, kind):
    classes, strange = classes_of([label])
    assert classes == [kind]
    assert not strange


@pytest.mark.parametrize(
    "label", ["", "  ", "car park", "scar", "pole vault", "wallpaper", "unknown car", "floor"]
)
def test_a_part_of_a_label_is_not_enough(label):
    classes, strange = classes_of([label, "car", label])
    assert classes == [NodeClass.UNKNOWN, NodeClass.VEHICLE, NodeClass.UNKNOWN]
    assert strange == {label: 2}


def test_the_table_says_nothing_twice_and_nothing_that_never_matches():
    content = load_yaml(TABLE)
    labels = [label for group in content.values() for label in group]
    assert len(labels) == len(set(labels))
    assert [label for label in labels if normalised(label) != label] == []
    assert {name.upper() for name in content} == {kind.name for kind in NodeClass}
    assert len(label_table()) == len({*labels, *content})
