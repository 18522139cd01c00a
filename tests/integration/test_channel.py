"""A run whose messages take the channel: it loses all, delays all, passes garbage on, and dies."""

from __future__ import annotations

import os
import signal

import pytest

from cosense import topics
from cosense.cooperation.gate import AdmissionSettings
from cosense.cooperation.peers import SynchroniserSettings
from cosense.cooperation.radio import RadioSettings
from cosense.evaluation.run_files import read_fused_frames
from cosense.json_lines import read_lines
from cosense.runs.frame_source import FrameSource
from cosense.runs.scenario import PlayerSettings, Scenario, resolved
from cosense.runs.supervisor import Progress
from tests.integration.supervised import Stranger, run_supervised
from tests.nodes.tiny import write_scene, write_sharing_model

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
pytestmark = pytest.mark.clock

# To set parameters takes seconds where the machine is busy, and frames are fused meanwhile.
FRAMES, DEAF_UNTIL, HEARD = 44, 6, 9
GARBAGE = b"garbage"


def test_the_link_decides_what_the_ego_hears(tmp_path, stranger: Stranger):
    scenario = Scenario(
        source=FrameSource(data=write_scene(tmp_path / "scene", FRAMES)),
        model=str(write_sharing_model(tmp_path / "tiny")),
        registration="none",
        player=PlayerSettings(mode="rate", rate=0.4),
        # Shorter than the delay will be, so that what is heard is a frame old.
        synchroniser=SynchroniserSettings(timeout_ms=30.0),
        admission=AdmissionSettings(boxes_max_age_ms=300.0),
        radio=RadioSettings(loss=1.0),
    )
    is_set = False
    heard_from, killed_at = [], []

    def disturb(progress: Progress) -> None:
        nonlocal is_set
        if is_set and not heard_from:
            heard_from.append(progress.fused)
        if progress.fused >= DEAF_UNTIL and not is_set:
            for name, value in (("delay_ms", 80.0), ("loss", 0.0)):
                assert stranger.set_parameter("/channel", name, value) == (True, "")
            is_set = True
        if is_set and not killed_at:
            stranger.shout(topics.tx_topic("-1", topics.V2X_MESSAGES), GARBAGE)
        if heard_from and progress.fused >= heard_from[0] + HEARD and not killed_at:
            os.kill(progress.running["channel"], signal.SIGKILL)
            killed_at.append(progress.fused)

    failures = run_supervised(resolved(scenario), tmp_path / "run", disturb)
    assert [(failure.name, failure.status) for failure in failures] == [("channel", -9)]
    journal = read_fused_frames(tmp_path / "run" / "detections.jsonl")

    deaf = journal[:DEAF_UNTIL]
    assert {entry.mode for entry in deaf} == {"EGO"}
    assert all(entry.result.peers == [] for entry in deaf)

    # The first messages are on their way while the next two frames are fused.
    heard = journal[heard_from[0] + 3 : killed_at[0]]
    assert "HYBRID" in {entry.mode for entry in heard} <= {"HYBRID", "LATE"}
    # A frame old; on a machine that cannot keep up two, and none where the ego was as late as the message.
    ages_ms = {round(peer.age_ms) for entry in heard for peer in entry.result.peers if peer.sender == "-1"}
    assert 100 in ages_ms <= {0, 100, 200}
    strange = [peer for entry in heard for peer in entry.result.peers if peer.sender == "unknown"]
    assert {(peer.used_for, peer.bytes) for peer in strange} == {("nothing", len(GARBAGE))}

    assert journal[-1].mode == "EGO"
    assert all(len(entry.result.detections) for entry in journal)

    fates = list(read_lines(tmp_path / "run" / "link.jsonl"))
    features = [fate for fate in fates if fate["from"] == "-1" and fate["bytes"] != len(GARBAGE)]
    assert {fate["topic"] for fate in features} == {"messages"}
    delivered = [fate for fate in features if "delivered_ns" in fate]
    first = features.index(delivered[0])
    assert {fate["lost"] for fate in features[:first]} == {"loss"}
    assert features[first:] == delivered
    # In the time of the recording it is 80 ms.
    assert all(fate["delivered_ns"] - fate["offered_ns"] >= 200e6 for fate in delivered)
    assert {fate["topic"] for fate in fates if fate["from"] == "1"} == {"requests"}
