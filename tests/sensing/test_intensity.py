"""One scale for all clouds of a sensor: closed-form intensities, in sequences and in streams."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cosense.sensing.intensity import IntensityScale


def of(*values, dtype="f4"):
    return np.array(values, dtype=dtype)


@pytest.mark.parametrize(
    ("dtype", "highest", "full_scale"),
    [
        ("u1", 7, 255),
        ("i1", 7, 255),
        ("u2", 255, 255),
        ("u2", 256, 1023),
        ("u2", 1023, 1023),
        ("u2", 4000, 4095),
        ("u2", 4096, 65535),
        (">u2", 255, 255),
        ("u4", 1_000_000, 1_000_000),
        ("i4", 1, 255),
        ("f4", 1, 1),
        ("f2", 0.5, 1),
        ("f8", 1.0005, 1),
        ("f4", 1.5, 255),
        ("f4", 100, 255),
        ("f8", 4000, 4095),
        ("f4", 65535, 65535),
        ("f8", 1e9, 1e9),
    ],
)
@pytest.mark.parametrize("is_live", [False, True])
def test_the_scale_follows_from_the_type_and_the_range(dtype, highest, full_scale, is_live):
    """Kind: the full scale of intensities is stated nowhere."""
    values = np.array([0, highest / 2, highest]).astype(dtype)
    scale = IntensityScale(None if is_live else [values])
    assert_allclose(scale(values), values.astype("f8") / full_scale, rtol=1e-3, atol=1e-7)
    assert not scale.cut
    is_assumed = full_scale != 1 and np.dtype(dtype).itemsize > 1
    assert len(scale.assumed) == is_assumed


def test_a_material_keeps_its_value_through_a_sequence_in_whatever_order_it_is_read():
    """Kind: a decision per frame: dark frames would be a hundred times brighter than bright ones."""
    dark, bright = of(0.25, 1), of(0.25, 200)
    for order in ([dark, bright], [bright, dark]):
        scale = IntensityScale([dark, bright])
        assert all(scale(cloud)[0] == np.float32(0.25 / 255) for cloud in order)
    assert scale.assumed == ["intensities (float32, up to 200) are divided by 255"]


def test_a_few_glints_do_not_darken_all_and_are_counted():
    """Kind: outliers, as Waymo's, which go up to tens of thousands."""
    glinting = np.append(np.linspace(0.001, 1, 9999), 50_000).astype("f4")
    scale = IntensityScale([glinting])
    assert_array_equal(scale(glinting), np.minimum(glinting, 1))
    assert scale.cut == ["1 of 10000 intensities of a cloud are above 1 and become 1"]
    scale(glinting)
    assert len(scale.cut) == 1


def test_what_a_recorded_sequence_did_not_show_is_cut_and_said_and_what_is_negative_too():
    """Kind: saturation."""
    scale = IntensityScale([of(0, 255)])
    assert_allclose(scale(of(51, 1000, -3)), [0.2, 1, 0])
    assert scale.cut == [
        "1 of 3 intensities of a cloud are above 255 and become 1",
        "1 of 3 intensities of a cloud are below 0 and become 0",
    ]


def test_a_live_stream_decides_once_and_only_upwards():
    """Kind: a stream whose first clouds are dark, or have no intensity yet."""
    scale = IntensityScale()
    assert_array_equal(scale(of(0, 0)), [0, 0])
    assert_array_equal(scale(of(0.5, 1)), [0.5, 1])
    assert not scale.assumed
    assert_allclose(scale(of(51, 255)), [0.2, 1])
    assert_allclose(scale(of(0.5, 1)), [0.5 / 255, 1 / 255])
    few = np.full(2000, 51, "f4")
    few[0] = 4000
    assert_allclose(scale(few)[1:], 0.2)
    assert scale.assumed == ["intensities (float32, up to 255) are from now on divided by 255"]
    assert scale.cut == ["1 of 2000 intensities of a cloud are above 255 and become 1"]


def test_no_values_at_all_are_no_decision():
    for scale in (IntensityScale(), IntensityScale([]), IntensityScale([of()])):
        assert scale(of()).shape == (0,)
        assert_array_equal(scale(of(0, 0.5)), [0, 0.5])
