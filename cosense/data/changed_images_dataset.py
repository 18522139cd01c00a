"""A data set whose images are worse than they were, or gone: what a detector with cameras makes of it.

"lost" takes the images away; "off" turns each camera by 0.5 degrees about each axis and moves it by 5 cm
along it (standard deviations), and calibration knows nothing of it; "later" gives each agent the image of its
next frame and "earlier" that of the frame before, with their stamps; "unmoved" hides how the agent has moved
between cloud and image. Several go together, as "later,unmoved".
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cosense.data.dataset import CooperativeFrame, Dataset, DatasetInfo
from cosense.errors import CosenseError, nearest
from cosense.geometry.transforms import Matrix, invert
from cosense.sensing.frame import AgentFrame, AgentKind, Camera
from cosense.sensing.projection import miscalibration

_OFF_DEG, _OFF_M = 0.5, 0.05
_WORDS = {
    "lost": "images taken away",
    "off": f"cameras off by {_OFF_DEG:g} degrees and {_OFF_M:g} m",
    "later": "images of the next frame",
    "earlier": "images of the frame before",
    "unmoved": "motion until the images hidden",
}
_ALONE, _ONE_OF = "lost", {"later", "earlier"}


@dataclass(frozen=True)
class ChangedImages:
    """What becomes of images; its text is what the command line says.

    Attributes:
        words: what is done, see the module.
    """

    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ChangedImages:
        """Read words with commas between them.

        Raises:
            CosenseError: a word is unknown, or some do not go together.
        """
        words = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
        for word in words:
            if word not in _WORDS:
                raise CosenseError(f"images '{text}': unknown word '{word}', {nearest(word, _WORDS)}")
        if (_ALONE in words and len(words) > 1) or {*words} >= _ONE_OF:
            raise CosenseError(
                f"images '{text}': these do not go together; lost stands alone, and of later and earlier "
                "take one"
            )
        return cls(words)

    def __str__(self) -> str:
        return ",".join(self.words)

    @property
    def frames_later(self) -> int:
        """How many frames later the images are that take the place of their own."""
        return int("later" in self.words) - int("earlier" in self.words)


class ChangedImagesDataset(Dataset):
    """The frames of another data set with other images.

    Args:
        whole: the data set.
        changes: what is done to images.
    """

    def __init__(self, whole: Dataset, changes: ChangedImages) -> None:
        self._whole, self._changes = whole, changes
        self.path, self.split, self.label_set = whole.path, whole.split, whole.label_set
        self.async_frames, self.without_labels = whole.async_frames, whole.without_labels
        self.has_same_lidars = whole.has_same_lidars
        self._said = tuple(_WORDS[word] for word in changes.words)
        self.kind = ", ".join((whole.kind, *self._said))

    def __len__(self) -> int:
        return len(self._whole)

    def __getitem__(self, index: int) -> CooperativeFrame:
        frame = self._whole[index]
        other = self._beside(frame, index + self._changes.frames_later)
        agents = {
            name: replace(agent, cameras=self._cameras(frame, agent, other.agents.get(name)))
            for name, agent in frame.agents.items()
        }
        return replace(frame, agents=agents, provenance=frame.provenance.changed(*self._said))

    @property
    def agents(self) -> dict[str, AgentKind]:
        """See `Dataset.agents`."""
        return self._whole.agents

    def description(self) -> dict[str, Any]:
        """See `Dataset.description`; says too what is done to images."""
        return {**self._whole.description(), "kind": self.kind, "images": str(self._changes)}

    def info(self, *, verify: bool = False) -> DatasetInfo:
        """See `Dataset.info`."""
        return replace(self._whole.info(verify=verify), kind=self.kind)

    def _beside(self, frame: CooperativeFrame, index: int) -> CooperativeFrame:
        """Return the frame whose images are taken: the same one at the ends of a sequence."""
        if self._changes.frames_later == 0 or not 0 <= index < len(self):
            return frame
        other = self._whole[index]
        is_next = (other.ego.stamp_ns - frame.ego.stamp_ns) * self._changes.frames_later > 0
        return other if is_next and other.sequence == frame.sequence else frame

    def _cameras(
        self, frame: CooperativeFrame, agent: AgentFrame, other: AgentFrame | None
    ) -> tuple[Camera, ...]:
        words = self._changes.words
        if "lost" in words:
            return ()
        cameras = agent.cameras if other is None else tuple(_as_of(agent, other, c) for c in other.cameras)
        if "unmoved" in words:
            cameras = tuple(replace(camera, T_then_agent=None) for camera in cameras)
        if "off" in words:
            cameras = tuple(
                replace(
                    camera,
                    T_camera_agent=_off(frame.sequence, agent.agent_id, camera.name) @ camera.T_camera_agent,
                )
                for camera in cameras
            )
        return cameras


def _as_of(agent: AgentFrame, other: AgentFrame, camera: Camera) -> Camera:
    """Return a camera of another frame of an agent as one of this frame."""
    if other is agent:
        return camera
    way = invert(other.T_steady_agent) @ agent.T_steady_agent
    return replace(camera, T_then_agent=way if camera.T_then_agent is None else camera.T_then_agent @ way)


def _off(*names: str) -> Matrix:
    """Return by how much a camera is off (4,4): the same in all frames of a sequence."""
    return miscalibration(_OFF_DEG, _OFF_M, np.random.default_rng(zlib.crc32("/".join(names).encode())))
