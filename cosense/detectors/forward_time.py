"""Time that networks take within a larger step, to tell it from the time of everything around them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

from torch import nn


class ForwardTime:
    """Adds up the time that the calling thread spends in `forward` of some modules and of their children.

    On a GPU this is the time to launch the work, as always with clocks on the CPU.
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        self._thread = threading.local()
        self._hooks = []
        for network in networks:
            # Some networks are called part by part, not as a whole; a part within a part counts once.
            for module in (network, *network.children()):
                self._hooks.append(module.register_forward_pre_hook(self._enter))
                self._hooks.append(module.register_forward_hook(self._leave, always_call=True))

    def close(self) -> None:
        """Leave the modules alone again."""
        for hook in self._hooks:
            hook.remove()

    def take_ms(self) -> float:
        """Return the time of this thread since it asked last."""
        spent_s, self._thread.spent_s = getattr(self._thread, "spent_s", 0.0), 0.0
        return spent_s * 1e3

    def _enter(self, *_: Any) -> None:
        depth = getattr(self._thread, "depth", 0)
        if depth == 0:
            self._thread.start_s = time.perf_counter()
        self._thread.depth = depth + 1

    def _leave(self, *_: Any) -> None:
        self._thread.depth -= 1
        if self._thread.depth == 0:
            spent_s = getattr(self._thread, "spent_s", 0.0)
            self._thread.spent_s = spent_s + time.perf_counter() - self._thread.start_s
