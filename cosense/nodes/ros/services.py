"""Services that ROS 2 gives every node: what a caller asks that does not fit is refused, and ends nobody.

rclpy raises where a lifecycle transition does not fit the present state, or where the type of a parameter is
none, and the exception would leave the executor and take the node with it: any process of the domain could
end any node with one call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node


def refuse_what_does_not_fit(node: Node) -> None:
    """Let all services that a node has so far refuse what they cannot serve."""
    for service in node.services:
        service.callback = _refusing(node, service.callback)


def _refusing(node: Node, serve: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def served(request: Any, response: Any) -> Any:
        try:
            return serve(request, response)
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            node.get_logger().warning(f"a call is refused: {reason}", throttle_duration_sec=1.0)
            return _refusal(request, response, reason)

    return served


def _refusal(request: Any, response: Any, reason: str) -> Any:
    """Return a response that says so, as far as its type can; one of the other types has nothing in it."""
    result = SetParametersResult(successful=False, reason=reason)
    if hasattr(response, "results"):
        # Those before it are set.
        response.results = [*response.results, *[result] * (len(request.parameters) - len(response.results))]
    elif hasattr(response, "result"):
        response.result = result
    elif hasattr(response, "success"):
        response.success = False
    return response
