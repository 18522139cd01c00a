"""Gives each cloud the images of its moment: any number of cameras, in any order, as long as they come.

A cloud waits until each camera has an image of its moment, at most for a while. A camera that has let a cloud
wait in vain is lost: nothing waits for it until it is back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

C = TypeVar("C")
I = TypeVar("I")  # noqa: E741

# Images of a camera that are kept.
_KEPT = 16
# An image older than its cloud by more than this share of the largest gap may have a nearer successor.
_NEAR = 0.25


@dataclass(frozen=True)
class WithImages(Generic[C, I]):
    """A cloud with the images of its moment.

    Attributes:
        cloud: the cloud.
        images: stamp and image by camera.
        missing: why there is no image, by camera.
    """

    cloud: C
    images: Mapping[str, tuple[int, I]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


class ImageJoin(Generic[C, I]):
    """Joins by stamp; times of arrival are given, so that it has no clock."""

    def __init__(self, cameras: Sequence[str], wait_ns: int, max_gap_ns: int) -> None:
        """Start without any message.

        Args:
            cameras: names of the cameras that are expected.
            wait_ns: longest time that a cloud waits.
            max_gap_ns: largest time between the stamps of a cloud and its image.
        """
        self._wait_ns = wait_ns
        self._max_gap_ns = max_gap_ns
        self._images: dict[str, deque[tuple[int, I]]] = {name: deque(maxlen=_KEPT) for name in cameras}
        self._lost: set[str] = set()
        self._waiting: deque[tuple[int, C, int]] = deque()

    def add_cloud(self, stamp_ns: int, cloud: C, now_ns: int) -> list[WithImages[C, I]]:
        """Take a cloud and return all that need not wait any longer, oldest first."""
        self._waiting.append((stamp_ns, cloud, now_ns))
        return self.ready(now_ns)

    def add_image(self, camera: str, stamp_ns: int, image: I, now_ns: int) -> list[WithImages[C, I]]:
        """Take an image and return the clouds that need not wait any longer, oldest first."""
        kept = self._images[camera]
        if kept and stamp_ns < kept[-1][0]:
            # The recording has started again, or an image was overtaken: it is too late for anybody.
            kept.clear()
        kept.append((stamp_ns, image))
        self._lost.discard(camera)
        return self.ready(now_ns)

    def ready(self, now_ns: int) -> list[WithImages[C, I]]:
        """Return the clouds that need not wait any longer, oldest first."""
        done = []
        while self._waiting:
            stamp_ns, cloud, since_ns = self._waiting[0]
            is_over = now_ns - since_ns >= self._wait_ns
            if not is_over and any(self._is_awaited(name, stamp_ns) for name in self._images):
                break
            self._waiting.popleft()
            done.append(self._joined(stamp_ns, cloud))
        return done

    def _is_awaited(self, camera: str, stamp_ns: int) -> bool:
        kept = self._images[camera]
        near_ns = int(_NEAR * self._max_gap_ns)
        return camera not in self._lost and not (kept and kept[-1][0] >= stamp_ns - near_ns)

    def _joined(self, stamp_ns: int, cloud: C) -> WithImages[C, I]:
        images, missing = {}, {}
        for camera, kept in self._images.items():
            found = min(kept, key=lambda image: abs(image[0] - stamp_ns), default=None)
            if found is not None and abs(found[0] - stamp_ns) <= self._max_gap_ns:
                images[camera] = found
                continue
            self._lost.add(camera)
            missing[camera] = f"camera '{camera}' has sent nothing" + (
                "" if found is None else f" for {(stamp_ns - kept[-1][0]) / 1e6:.0f} ms"
            )
        return WithImages(cloud, images, missing)
