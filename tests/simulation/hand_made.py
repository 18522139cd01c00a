"""Small frames written by hand, for the writers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosense.data.dataset import CooperativeFrame
from cosense.data.provenance import FILE_NAME, MARK
from cosense.geometry.boxes import as_boxes, transform_boxes
from cosense.geometry.transforms import invert, transform_from, transform_from_planar
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.objects import ObjectClass, Objects
from cosense.simulation.stage import SimulatedFrame

STEP_NS = 100_000_000
START_NS = 1_626_155_123_000_000_000


def make_frame(
    number: int,
    *,
    sequence: str = "crossing-3",
    offset_m: tuple[float, float] = (0.66, -1.1),
    cameras: bool = False,
) -> SimulatedFrame:
    """Return a vehicle and a roadside unit that look at three objects; both lean, the unit by 5 degrees."""
    generator = np.random.default_rng(number)
    T_world_vehicle = transform_from_planar(2636.2 + number, 1745.0, 0.7, 22.0) @ _leaning(0.01, -0.02)
    T_world_unit = transform_from_planar(2660.0, 1760.0, -2.4, 27.5) @ _leaning(0.087, 0.087)
    boxes = as_boxes(
        [[12, 3, -0.9, 4.5, 1.9, 1.6, 0.3], [30, -4, -0.4, 11, 2.5, 3.2, -3.0], [8, 6, -1, 0.6, 0.6, 1.7, 0]]
    )
    labels = np.array([ObjectClass.CAR, ObjectClass.BUS, ObjectClass.PEDESTRIAN], dtype=np.int64)
    truth = Objects(boxes, labels, np.array(["7", "12", "20"]))
    T_unit_vehicle = invert(T_world_unit) @ T_world_vehicle
    seen_by_unit = Objects(transform_boxes(T_unit_vehicle, boxes[1:]), labels[1:], truth.ids[1:])
    stamp_ns = START_NS + number * STEP_NS
    agents = {
        "vehicle": _agent("vehicle", stamp_ns, T_world_vehicle, truth[:2], generator, cameras),
        "infrastructure": _agent(
            "infrastructure", stamp_ns - 12_000, T_world_unit, seen_by_unit, generator, cameras
        ),
    }
    frame = CooperativeFrame(f"{sequence}/{number:04d}", sequence, "vehicle", agents, truth)
    return SimulatedFrame(frame, offset_m)


def make_empty_frame() -> SimulatedFrame:
    """Return a frame in which no sensor hit anything."""
    simulated = make_frame(0)
    nothing = {"points": np.zeros((0, 4), dtype=np.float32), "objects": Objects.empty(), "rings": None}
    agents = {name: replace(agent, **nothing) for name, agent in simulated.frame.agents.items()}
    frame = replace(simulated.frame, agents=agents, ground_truth=Objects.empty())
    return replace(simulated, frame=frame)


def make_frames(count: int, **options: object) -> Iterator[SimulatedFrame]:
    """Yield `count` frames of one sequence."""
    for number in range(count):
        yield make_frame(number, **options)


def _agent(kind, stamp_ns, T_world_agent, objects, generator, with_camera) -> AgentFrame:
    points = np.column_stack([generator.normal(0, 20, (50, 3)), generator.uniform(0, 1, 50)]).astype(
        np.float32
    )
    image = np.full((54, 96, 3), (200, 90, 30), dtype=np.uint8)
    camera = Camera(
        name="camera",
        image=image,
        K=np.array([[100.0, 0, 48], [0, 100, 27], [0, 0, 1]]),
        T_camera_agent=transform_from([[0, -1, 0], [0, 0, -1], [1, 0, 0]], [0.1, -0.2, 0.3]),
        stamp_ns=stamp_ns + 100_000_000,
    )
    return AgentFrame(
        agent_id=kind,
        kind=kind,
        stamp_ns=stamp_ns,
        T_world_agent=T_world_agent,
        points=points,
        cameras=(camera,) if with_camera else (),
        objects=objects,
        rings=(np.arange(50) % 16).astype(np.int16),
    )


def _leaning(roll: float, pitch: float) -> np.ndarray:
    cr, sr, cp, sp = np.cos(roll), np.sin(roll), np.cos(pitch), np.sin(pitch)
    return transform_from([[cp, sp * sr, sp * cr], [0, cr, -sr], [-sp, cp * sr, cp * cr]], [0, 0, 0])


def forget_origin(root: Path) -> None:
    """Take from a tree, in any layout, all that tells that we wrote it."""
    (root / FILE_NAME).unlink()
    for path in [*root.rglob("*.pcd"), *root.rglob("*.yaml")]:
        content = path.read_bytes().replace(f"# {MARK}\n".encode(), b"", 1)
        path.write_bytes(content.replace(MARK.encode(), b"").replace(b"cosense_", b""))
