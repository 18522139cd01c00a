from __future__ import annotations

import pytest

from cosense.cooperation.outcome import Mode, mode_of, no_sensor
from cosense.messages.reports import PeerReport

FEATURES = PeerReport("unit", 900, "features")
OLD = PeerReport("van", 700, "boxes", "features are 200 ms old, the limit is 150")
REFUSED = PeerReport("taxi", 80, "nothing", "1200 ms old, the limit is 1000")


@pytest.mark.parametrize(
    ("fusion", "peers", "missing", "silent", "mode"),
    [
        ("hybrid", [OLD, FEATURES], [], [], Mode("HYBRID")),
        ("hybrid", [OLD, REFUSED], ["bus"], [], None),
        ("late", [PeerReport("unit", 90, "boxes")], [], [], Mode("LATE")),
        (
            "hybrid",
            [PeerReport("unit", 90, "boxes")],
            [],
            [],
            Mode("LATE", "boxes are all that was sent"),
        ),
        ("hybrid", [REFUSED], [], [], Mode("EGO", f"'taxi': {REFUSED.reason}")),
        ("hybrid", [], ["bus"], ["bus", "van"], None),
        ("late", [], [], [], Mode("EGO", "nobody else is there")),
    ],
)
def test_the_mode_is_the_best_that_a_message_was_used_for(fusion, peers, missing, silent, mode):
    found = mode_of(fusion, peers, missing, silent)
    if mode is not None:
        assert found == mode
    elif peers:
        assert found == Mode(
            "LATE", f"'van': {OLD.reason}; 'taxi': {REFUSED.reason}; 'bus' has sent nothing in time"
        )
    else:
        assert found == Mode("EGO", "'bus' has sent nothing in time; 'van' is silent")


def test_a_late_ego_is_named_beside_what_it_lacks():
    found = mode_of("hybrid", [], [], [], behind_ms=296.4)
    assert found == Mode("EGO", "the ego is 296 ms behind the others")


def test_what_the_egos_sensors_lack_is_said_in_every_mode():
    lost = ["camera 'front' has sent nothing"]
    said = lost[0]
    assert mode_of("hybrid", [FEATURES], [], [], lost=lost) == Mode("HYBRID", said)
    assert mode_of("hybrid", [OLD], [], [], lost=lost) == Mode("LATE", f"{said}; 'van': {OLD.reason}")
    assert mode_of("hybrid", [], [], [], lost=lost) == Mode("EGO", f"{said}; nobody else is there")


def test_a_mode_reads_as_a_state_with_its_reason():
    assert str(Mode("HYBRID")) == "HYBRID"
    assert str(no_sensor(1500)) == "NO_SENSOR: the ego has not measured anything for 1.5 s"
    assert str(no_sensor(None)) == "NO_SENSOR: the ego has not measured anything yet"
    paused = "NO_SENSOR: the ego has not measured anything for 6.0 s; /clock stands still"
    assert str(no_sensor(6000, is_paused=True)) == paused
