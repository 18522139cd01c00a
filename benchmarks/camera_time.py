"""A vehicle's cloud and image: processor time of the camera's part beside the LiDAR's.

    python benchmarks/camera_time.py [--model camera-lite]

One thread, time of the processor rather than of the clock. How long fusion takes depends on what the image
shows: a simulated scene of a family that nothing is trained on, and the trained weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
from timing import write

from cosense.detectors.camera.views import picture
from cosense.detectors.camera_pillars import CameraPillarDetector
from cosense.methods.model import read_model_config, read_network
from cosense.model_folders import find_model
from cosense.sensing.levelling import LevelFrame, levelled
from cosense.simulation import simulate

REPEATS = 12
LIMITS_MS = {"auto": 90, "float32": 150}


class Contender:
    """The detector in one precision, with what its stages work on."""

    def __init__(self, model: str, precision: str, frame: LevelFrame) -> None:
        folder = find_model(model)
        config = dataclasses.replace(read_model_config(folder).detector, precision=precision)
        network = read_network(folder)
        self.detector = CameraPillarDetector(folder.name, config, network)
        self.precision, network = precision, self.detector.network
        (camera,) = frame.cameras
        points, ground = frame.points, frame.ground
        pillars = self.detector.group(points, ground)
        images = [picture(camera, config.image.size)]
        views = self.detector.views(images, ground)
        with torch.inference_mode():
            shown = network.images(views.stages)
        self.stages: dict[str, Callable[[], Any]] = {
            "resize_ms": lambda: picture(camera, config.image.size),
            "encoder_ms": lambda: self.detector.views(images, ground),
            "pyramid_ms": lambda: network.images(views.stages),
            "with_fusion_ms": lambda: network.joined(pillars, views, shown),
            "pillars_ms": lambda: network.encoder.features(pillars),
            "lidar_ms": lambda: self.detector.infer(self.detector.group(points, ground), ground),
        }
        self.best = dict.fromkeys(self.stages, float("inf"))
        self.dtype = str(self.detector.image_dtype).removeprefix("torch.")
        with torch.inference_mode():
            cells = network.joined(pillars, views, shown)[1]
        self.pillars, self.filled = len(pillars), len(cells) - len(pillars)

    def measure(self) -> None:
        """Keep the least time of each stage so far."""
        with torch.inference_mode():
            for stage, function in self.stages.items():
                start = time.process_time()
                function()
                self.best[stage] = min(self.best[stage], 1e3 * (time.process_time() - start))

    def row(self) -> dict[str, Any]:
        """Return the least times in milliseconds."""
        best = dict(self.best)
        best["fusion_ms"] = best.pop("with_fusion_ms") - best.pop("pillars_ms")
        lidar_ms = best.pop("lidar_ms")
        camera_ms = sum(best.values())
        return {
            "images": self.dtype,
            **best,
            "camera_ms": camera_ms,
            "limit_ms": LIMITS_MS[self.precision],
            "lidar_ms": lidar_ms,
            "pillars": self.pillars,
            "pillars_filled": self.filled,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="camera-lite")
    model = parser.parse_args().model
    torch.set_num_threads(1)
    (simulated,) = simulate("t_junction", 670000, 1, cameras=True)
    frame = levelled(simulated.frame.ego)
    contenders = [Contender(model, precision, frame) for precision in LIMITS_MS]
    # In turns, so that other work on the machine does not fall on one of them alone.
    for _ in range(REPEATS):
        for contender in contenders:
            contender.measure()
    write("camera_time", [contender.row() for contender in contenders])


if __name__ == "__main__":
    main()
