"""The ego's fusion: its own message and those of the others in, one list of boxes out.

    ~/input/own       UInt8MultiArray, in-vehicle     ~/output/detections  PointCloud2, see conversions.py
    ~/input/messages  UInt8MultiArray, the radio      ~/output/boxes       Detection3DArray, where installed
                                                      ~/output/markers     MarkerArray for RViz
                                                      ~/output/mode        String: one word, see outcome.py
                                                      ~/output/mode/reason DiagnosticArray: and why
                                                      ~/output/requests    UInt8MultiArray, to the radio
                                                      ~/debug/processing_time_ms, ~/debug/latency_ms
                                                      /diagnostics
Where scene graphs correct poses, ~/output/scene_graph is a MarkerArray of them: nodes, edges, what agrees.

One output for each message of the ego, complete or not: when an agent falls silent, the frames go on without
it after the time-out, and the diagnostics say so. It runs in one process with the ego's agent, see ego.py,
whose features it fuses and against whose cloud it holds what others claim; alone it merges boxes (late
fusion). The fusing itself runs in a thread of its own, so that messages and parameters are served meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from std_msgs.msg import UInt8MultiArray
from visualization_msgs.msg import MarkerArray

from cosense import topics
from cosense.cooperation.ego import Ego, OwnView
from cosense.cooperation.kinds import FEATURE_KINDS, LIVE_FUSIONS, LIVE_REGISTRATIONS, LiveFusion
from cosense.cooperation.outcome import mode_of, no_sensor
from cosense.cooperation.peers import Traffic
from cosense.cooperation.synchroniser import Collection, Synchroniser
from cosense.detectors.forward_time import ForwardTime
from cosense.errors import CosenseError
from cosense.evaluation.run_files import FusedFrame, to_values
from cosense.geometry.transforms import transform_from_slopes
from cosense.json_lines import LineWriter
from cosense.messages.envelope import MessageError
from cosense.messages.objects import slopes_of
from cosense.messages.scene_graph import SceneGraph, decode_scene_graph
from cosense.nodes.agent import AgentNode
from cosense.nodes.feature_store import FeatureStore
from cosense.nodes.fusion_outputs import FusionOutputs, RequestOutput
from cosense.nodes.fusion_parameters import FusionParameters, declare_fusion, read_fusion
from cosense.nodes.ros import conversions, process, qos
from cosense.nodes.ros.graph_markers import graphs_to_markers
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.nodes.ros.trace import Stopwatch, Trace
from cosense.nodes.ros.worker import Mailbox, Worker
from cosense.nodes.trust_parameters import Trust
from cosense.nodes.warm_up import warm_up_ego

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
        agent: the ego's agent, which has the model once it is configured.
        store: store in which the agent leaves its features.
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
        self._fusion: LiveFusion = process.choose(
            self,
            "fusion",
            ("late",) if own is None else LIVE_FUSIONS,
            "how it fuses; features only in one process with the ego's agent (`ego`)",
        )
        self._registration = process.choose(
            self, "registration", LIVE_REGISTRATIONS, "how the poses of others are corrected"
        )
        checks = process.declare(
            self, "trust.checks", "", "checks that messages have to pass, with commas between; empty for none"
        )
        self._checks = [name for name in checks.split(",") if name]
        self._trust = Trust(self)
        delivery_ms = process.declare(
            self,
            "request_delivery_ms",
            0.0,
            "how long the detections wait until the request has reached its readers; 0: not at all",
            low=0,
            high=10_000,
        )
        self._delivery_s = delivery_ms / 1e3
        self._parameters_now = declare_fusion(self)
        self._trace = Trace(self)
        self._own = own
        self._journal: LineWriter | None = None
        self._worker: Worker[_Ready] | None = None
        self._ego: Ego | None = None
        self._synchroniser: Synchroniser | None = None
        self.add_on_set_parameters_callback(self._on_parameters)

    def build(self) -> None:
        """Get ready to fuse."""
        model = None
        networks = []
        if self._own is not None:
            model = self._own.agent.model
            if model is None:
                raise CosenseError("configure the ego's agent first: the fusion uses its model")
            networks = [] if model.method is None else [model.method.network]
        self._networks = ForwardTime(networks)
        self._ego = Ego(
            model,
            self._fusion,
            registration=self._registration,
            trust=self._checks,
            signer=self._trust.signer,
        )
        if model is not None:
            warm_up_ego(model, self._fusion)
        self._silent: list[str] = []
        now = self._parameters_now
        self._synchroniser = Synchroniser(
            self._expected,
            now.synchroniser,
            now.admission.window(self._fusion),
            with_graphs=self._registration != "none",
            membership=self._trust.membership,
        )
        self._apply(now)
        self._journal = LineWriter(self._journal_path) if self._journal_path else None
        self._outputs = FusionOutputs(self, self._ego_id, self._fusion)
        wants = self._own is not None and self._fusion in FEATURE_KINDS
        self._requests = RequestOutput(self, self._delivery_s) if wants else None
        self._graph_markers = None
        if self._registration != "none":
            self._graph_markers = self.publisher(MarkerArray, "~/output/scene_graph", qos.RESULT)
        self._worker = Worker(self, "fusion", self._fuse, Mailbox(_WAITING))

    def listen(self) -> None:
        """Take the messages of all agents."""
        self._own_messages = self.subscribe(UInt8MultiArray, "~/input/own", self._on_own, _DEPTH)
        self.subscribe(UInt8MultiArray, "~/input/messages", self._on_message, _DEPTH)
        self.every(_POLL_S, self._pass_on_what_is_ready)
        self.every(_LOOK_AROUND_S, self._look_at_sensor)
        self.every(_LOOK_AROUND_S, self._report_silence)
        self.every(_LOOK_AROUND_S, self._trust.follow_roster)
        self.get_logger().info(
            f"{self._fusion} fusion of '{self._ego_id}' waits for: {', '.join(self._expected) or 'nobody'}"
        )

    def close(self) -> None:
        """Finish the frame and complete the journal."""
        if self._worker is not None:
            self._worker.close()
            self._networks.close()
        self._worker = self._ego = self._synchroniser = None
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
        if self._ego is not None:
            self._ego.admission, self._ego.merging = now.admission, now.merge
        if self._own is not None:
            # What may be open in the synchroniser, wait for the fusion and be in its hands, and one more.
            self._own.store.depth = now.synchroniser.max_open + _WAITING + 2
        if self._synchroniser is not None:
            self._synchroniser.settings = now.synchroniser
            self._synchroniser.window = now.admission.window(self._fusion)

    def _on_own(self, message: UInt8MultiArray) -> None:
        assert self._synchroniser is not None
        data, clock_ns = conversions.message_to_bytes(message), self.get_clock().now().nanoseconds
        try:
            self._synchroniser.add_ego(data, time.monotonic_ns(), clock_ns)
        except MessageError as error:
            self.get_logger().error(f"message of the ego itself: {error}", throttle_duration_sec=1.0)
        self._pass_on_what_is_ready()

    def _on_message(self, message: UInt8MultiArray) -> None:
        assert self._synchroniser is not None
        # The clock on the wall goes as fast as that of the stamps where nothing is played.
        now_ns = None if self.get_parameter("use_sim_time").value else time.monotonic_ns()
        data = conversions.message_to_bytes(message)
        self._synchroniser.add(data, self.get_clock().now().nanoseconds, now_ns)
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
        silence = self._own_messages.silence
        if silence.lasts_s * 1e3 > self.get_parameter("no_sensor_after_ms").value or not silence.was_ended:
            silent_ms = silence.lasts_s * 1e3 if silence.was_ended else None
            self._outputs.report_blindness(no_sensor(silent_ms, is_paused=silence.clock_stands_still))

    def _fuse(self, ready: _Ready) -> None:
        """Fuse one frame, publish the result, and request what is wanted next."""
        assert self._ego is not None
        collection = ready.collection
        watch = Stopwatch(ready.since_ns - int(collection.waited_ms * 1e6))
        watch.lap("wait for others", collection.waited_ms)
        watch.lap("wait for the fusion")
        self._networks.take_ms()
        try:
            graph = self._own_graph(collection)
            encoded, frame, lost = (None, None, ())
            if self._own is not None:
                encoded, frame, lost = self._own.store.take(collection.own)
            view = OwnView(collection.own, encoded, graph, frame)
            result, requests = self._ego.fuse(view, collection.received)
            peers = [*result.peers, *collection.refused]
            mode = mode_of(self._fusion, peers, collection.missing, ready.silent, collection.behind_ms, lost)
            result = replace(result, peers=peers)
        except CosenseError as error:
            self._outputs.report_failure(str(error))
            self._trace.write(collection.stamp_ns, dropped=str(error))
            self.get_logger().error(f"frame at {collection.stamp_ns} ns: {error}", throttle_duration_sec=1.0)
            return
        # First: a sender that receives it before its next cloud sends what is wanted by then.
        if self._requests is not None:
            self._requests.publish(requests.values())
        watch.lap("fuse, network", self._networks.take_ms())
        watch.lap("fuse")
        # The journal first: whoever sees the published result finds it in the file.
        if self._journal is not None:
            entry = FusedFrame(
                collection.stamp_ns, result, collection.missing, watch.total_ms, mode.name, mode.reason
            )
            self._journal.write(to_values(entry))
        if self._requests is not None:
            self._requests.wait(sum(peer.used_for == "features" for peer in result.peers))
        # For the player this is the end of the frame; what people look at may come a little later.
        self._outputs.publish_boxes(result.detections, collection.stamp_ns)
        watch.lap("publish")
        self._trace.write(collection.stamp_ns, watch)
        figures = self._trust.figures()
        self._outputs.report(collection, result, mode, ready.silent, ready.traffic, watch, figures)
        self._outputs.publish_markers(result.detections, collection.stamp_ns)
        self._publish_graph_markers(graph, collection)

    def _own_graph(self, collection: Collection) -> SceneGraph | None:
        """Return the scene graph of the ego itself, None where there is none."""
        if self._registration == "none":
            return None
        if collection.own_graph is None:
            self.get_logger().warning(
                "no scene graph of the ego itself, poses are not corrected: does its agent have "
                "'registration: scene_graph'?",
                throttle_duration_sec=10.0,
            )
            return None
        try:
            return decode_scene_graph(collection.own_graph)
        except MessageError as error:
            self.get_logger().error(f"scene graph of the ego itself: {error}", throttle_duration_sec=1.0)
            return None

    def _publish_graph_markers(self, graph: SceneGraph | None, collection: Collection) -> None:
        """Publish the graphs and what of them agrees, while somebody looks."""
        markers = self._graph_markers
        if markers is not None and graph is not None and markers.get_subscription_count():
            assert self._ego is not None
            frame_id = topics.lidar_frame(self._ego_id)
            T_sensor_level = transform_from_slopes(*slopes_of(collection.own.payload))
            markers.publish(
                graphs_to_markers(
                    graph, self._ego.registrations, T_sensor_level, collection.stamp_ns, frame_id
                )
            )

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
    process.run(FusionNode, "fusion")


if __name__ == "__main__":
    main()
