"""Where the points of a cloud are in an image: calibration, distortion of the lens, and what has moved since.

A pinhole camera: `u = K (T_camera_agent p)`, divided by the depth. A distorted image is made one of a pinhole
camera as it is read (`rectified`), with the models of OpenCV that ROS names; others are refused.

A vehicle's image is 100 ms later than its cloud on DAIR-V2X. Until then the vehicle has gone 1.4 m at 50
km/h, and things have moved too: seen from 20 m away a crossing car is 4 degrees farther. So points are moved
to where things are at the stamp of the image before they are projected: all of them against the motion of the
agent, those in a box along with its velocity.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from cosense.errors import CosenseError, counted
from cosense.geometry.boxes import Boxes, points_in_boxes
from cosense.geometry.timed_pose import TimedPose
from cosense.geometry.transforms import Matrix, invert, transform_from, transform_points
from cosense.sensing.frame import AgentFrame, Camera

# Nearer to the lens nothing is projected.
NEAREST_M = 0.5
# An image that is so much older or younger than its cloud shows another scene.
LONGEST_GAP_NS = 500_000_000
# A box takes along what is this far around it: bumpers, mirrors, wheels.
_AROUND_BOX_M = 0.2
# Distortion models with the coefficients of OpenCV, and how many there may be.
_LENSES = {"": (4, 5, 8), "plumb_bob": (4, 5), "rational_polynomial": (8,)}
_FISHEYES = {"equidistant": (4,), "fisheye": (4,)}


@dataclass(frozen=True, eq=False)
class Pixels:
    """Points as a camera sees them.

    Attributes:
        uv: (N,2) columns and rows in pixels; nan behind the lens.
        depth_m: (N,) distances along the optical axis.
        is_inside: (N,) whether a point is in front of the camera and within the image.
    """

    uv: NDArray[np.float64]
    depth_m: NDArray[np.float64]
    is_inside: NDArray[np.bool_]


def project(camera: Camera, points: NDArray[np.floating]) -> Pixels:
    """Project points (N,>=3) of the agent frame, which are where they are at the stamp of the image."""
    seen = transform_points(camera.T_camera_agent, points[:, :3].astype(np.float64))
    depth_m = seen[:, 2]
    in_front = depth_m >= NEAREST_M
    uv = np.full((len(seen), 2), np.nan)
    across = seen[in_front] @ np.asarray(camera.K, np.float64).T
    uv[in_front] = across[:, :2] / across[:, 2:]
    height, width = camera.image.shape[:2]
    with np.errstate(invalid="ignore"):
        # The centre of the first pixel is at 0.
        is_inside = in_front & ((uv >= -0.5) & (uv < [width - 0.5, height - 0.5])).all(axis=1)
    return Pixels(uv, depth_m, is_inside)


def check_view(frame: AgentFrame, camera: Camera) -> None:
    """Check that an image can say something about a cloud.

    Raises:
        CosenseError: the calibration is none, it projects no point of the cloud into the image, or the image
            is of another time.
    """
    where = f"camera '{camera.name}' of {frame.agent_id}"
    K, T = np.asarray(camera.K), camera.T_camera_agent
    is_pinhole = K.shape == (3, 3) and np.isfinite(K).all() and K[0, 0] > 0 and K[1, 1] > 0
    if not is_pinhole or abs(K[2, 2] - 1) > 1e-6 or K[2, :2].any() or K[1, 0]:
        raise CosenseError(f"{where}: K is {K.tolist()}, expected [[fx, s, cx], [0, fy, cy], [0, 0, 1]]")
    if not np.isfinite(T).all() or abs(np.linalg.det(T[:3, :3]) - 1) > 0.02:
        raise CosenseError(f"{where}: T_camera_agent is no rigid transform; correct the extrinsics")
    gap_ns = camera.stamp_ns - frame.stamp_ns
    if abs(gap_ns) > LONGEST_GAP_NS:
        raise CosenseError(
            f"{where}: the image is {abs(gap_ns) / 1e6:.0f} ms {'later' if gap_ns > 0 else 'earlier'} than "
            f"the cloud, more than {LONGEST_GAP_NS / 1e6:.0f} ms; correct the stamps, or go on without it"
        )
    if len(frame.points) and not project(camera, frame.points).is_inside.any():
        raise CosenseError(
            f"{where}: not one of {counted(len(frame.points), 'point')} is projected into the image; "
            "T_camera_agent maps the agent frame to the optical one (z forward, x right, y down)"
        )


def fitted_to(K: ArrayLike, calibrated: tuple[int, int], image: tuple[int, int]) -> NDArray[np.float64]:
    """Return the pinhole matrix (3,3) of an image that was resized after its camera was calibrated.

    Args:
        K: (3,3) of the calibration.
        calibrated: width and height of the images of the calibration.
        image: width and height of the image.

    Raises:
        CosenseError: the image is cut or stretched.
    """
    K = np.asarray(K, dtype=np.float64).reshape(3, 3)
    if calibrated == image or 0 in calibrated:
        return K
    scale = image[0] / calibrated[0]
    # Either side was rounded to whole pixels.
    if abs(image[1] - scale * calibrated[1]) > 1 + scale:
        raise CosenseError(
            f"an image of {image[0]} x {image[1]} pixels, and a calibration for {calibrated[0]} x "
            f"{calibrated[1]}: that is no change of size alone; take the calibration of this image"
        )
    # Centres of pixels are whole numbers, so that the corner of the image is at -1/2.
    resized = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]])
    return resized @ K


def rectified(image: NDArray[np.uint8], K: ArrayLike, distortion: ArrayLike, model: str) -> NDArray[np.uint8]:
    """Return an image (H,W,3) as a pinhole camera with the same K would take it; black where it saw nothing.

    Args:
        image: as the lens has made it.
        K: (3,3) pinhole matrix in pixels.
        distortion: coefficients in the order of OpenCV, none or zeros for no distortion.
        model: name of the model in ROS: plumb_bob, rational_polynomial or equidistant.

    Raises:
        CosenseError: the model is another one, or has another number of coefficients.
    """
    coefficients = np.asarray(distortion, dtype=np.float64).reshape(-1)
    if not coefficients.any():
        return image
    numbers = {**_LENSES, **_FISHEYES}.get(model)
    if numbers is None:
        raise CosenseError(
            f"image with distortion model '{model}': rectify it first (image_proc), expected "
            f"{', '.join(name for name in (*_LENSES, *_FISHEYES) if name)}"
        )
    if len(coefficients) not in numbers or not np.isfinite(coefficients).all():
        raise CosenseError(
            f"image with distortion model '{model}' and the coefficients {coefficients.tolist()}, expected "
            f"{' or '.join(map(str, numbers))} numbers"
        )
    K = np.asarray(K, dtype=np.float64).reshape(3, 3)
    if model in _FISHEYES:
        return np.asarray(cv2.fisheye.undistortImage(image, K, coefficients, Knew=K), dtype=np.uint8)
    return np.asarray(cv2.undistort(image, K, coefficients), dtype=np.uint8)


def way_until(frame: AgentFrame, previous: AgentFrame, stamp_ns: int) -> Matrix:
    """Return T_then_agent (4,4): where what stands still at the stamp of a frame is seen at another moment.

    The agent goes on as it went from the previous frame to this one, also in a bend.

    Args:
        frame: the frame of the agent.
        previous: an earlier one of the same agent.
        stamp_ns: the other moment.

    Raises:
        CosenseError: the frames are not one after the other.
    """
    elapsed_ns = frame.stamp_ns - previous.stamp_ns
    if elapsed_ns <= 0:
        raise CosenseError(
            f"{frame.agent_id}: the previous frame is {-elapsed_ns / 1e6:.0f} ms later than this one"
        )
    now, before = (TimedPose(each.stamp_ns, each.T_steady_agent) for each in (frame, previous))
    return way_along(now, before, stamp_ns)


def way_along(now: TimedPose, other: TimedPose, stamp_ns: int) -> Matrix:
    """Return T_then_agent (4,4) as `way_until` does, by the pose of the agent at any other moment.

    Args:
        now: pose at the stamp of the cloud.
        other: pose before or after it.
        stamp_ns: the moment that is asked for.
    """
    share = (stamp_ns - now.stamp_ns) / (other.stamp_ns - now.stamp_ns)
    return invert(_repeated(invert(now.T_world_frame) @ other.T_world_frame, share))


def miscalibration(off_deg: float, off_m: float, rng: np.random.Generator) -> Matrix:
    """Return (4,4) by which a camera is not where its calibration says, to be put before `T_camera_agent`.

    Args:
        off_deg: angle about each axis, and
        off_m: distance along it (standard deviations).
        rng: draws them.
    """
    turn = Rotation.from_rotvec(np.deg2rad(off_deg) * rng.standard_normal(3)).as_matrix()
    return transform_from(turn, off_m * rng.standard_normal(3))


def moved_until(
    points: NDArray[np.floating],
    later_s: float,
    T_then_agent: Matrix,
    boxes: Boxes,
    velocities_mps: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return where points (N,3) are seen some time later.

    Args:
        points: (N,>=3) in the agent frame at the stamp of the cloud.
        later_s: time from then on, negative for before.
        T_then_agent: (4,4) motion of the agent until then, see `way_until`; the identity where it stands.
        boxes: (M,7) of things that may move, in the agent frame.
        velocities_mps: (M,2) over ground, along the axes of the agent frame; nan where it is not known.
    """
    xyz = points[:, :3].astype(np.float64)
    velocities = np.nan_to_num(velocities_mps)
    moving = np.flatnonzero(velocities.any(axis=1)) if len(boxes) else np.zeros(0, np.int64)
    around = boxes[moving] + np.array([0, 0, 0, *[2 * _AROUND_BOX_M] * 3, 0]) if len(moving) else boxes[:0]
    for inside, velocity in zip(points_in_boxes(xyz, around), velocities[moving], strict=True):
        # Twice only where two boxes overlap, and then no matter which.
        xyz[inside, :2] = points[inside, :2] + later_s * velocity
    return transform_points(T_then_agent, xyz)


def _repeated(T: Matrix, share: float) -> Matrix:
    """Return a share of a motion (4,4) at constant speed and turn, more than it where above 1.

    Along a screw: the share of the logarithm of the motion.
    """
    turn = Rotation.from_matrix(T[:3, :3]).as_rotvec()
    travelled = np.linalg.solve(_mean_turn(turn), T[:3, 3])
    return transform_from(
        Rotation.from_rotvec(share * turn).as_matrix(), _mean_turn(share * turn) @ (share * travelled)
    )


def _mean_turn(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean (3,3) of the rotations on the way to a rotation vector: the left Jacobian of SO(3)."""
    angle = float(np.linalg.norm(turn))
    x, y, z = turn
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-6:
        return np.eye(3) + cross / 2
    first, second = (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    return np.asarray(np.eye(3) + first * cross + second * cross @ cross)
