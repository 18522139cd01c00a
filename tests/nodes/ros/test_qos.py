from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

from rclpy.qos import (
    QoSCompatibility,
    QoSDurabilityPolicy,
    QoSProfile,
    QoSReliabilityPolicy,
    qos_check_compatible,
    qos_profile_sensor_data,
)

from cosense.nodes.ros import qos

# What nodes of others use: the default of rclpy and rclcpp, and drivers of sensors.
DEFAULT = QoSProfile(
    depth=10, reliability=QoSReliabilityPolicy.RELIABLE, durability=QoSDurabilityPolicy.VOLATILE
)
DRIVER = qos_profile_sensor_data


@pytest.mark.parametrize("offer", [qos.REPLAY, qos.V2X, qos.RESULT])
@pytest.mark.parametrize("asked", [DEFAULT, DRIVER])
def test_what_we_publish_is_heard_by_everybody(offer, asked):
    assert qos_check_compatible(offer, asked)[0] != QoSCompatibility.ERROR


@pytest.mark.parametrize(
    "offers", [[qos.REPLAY], [DEFAULT], [DRIVER], [qos.REPLAY, DRIVER], [DEFAULT, qos.V2X]]
)
def test_a_reader_that_adapts_hears_all_publishers_and_asks_for_all_they_have_in_common(offers):
    asked = qos.compatible_with_all(offers, depth=7)
    assert asked.depth == 7
    assert all(qos_check_compatible(offer, asked)[0] != QoSCompatibility.ERROR for offer in offers)
    if offers == [qos.REPLAY]:
        assert (asked.reliability, asked.durability) == (qos.REPLAY.reliability, qos.REPLAY.durability)


@pytest.mark.parametrize("offers", [[], [qos.V2X], [DEFAULT], [DRIVER]])
def test_a_reader_may_ask_for_nothing_of_the_past(offers):
    asked = qos.compatible_with_all(offers, depth=7, from_now_on=True)
    assert asked.durability == QoSDurabilityPolicy.VOLATILE
    assert all(qos_check_compatible(offer, asked)[0] != QoSCompatibility.ERROR for offer in offers)
