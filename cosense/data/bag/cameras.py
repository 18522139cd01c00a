"""Cameras in bags: images, raw or compressed, each with the CameraInfo topic beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.data.bag import message_types
from cosense.data.bag.agent_topics import AgentTopics, agents_of
from cosense.data.bag.file import BagFile
from cosense.data.files import is_cut_off
from cosense.errors import CosenseError, counted, nearest
from cosense.sensing.projection import fitted_to, rectified

_COMPRESSED = "/compressed"
_TO_RGB = {"bgr8": cv2.COLOR_BGR2RGB, "bgra8": cv2.COLOR_BGRA2RGB, "rgba8": cv2.COLOR_RGBA2RGB}
_TO_RGB |= {"mono8": cv2.COLOR_GRAY2RGB, "8UC1": cv2.COLOR_GRAY2RGB, "8UC3": cv2.COLOR_BGR2RGB}
# OpenCV's names of the patterns are shifted by a pixel against those of ROS.
_TO_RGB |= {"bayer_rggb8": cv2.COLOR_BayerBG2RGB, "bayer_bggr8": cv2.COLOR_BayerRG2RGB}
_TO_RGB |= {"bayer_gbrg8": cv2.COLOR_BayerGR2RGB, "bayer_grbg8": cv2.COLOR_BayerGB2RGB}
_TO_RGB |= {"yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2, "yuv422": cv2.COLOR_YUV2RGB_UYVY}


@dataclass(frozen=True)
class CameraTopics:
    """The topics of one camera.

    Attributes:
        name: name of the camera.
        image: topic of the images.
        info: topic of the calibration.
        frame: optical frame.
    """

    name: str
    image: str
    info: str
    frame: str


def image_topics(bag: BagFile) -> list[str]:
    """Return one topic for each camera: the raw images where there are any, else the compressed ones."""
    found: dict[str, str] = {}
    for topic in sorted(bag.topics(message_types.IMAGE, message_types.COMPRESSED_IMAGE), key=_preference):
        found.setdefault(_folder(topic), topic)
    return sorted(found.values())


def find_cameras(bag: BagFile, agents: Mapping[str, AgentTopics]) -> dict[str, list[CameraTopics]]:
    """Return the cameras of each agent.

    Raises:
        CosenseError: a camera has no CameraInfo beside it.
    """
    cameras: dict[str, list[CameraTopics]] = {agent_id: [] for agent_id in agents}
    for topic, agent_id in agents_of(agents, image_topics(bag)).items():
        folder = _folder(topic)
        info = f"{folder}/camera_info"
        infos = bag.topics(message_types.CAMERA_INFO)
        if info not in infos:
            raise CosenseError(
                f"{bag.path}: camera '{topic}' has no calibration: no {message_types.CAMERA_INFO} on "
                f"'{info}', {nearest(info, infos)}; record it too, or leave the cameras out"
            )
        name = folder.rsplit("/", 1)[-1] or "camera"
        cameras[agent_id].append(CameraTopics(name, topic, info, bag.first(topic).header.frame_id))
    return cameras


def image_of(message: Any, info: Any) -> NDArray[np.uint8]:
    """Return an image (H,W,3), uint8 RGB, rectified by its CameraInfo.

    Args:
        message: Image or CompressedImage.
        info: CameraInfo of the same camera.

    Raises:
        CosenseError: the encoding or the distortion model is unknown, the data is broken, or the image is not
            that of the calibration.
    """
    image = pixels_of(message)
    if not np.any(info.d):
        return image
    return rectified(image, intrinsic_of(info, image), info.d, info.distortion_model)


def intrinsic_of(info: Any, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the pinhole matrix (3,3) of an image (H,W,3), which may have been resized since the calibration.

    Raises:
        CosenseError: it was also cut or stretched.
    """
    return fitted_to(info.k, (int(info.width), int(info.height)), (image.shape[1], image.shape[0]))


def pixels_of(message: Any) -> NDArray[np.uint8]:
    """Return an image (H,W,3), uint8 RGB, as the lens has made it.

    Raises:
        CosenseError: the encoding is unknown, or the data is broken.
    """
    return _decompressed(message) if hasattr(message, "format") else _raw(message)


def _decompressed(message: Any) -> NDArray[np.uint8]:
    data = np.frombuffer(message.data, dtype=np.uint8)
    is_whole = len(data) > 0 and not is_cut_off(data.tobytes())
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if is_whole else None
    if image is None:
        raise CosenseError(
            f"image of format '{message.format}' with {counted(len(data), 'byte')} cannot be decoded"
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _raw(message: Any) -> NDArray[np.uint8]:
    encoding = message.encoding
    if encoding != "rgb8" and encoding not in _TO_RGB:
        raise CosenseError(f"image of encoding '{encoding}', {nearest(encoding, ('rgb8', *_TO_RGB))}")
    try:
        rows = np.frombuffer(message.data, dtype=np.uint8).reshape(message.height, message.step)
        channels = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "bgra8": 4, "rgba8": 4}.get(encoding)
        channels = channels or (2 if encoding.startswith("yuv422") else 1)
        pixels = rows[:, : message.width * channels].reshape(message.height, message.width, channels)
    except ValueError as error:
        raise CosenseError(
            f"image of {message.width} x {message.height} pixels, "
            f"rows of {counted(message.step, 'byte')}, has "
            f"{counted(len(message.data), 'byte')}: {error}"
        ) from None
    pixels = np.ascontiguousarray(pixels)
    return pixels if encoding == "rgb8" else np.asarray(cv2.cvtColor(pixels, _TO_RGB[encoding]), np.uint8)


def _folder(topic: str) -> str:
    """Return the namespace of a camera, e.g. /unit/front for /unit/front/image_raw."""
    return topic.removesuffix(_COMPRESSED).rsplit("/", 1)[0]


def _preference(topic: str) -> tuple[bool, str]:
    return topic.endswith(_COMPRESSED), topic
