"""The ego's fusion: its own message and those of the others in, one list of boxes out.

    ~/input/own       UInt8MultiArray, in-vehicle     ~/output/detections  PointCloud2, see conversions.py
    ~/input/messages  UInt8MultiArray, the radio      ~/output/boxes       Detection3DArray, where installed
                                                      ~/output/markers     MarkerArray for RViz
                                                      ~/output/mode        String, see mode.py
                                                      ~/output/requests    UInt8MultiArray, to the radio
                                                      ~/debug/processing_time_ms, ~/debug/latency_ms
                                                      /diagnostics
Where scene graphs correct poses, the output of graph_repair.py as well.

One output for each message of the ego, complete or not: when an agent falls silent, the frames go on without
it after the time-out, and the diagnostics say so. Alone it merges boxes (late fusion); to fuse features it
needs those of the ego and runs in one process with the ego's agent, see ego.py. The fusing itself runs in a
thread of its own, so that messages and parameters are served meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from std_msgs.msg import UInt8MultiArray

from cosense.cooperation.cooperate import check_fusion
from cosense.cooperation.feature_receiver import FeatureReceiver
from cosense.cooperation.late import fuse_late
from cosense.cooperation.mode import mode_of, no_sensor
from cosense.cooperation.receiver import FusionResult
from cosense.cooperation.synchroniser import Collection, Synchroniser, Traffic
from cosense.detectors.forward_time import ForwardTime
from cosense.errors import CosenseError
from cosense.evaluation.journal import JournalEntry, to_values
from cosense.json_lines import LineWriter
from cosense.messages.envelope import MessageError
from cosense.nodes.agent import AgentNode
from cosense.nodes.feature_store import FeatureStore
from cosense.nodes.fusion_outputs import DemandOutput, FusionOutputs
from cosense.nodes.fusion_parameters import FusionParameters, declare_fusion, read_fusion
from cosense.nodes.graph_repair import GraphRepair
from cosense.nodes.ros import conversions, process
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.nodes.ros.trace import Stopwatch, Trace
from cosense.nodes.ros.worker import Mailbox, Worker
from cosense.scene_graph.correction.pose_correction import Place

_POLL_S = 0.01
_LOOK_AROUND_S = 0.25
# One topic brings messages of all kinds from all agents: room for some frames, also while somebody floods it.
_DEPTH = 256
# Collections that may wait for the one that is being fused.
_WAITING = 4


@dataclass(frozen=True)
class OwnFeatures:
    """What the fusion needs of the ego's agent to fuse features.

    Attributes:
        agent: of the ego, which has the model once it is configured.
        store: where the agent leaves its features.
    """

    agent: AgentNode
    store: FeatureStore


@dataclass(frozen=True)
class _Ready:
    collection: Collection
    silent: list[str]
    traffic: dict[str, Traffic]
    since_ns: int


class FusionNode(ManagedNode):
    """See the module."""

    def __init__(self, own: OwnFeatures | None = None) -> None:
        """Declare the parameters; without `own` for late fusion only."""
        super().__init__("fusion")
        self._ego_id = process.needed(self, "ego_id", "whose boxes these are")
        peers = process.declare(
            self, "peers", "", "agents to wait for from the beginning, with commas between"
        )
        self._expected = [peer for peer in peers.split(",") if peer]
        journal = process.declare(self, "journal", "", "file that gets one JSON line a frame; empty for none")
        self._journal_path = Path(journal) if journal else None
        self._fusion = process.choose(
            self,
            "fusion",
            ("late",) if own is None else ("hybrid", "intermediate"),
            "how it fuses; features only in one process with the ego's agent (`ego`)",
        )
        delivery_ms = process.declare(
            self,
            "demand_delivery_ms",
            0.0,
            "how long the detections wait until the demand has reached its readers; 0: not at all",
            low=0,
            high=10_000,
        )
        self._delivery_s = delivery_ms / 1e3
        self._parameters_now = declare_fusion(self)
        self._graphs = GraphRepair(self, self._ego_id)
        self._trace = Trace(self)
        self._own = own
        self._journal: LineWriter | None = None
        self._worker: Worker[_Ready] | None = None
        self._receiver: FeatureReceiver | None = None
        self._synchroniser: Synchroniser | None = None
        self.add_on_set_parameters_callback(self._on_parameters)

    def build(self) -> None:
        """Get ready to fuse."""
        self._networks = ForwardTime([])
        if self._own is not None:
            model = self._own.agent.model
            if model is None:
                raise CosenseError("configure the ego's agent first: the fusion uses its model")
            check_fusion(self._fusion, model)
            assert model.method is not None
            self._receiver = FeatureReceiver(model.method, with_boxes=self._fusion == "hybrid")
            self._networks = ForwardTime(model.method.network.children())
        self._silent: list[str] = []
        self._heard_ego_ns: int | None = None
        now = self._parameters_now
        self._graphs.build()
        self._synchroniser = Synchroniser(
            self._expected, now.synchroniser, now.fusion, with_graphs=self._graphs.is_wanted
        )
        self._apply(now)
        self._journal = LineWriter(self._journal_path) if self._journal_path else None
        self._outputs = FusionOutputs(self, self._ego_id, self._fusion)
        self._demand = None if self._receiver is None else DemandOutput(self, self._delivery_s)
        self._worker = Worker(self, "fusion", self._fuse, Mailbox(_WAITING))

    def listen(self) -> None:
        """Take the messages of all agents."""
        self.subscribe(UInt8MultiArray, "~/input/own", self._on_own, _DEPTH)
        self.subscribe(UInt8MultiArray, "~/input/messages", self._on_message, _DEPTH)
        self.every(_POLL_S, self._pass_on_what_is_ready)
        self.every(_LOOK_AROUND_S, self._look_at_sensor)
        self.every(_LOOK_AROUND_S, self._report_silence)
        self.get_logger().info(
            f"{self._fusion} fusion of '{self._ego_id}' waits for: {', '.join(self._expected) or 'nobody'}"
        )

    def close(self) -> None:
        """Finish the frame and complete the journal."""
        if self._worker is not None:
            self._worker.close()
            self._networks.close()
        self._worker = self._receiver = self._synchroniser = None
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._trace.close()

    def _on_parameters(self, parameters: Iterable[Parameter]) -> SetParametersResult:
        """Take limits and time-outs, or refuse them with the reason."""
        try:
            self._apply(read_fusion(self, parameters))
        except CosenseError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, now: FusionParameters) -> None:
        self._parameters_now = now
        window = now.fusion
        if self._receiver is not None:
            self._receiver.settings, self._receiver.gate = now.fusion, now.gate
            # Messages too old for their features may still be good for their boxes.
            window = replace(window, max_age_ms=now.gate.boxes_max_age_ms, max_ahead_ms=now.gate.max_ahead_ms)
        if self._own is not None:
            # What may be open in the synchroniser, wait for the fusion and be in its hands, and one more.
            self._own.store.depth = now.synchroniser.max_open + _WAITING + 2
        if self._synchroniser is not None:
            self._synchroniser.settings, self._synchroniser.window = now.synchroniser, window

    def _on_own(self, message: UInt8MultiArray) -> None:
        assert self._synchroniser is not None
        self._heard_ego_ns = time.monotonic_ns()
        try:
            self._synchroniser.add_ego(conversions.message_to_bytes(message), self._heard_ego_ns)
        except MessageError as error:
            self.get_logger().error(f"message of the ego itself: {error}", throttle_duration_sec=1.0)
        self._pass_on_what_is_ready()

    def _on_message(self, message: UInt8MultiArray) -> None:
        assert self._synchroniser is not None
        self._synchroniser.add(conversions.message_to_bytes(message), self.get_clock().now().nanoseconds)
        self._pass_on_what_is_ready()

    def _pass_on_what_is_ready(self) -> None:
        assert self._synchroniser is not None
        assert self._worker is not None
        for collection in self._synchroniser.ready(time.monotonic_ns()):
            dropped = self._worker.put(self._ready(collection))
            if dropped is not None:
                self._outputs.dropped += 1
                self._trace.write(dropped.collection.stamp_ns, dropped="the fusion was too slow")

    def _ready(self, collection: Collection) -> _Ready:
        assert self._synchroniser is not None
        return _Ready(collection, self._synchroniser.silent, self._synchroniser.traffic, time.monotonic_ns())

    def _look_at_sensor(self) -> None:
        """Say that the ego is blind, as long as it is."""
        silent_ms = None if self._heard_ego_ns is None else (time.monotonic_ns() - self._heard_ego_ns) / 1e6
        if silent_ms is None or silent_ms > self.get_parameter("no_sensor_after_ms").value:
            self._outputs.report_blindness(no_sensor(silent_ms))

    def _fuse(self, ready: _Ready) -> None:
        """Fuse one frame, tell everybody, and ask for what is wanted next."""
        collection = ready.collection
        watch = Stopwatch(ready.since_ns - int(collection.waited_ms * 1e6))
        watch.lap("wait for others", collection.waited_ms)
        watch.lap("wait for the fusion")
        self._networks.take_ms()
        try:
            place, graphs = self._graphs.hear(collection)
            if self._graphs.is_wanted:
                watch.lap("register")
            result, demands = self._fused(collection, place)
            mode = mode_of(self._fusion, result.peers + collection.refused, collection.missing, ready.silent)
            result = replace(result, peers=[*result.peers, *graphs, *collection.refused])
        except CosenseError as error:
            self._outputs.failed += 1
            self._trace.write(collection.stamp_ns, dropped=str(error))
            self.get_logger().error(f"frame at {collection.stamp_ns} ns: {error}", throttle_duration_sec=1.0)
            return
        # First: a sender that hears it before its next cloud sends what is wanted by then.
        if self._demand is not None:
            self._demand.publish(demands.values())
        watch.lap("fuse, network", self._networks.take_ms())
        watch.lap("fuse")
        # The journal first: whoever sees the published result finds it in the file.
        if self._journal is not None:
            entry = JournalEntry(
                collection.stamp_ns, result, collection.missing, watch.total_ms, mode.name, mode.reason
            )
            self._journal.write(to_values(entry))
        if self._demand is not None:
            self._demand.wait(sum(peer.used_for == "features" for peer in result.peers))
        # For the player this is the end of the frame; what people look at may come a little later.
        self._outputs.publish_boxes(result.detections, collection.stamp_ns)
        watch.lap("publish")
        self._trace.write(collection.stamp_ns, watch)
        self._outputs.report(collection, result, mode, ready.silent, ready.traffic, watch)
        self._outputs.publish_markers(result.detections, collection.stamp_ns)
        self._graphs.publish_markers(collection.stamp_ns)

    def _fused(self, collection: Collection, place: Place) -> tuple[FusionResult, Mapping[str, bytes]]:
        """Return what comes out of a frame, and the DEMAND messages for the next one by addressee."""
        if self._own is None or self._receiver is None:
            settings = self._parameters_now.fusion
            return fuse_late(collection.ego_message, collection.messages, settings, place), {}
        features = self._own.store.take(collection.ego_message)
        result = self._receiver.fuse(collection.ego_message, features, collection.messages, place)
        demands = self._receiver.demands(collection.ego_message, features)
        told = {addressee: len(demand) for addressee, demand in demands.items()}
        return replace(result, demand_bytes=told), demands

    def _report_silence(self) -> None:
        """Say once when an agent falls silent and once when it is back."""
        assert self._synchroniser is not None
        silent = self._synchroniser.silent
        for peer in silent:
            if peer not in self._silent:
                self.get_logger().warning(f"agent '{peer}' is silent, frames go on without it")
        for peer in self._silent:
            if peer not in silent:
                self.get_logger().info(f"agent '{peer}' is back")
        self._silent = silent


def main() -> None:
    """Run the node."""
    process.run(FusionNode)


if __name__ == "__main__":
    main()
