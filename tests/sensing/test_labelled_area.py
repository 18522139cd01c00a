"""Of what labels say something: directions, and not what they leave open."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.geometry.transforms import transform_from_planar
from cosense.sensing.labelled_area import EVERYWHERE, LabelledArea, Sector


def boxes(*places, size=(4.0, 2.0, 1.5)):
    return np.array([[x, y, -1.0, *size, 0.0] for x, y in places]).reshape(-1, 7)


AROUND = [(10, 0), (10, 9), (10, -9), (-10, 0), (0, 10)]


def test_a_sector_holds_what_is_between_its_directions_also_across_the_back():
    ahead, behind = Sector.of_degrees(-45, 45), Sector.of_degrees(135, 225)
    places = boxes(*AROUND)[:, :2]
    assert ahead.contains(places).tolist() == [True, True, True, False, False]
    assert behind.contains(places).tolist() == [False, False, False, True, False]
    assert Sector.of_degrees(-180, 180).contains(places).all()


def test_a_sector_moves_with_its_sensor():
    moved = Sector.of_degrees(-45, 45).transformed(transform_from_planar(20.0, 0.0, np.pi))
    assert moved.contains(np.array([[10.0, 0.0], [30.0, 0.0]])).tolist() == [True, False]


def test_everywhere_leaves_nothing_open():
    assert EVERYWHERE.covers(boxes(*AROUND)).all()
    assert not EVERYWHERE.leaves_open(boxes(*AROUND)).any()


def test_what_is_found_elsewhere_or_on_an_ignored_object_is_left_open():
    """Kind: a tram that is longer than the box on it, a rack that is smaller."""
    tram, rack = boxes((20, 0), size=(20.0, 2.5, 3.0)), boxes((10, 5), size=(1.0, 0.5, 1.0))
    area = LabelledArea((Sector.of_degrees(-45, 45),), np.concatenate([tram, rack]))
    found = boxes((12, 0), (10.8, 5.2), (12, -4), (-10, 0))
    assert area.leaves_open(found).tolist() == [True, True, False, True]
    assert area.covers(found).tolist() == [True, True, True, False]


def test_two_areas_together_say_what_either_says():
    one = LabelledArea((Sector.of_degrees(-45, 45),), boxes((10, 0)))
    other = LabelledArea((Sector.of_degrees(45, 135),))
    both = one.joined(other)
    assert both.covers(boxes(*AROUND)).tolist() == [True, True, True, False, True]
    assert len(both.ignored) == 1
    assert one.joined(EVERYWHERE).covers(boxes(*AROUND)).all()


def test_written_and_read_it_is_the_same():
    area = LabelledArea((Sector.of_degrees(-45, 45),), boxes((10, 0)))
    again = LabelledArea.from_lists(area.to_lists())
    assert again.sectors == area.sectors
    np.testing.assert_array_equal(again.ignored, area.ignored)
    assert LabelledArea.from_lists(EVERYWHERE.to_lists()).sectors is None


@pytest.mark.parametrize(("first", "last"), [(38, -38), (0, 361), (float("nan"), 3), (-400, -380)])
def test_what_is_no_sector_is_refused(first, last):
    with pytest.raises(ValueError, match="expected degrees"):
        Sector.of_degrees(first, last)
