"""JSON as nuScenes takes results of detection (Caesar et al., CVPR 2020), for its devkit and what reads it.

    detections.json     {"meta": ..., "results": {frame: [box, ...]}}
    ground_truth.json   the same with the ground truth: num_pts is there, a score is not (-1)

The sample token is the name of the frame. Translation and rotation (w, x, y, z) are in the world of the data
set, size is width, length, height. Vehicles are car and riders bicycle, as for detectors here; what nuScenes
has no class for is left out. A frame has its 500 best boxes, the devkit takes no more. Detections of one
frame have no velocity: it is 0, the devkit's own default, so leave its velocity error (mAVE) out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.evaluation.exports.base import PlacedFrame, single_class
from cosense.evaluation.run_files import write_json
from cosense.geometry.boxes import Boxes
from cosense.geometry.transforms import Matrix, quaternion_of, transform_from_planar
from cosense.sensing.objects import ObjectClass

NAMES = {
    ObjectClass.CAR: "car",
    ObjectClass.PEDESTRIAN: "pedestrian",
    ObjectClass.CYCLIST: "bicycle",
    ObjectClass.TRAFFIC_CONE: "traffic_cone",
}
MOST_BOXES = 500
_META = {"use_camera": False, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": True}


def write(frames: Iterable[PlacedFrame], out: Path) -> None:
    """Write all frames into the folder `out`."""
    detections, ground_truth = {}, {}
    for frame in frames:
        name = frame.result.frame_id
        found, truth = frame.result.detections, frame.result.ground_truth
        best = found[np.argsort(-found.scores, kind="stable")][:MOST_BOXES]
        scores = [{"detection_score": float(score)} for score in best.scores]
        detections[name] = _boxes(frame.T_world_ego, name, best.boxes, best.labels, scores)
        points = [{"detection_score": -1.0, "num_pts": int(count)} for count in frame.result.num_points]
        ground_truth[name] = _boxes(frame.T_world_ego, name, truth.boxes, truth.labels, points)
    write_json(out / "detections.json", {"meta": _META, "results": detections})
    write_json(out / "ground_truth.json", {"meta": _META, "results": ground_truth})


def _boxes(
    T_world_ego: Matrix,
    name: str,
    boxes: Boxes,
    labels: NDArray[np.int64],
    further: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return what nuScenes says of each box, with what else there is to say."""
    entries = []
    for box, label, more in zip(boxes, single_class(labels), further, strict=True):
        if label not in NAMES:
            continue
        T_ego_box = transform_from_planar(box[0], box[1], box[6], z=box[2])
        T_world_box = T_world_ego @ T_ego_box
        x, y, z, w = quaternion_of(T_world_box).tolist()
        length, width, height = box[3:6].tolist()
        entries.append(
            {
                "sample_token": name,
                "translation": T_world_box[:3, 3].tolist(),
                "size": [width, length, height],
                "rotation": [w, x, y, z],
                "velocity": [0.0, 0.0],
                "detection_name": NAMES[label],
                "attribute_name": "",
                **more,
            }
        )
    return entries
