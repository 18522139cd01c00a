from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosense import topics


@pytest.mark.parametrize(
    ("agent_id", "name"),
    [
        ("vehicle", "vehicle"),
        ("4279", "agent_4279"),
        ("-1", "agent_minus_1"),
        ("a__b", "a_b"),
        ("unit 3", "unit_3"),
        ("é", "agent"),
    ],
)
def test_agent_ids_become_names(agent_id, name):
    assert topics.namespace_of(agent_id) == name


@given(st.text(min_size=1, max_size=20))
def test_every_id_becomes_a_valid_topic(agent_id):
    for topic in (topics.points_topic(agent_id), topics.image_topic(agent_id, agent_id)):
        assert re.fullmatch(r"(/[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*)+", topic)


def test_with_a_channel_each_agent_has_both_topics_of_the_radio_for_itself():
    assert [topics.tx_topic("-1", topic) for topic in topics.V2X] == [
        "/v2x/tx/agent_minus_1/messages",
        "/v2x/tx/agent_minus_1/requests",
    ]
    assert topics.rx_topic("car", topics.V2X_MESSAGES) == "/v2x/rx/car/messages"
