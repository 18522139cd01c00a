"""What every node here is: managed, with the states of ROS 2, by itself or by a lifecycle manager.

    made          the parameters are declared and checked
    configured    `build` has made what costs time and memory; nothing is received yet
    active        `listen` has subscribed; only now the node takes part
    inactive      no longer subscribed, with everything that was built
    unconfigured  `close` has given everything back, files are complete

With the parameter `autostart` (the default) a node goes to active by itself as soon as it runs.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import SubscriptionEventCallbacks
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from cosense.errors import CosenseError, nearest
from cosense.nodes.ros.process import declare
from cosense.nodes.ros.qos import compatible_with_all
from cosense.nodes.ros.services import refuse_what_does_not_fit
from cosense.nodes.ros.silence import Silence

_LOOK_S = 0.2
# Also for who joins late and gets what was sent before.
_LONGEST_ON_ITS_WAY_NS = 10_000_000_000
# Messages that a listener would know again, in lengths of its queue.
_REMEMBERED = 4
# ROS 2 Humble tells nothing of a message but what it says.
_TELLS_MORE = hasattr(Subscription, "CallbackType")

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


class ManagedNode(LifecycleNode):
    """See the module; a node overrides `build`, `listen` and `close`.

    Attributes:
        is_active: True while the node takes part.
        is_finalised: True when it will never take part again.
        has_failed: True when something in it has broken, so that the process ends.
        autostart: True where it becomes active by itself.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        refuse_what_does_not_fit(self)
        self.is_active = self.is_finalised = self.has_failed = False
        self._is_bringing_up = False
        self.autostart: bool = declare(
            self, "autostart", True, "become active at the start; false: a lifecycle manager does it"
        )
        # Timers keep real time, also where `use_sim_time` makes the time of the node stand still.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._own_publishers: list[Publisher] = []
        self._listeners: list[Listener] = []
        self._own_timers: list[Timer] = []
        self._failure: Exception | None = None

    def build(self) -> None:
        """Make what the node works with; raises CosenseError where a parameter does not fit the world."""

    def listen(self) -> None:
        """Subscribe, and start what happens again and again, with `subscribe` and `every`."""

    def close(self) -> None:
        """Give back what `build` has made; also called when that has failed or never ran."""

    def bring_up(self) -> None:
        """Configure and activate, where that is the node's own business.

        Raises:
            CosenseError: the node cannot work with these parameters.
        """
        if not self.autostart:
            return
        self._is_bringing_up = True
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != SUCCESS:
                raise self._failure or CosenseError(f"node '{self.get_name()}' does not start")
        self._is_bringing_up = False

    def publisher(self, kind: type, topic: str, preset: QoSProfile) -> Publisher:
        """Return a publisher that is there until the node is cleaned up."""
        publisher = self.create_publisher(kind, topic, preset)
        self._own_publishers.append(publisher)
        return publisher

    def subscribe(
        self,
        kind: type,
        topic: str,
        callback: Callable[..., None],
        depth: int,
        *,
        raw: bool = False,
        from_now_on: bool = False,
        with_info: bool = False,
    ) -> Listener:
        """Listen until the node is deactivated; see `Listener`."""
        listener = Listener(
            self, kind, topic, callback, depth, raw=raw, from_now_on=from_now_on, with_info=with_info
        )
        self._listeners.append(listener)
        return listener

    def every(self, period_s: float, callback: Callable[[], None]) -> None:
        """Call again and again until the node is deactivated."""
        self._own_timers.append(self.create_timer(period_s, callback, clock=self._steady))

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Build; what is wrong is said, and nothing is left of it."""
        return self._transition(self.build, undo=self._give_back)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen."""
        result = self._transition(self._start, undo=self._stop)
        self.is_active = result == SUCCESS
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Be deaf."""
        self._stop()
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back."""
        return self._transition(self._give_back)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Be deaf and give everything back, for good."""
        self._stop()
        self.is_finalised = True
        return self._transition(self._give_back)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back what there is: the node can be configured anew."""
        self._stop()
        self._give_back()
        return SUCCESS

    def _start(self) -> None:
        self.every(_LOOK_S, self._look_for_publishers)
        self.listen()

    def _look_for_publishers(self) -> None:
        for listener in self._listeners:
            listener.look()

    def _stop(self) -> None:
        self.is_active = False
        for listener in self._listeners:
            listener.close()
        for timer in self._own_timers:
            self.destroy_timer(timer)
        self._listeners.clear()
        self._own_timers.clear()

    def _give_back(self) -> None:
        self.close()
        for publisher in self._own_publishers:
            self.destroy_publisher(publisher)
        self._own_publishers.clear()

    def _transition(
        self, change: Callable[[], None], undo: Callable[[], None] = lambda: None
    ) -> TransitionCallbackReturn:
        try:
            change()
        except CosenseError as error:
            undo()
            self._failure = error
            # `bring_up` raises it, and the process says it.
            if not self._is_bringing_up:
                self.get_logger().error(str(error))
            return FAILURE
        except Exception as error:
            # rclpy would swallow it. Where rclpy has been stopped meanwhile, that is what has failed.
            self._failure = error
            if self.context.ok():
                self.get_logger().fatal(traceback.format_exc())
            return ERROR
        return SUCCESS


class Listener:
    """Hears every publisher of a topic as well as that one offers to be heard, also those who come later.

    Our own publishers keep what they sent last: who asks for it misses nothing, however late the two sides of
    DDS learn of each other. That is asked for from the beginning, so that whoever looks for the listener
    finds it. Others offer less, drivers often no reliability, and who asks for more than is offered receives
    nothing: they get a subscription of their own, so that what one publisher offers changes nothing for the
    rest. What comes to several subscriptions is taken once.

    ROS 2 Humble does not tell which message is which. There it is one subscription, which asks for the least
    that anybody offers.

    Attributes:
        topic: full name of the topic.
        silence: how long nothing has come.
    """

    def __init__(
        self,
        node: LifecycleNode,
        kind: type,
        topic: str,
        callback: Callable[..., None],
        depth: int,
        *,
        raw: bool,
        from_now_on: bool,
        with_info: bool,
    ) -> None:
        """Subscribe.

        Args:
            node: node that listens.
            kind: type of the messages.
            topic: where to listen.
            callback: gets each message.
            depth: length of the queue.
            raw: the callback gets serialised bytes.
            from_now_on: do not ask for what was sent before.
            with_info: the callback also gets when the message was published, by the clock on the wall in
                nanoseconds (where ROS 2 does not tell, as in Humble, when it came), and its number among the
                messages of its publisher, None where that is not told.
        """
        self.topic = node.resolve_topic_name(topic)
        self.silence = Silence(node)
        self._node = node
        self._kind = kind
        self._callback = callback
        self._with_info = with_info
        self._depth = depth
        self._raw = raw
        self._from_now_on = from_now_on
        self._asked: list[QoSProfile] = []
        self._subscriptions: list[Subscription] = []
        # When the last messages were published and their numbers, in the order in which they were taken.
        self._taken: dict[tuple[int, int], None] = {}
        self._ask([])
        self.look()

    def look(self) -> None:
        """Subscribe also to publishers that the present subscriptions do not hear, or not as well."""
        for info in self._node.get_publishers_info_by_topic(self.topic):
            if info.topic_type == self._type_name:
                self._ask([info.qos_profile])

    def close(self) -> None:
        """Hear nothing any more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    @property
    def why_silent(self) -> str:
        """The most likely reason why nothing comes."""
        types = {info.topic_type for info in self._node.get_publishers_info_by_topic(self.topic)}
        if self._type_name in types:
            return "whoever publishes there is silent"
        if types:
            return f"what is published there is {' and '.join(sorted(types))}, expected {self._type_name}"
        others = [
            topic
            for topic, names in self._node.get_topic_names_and_types()
            if self._type_name in names and self._node.count_publishers(topic)
        ]
        if not others:
            return f"nobody publishes any {self._type_name}"
        return f"nobody publishes there, {nearest(self.topic, others)}"

    @property
    def _type_name(self) -> str:
        return f"{self._kind.__module__.partition('.')[0]}/msg/{self._kind.__name__}"

    def _ask(self, offers: list[QoSProfile]) -> None:
        """Subscribe to who offers this, unless it is done."""
        if not _TELLS_MORE:
            offers = [*offers, *self._asked]
        wanted = compatible_with_all(offers, self._depth, from_now_on=self._from_now_on)
        if wanted in self._asked:
            return
        if not _TELLS_MORE:
            self.close()
        self._asked.append(wanted)
        subscription = self._node.create_subscription(
            self._kind,
            self.topic,
            self._take if _TELLS_MORE else self._take_unknown,
            wanted,
            raw=self._raw,
            # Of publishers that offer less `look` learns by itself.
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=lambda _: None),
        )
        self._subscriptions.append(subscription)

    def _take(self, message: Any, info: Any) -> None:
        published_ns, number = info["source_timestamp"], info["publication_sequence_number"]
        if published_ns and (published_ns, number) in self._taken:
            return
        self._taken[published_ns, number] = None
        if len(self._taken) > _REMEMBERED * self._depth:
            del self._taken[next(iter(self._taken))]
        came_ns = info["received_timestamp"]
        # Not told, or by the clock of a machine that is wrong.
        if not 0 <= came_ns - published_ns <= _LONGEST_ON_ITS_WAY_NS:
            published_ns = came_ns
        self._hand_on(message, published_ns, number)

    def _take_unknown(self, message: Any) -> None:
        self._hand_on(message, time.time_ns(), None)

    def _hand_on(self, message: Any, published_ns: int, number: int | None) -> None:
        self.silence.end()
        if self._with_info:
            self._callback(message, published_ns, number)
        else:
            self._callback(message)
