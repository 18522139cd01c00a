"""A frame of two agents, clouds to fused boxes: `python benchmarks/cooperation.py`.

The product profile stage by stage, in float32 and, where the processor multiplies bfloat16 matrices, in that.
Then CoSDH in the published network size, by our schedule and by the published one (CVPR 2025), with the same
modules: published, the backbone runs twice in each forward pass, every agent's confidence pass runs neck and
head, and the late boxes come from a second call that encodes both agents again. Ours runs everything once:
supply and late boxes of the sender are one pass.

Weights do not change these times, so the large network is untrained. Its scores would all be the same then,
and CoSDH would send every cell or none; the threshold is set so that a tenth of the cells goes out.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import measure, write

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego
from cosense.cooperation.offline import Cooperation
from cosense.cooperation.perceived import Perceiver
from cosense.cooperation.requests import write_requests
from cosense.cooperation.sender import Sender
from cosense.data.dataset import CooperativeFrame
from cosense.detectors.base import BevFeatures
from cosense.detectors.pillars import PillarDetector, PillarsConfig
from cosense.messages.envelope import decode
from cosense.messages.features import decode_features
from cosense.methods.cosdh.levels import CosdhConfig, fuse_maps, warp
from cosense.methods.cosdh.method import Cosdh
from cosense.methods.model import Model, load_model, read_model_config
from cosense.sensing.frame import AgentFrame
from cosense.sensing.ground import GroundSurface
from cosense.sensing.levelling import level_cloud
from cosense.simulation import simulate

MODELS = Path(__file__).resolve().parents[1] / "models"
BUDGET_BYTES = 2000
LIMIT_MS, CODING_LIMIT_MS, SCHEDULE_LIMIT = 100, 10, 0.5
_SENT_SHARE = 0.1


def product_rows(frame: CooperativeFrame, earlier: CooperativeFrame) -> list[dict[str, Any]]:
    """Return the stages of the product profile, a row for each precision that this machine has."""
    rows = []
    dtypes = set()
    for precision in ("auto", "float32"):
        model = _lite(precision)
        if model.detector.dtype not in dtypes:
            dtypes.add(model.detector.dtype)
            rows.append(_stages(model, frame, earlier))
    return rows


def _lite(precision: str) -> Model:
    """Return the shipped product profile in a precision."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(MODELS / "cosense-lite", Path(folder) / "cosense-lite"))
        with (copy / "config.yaml").open("a") as file:
            file.write(f"precision: {precision}\n")
        return load_model(copy)


def _stages(model: Model, frame: CooperativeFrame, earlier: CooperativeFrame) -> dict[str, Any]:
    """Return the least times of what happens to one frame in one process.

    What a method computes of an encoding is kept with it, so each measurement gets a copy of the encoding.
    """
    detector, method = model.detector, model.method
    assert method is not None
    mine, theirs = (Perceiver(detector).perceive(agent) for agent in (frame.ego, frame.others[0]))
    own_features, features = mine.encoded, theirs.encoded
    assert isinstance(own_features, BevFeatures)
    assert isinstance(features, BevFeatures)
    ego, sender = (
        Ego(model, "hybrid"),
        Sender(theirs.frame.agent_id, model, "hybrid", budget_bytes=BUDGET_BYTES),
    )
    own = ego.view(mine, 0)
    cooperation = Cooperation(model, "hybrid", budget_bytes=BUDGET_BYTES)
    cooperation.step([earlier.ego, *earlier.others], 0)
    requests = write_requests(own.message, method.request(own_features), [])
    for request in requests.values():
        sender.receive_request(request)
    data = sender.message(theirs, 0, sender.request)
    assert data is not None
    shape = method.detector.grid.shape
    offer_ms = measure(
        lambda: method.offer(dataclasses.replace(features), _all_wanted(shape), None, 0, with_boxes=True), 10
    )
    # The encoding of `theirs` has been offered already: the rest of a message is left.
    rest_ms = measure(lambda: sender.message(theirs, 0, sender.request), 10)
    cached_ms = measure(lambda: method.offer(features, _all_wanted(shape), None, 0, with_boxes=True), 10)
    read_ms = measure(lambda: decode_features(decode(data).payload).layers(method.specs, shape), 10)
    fuse_ms = measure(lambda: ego.fuse(own, [receive(data)]), 10)
    request_ms = measure(lambda: write_requests(own.message, method.request(own_features), []), 10)
    return {
        "job": f"cosense-lite, hybrid, {BUDGET_BYTES} B",
        "dtype": str(detector.dtype).removeprefix("torch."),
        "encode_two_clouds_ms": measure(lambda: [detector.encode(a) for a in (mine.frame, theirs.frame)], 10),
        "patch_encoder_and_ranking_ms": offer_ms,
        "boxes_packing_writing_ms": rest_ms - cached_ms,
        "reading_ms": read_ms,
        "fusing_and_boxes_ms": fuse_ms - read_ms - request_ms,
        "request_ms": request_ms,
        "whole_frame_ms": measure(lambda: cooperation.step([frame.ego, frame.others[0]], 1), 10),
        "limit_ms": LIMIT_MS,
        "bytes": len(data),
    }


def _all_wanted(shape: tuple[int, int]) -> Callable[[int], torch.Tensor]:
    return lambda stride: torch.ones(-(-shape[0] // stride), -(-shape[1] // stride), dtype=torch.bool)


def schedule_rows(frame: CooperativeFrame) -> list[dict[str, Any]]:
    """Return our schedule of CoSDH and the published one, in turns on the same modules."""
    paper = read_model_config(MODELS / "pillars-paper").detector
    model = _untrained(paper, CosdhConfig())
    model = _untrained(paper, CosdhConfig(supply_threshold=_threshold(model, frame.others[0])))
    cooperation = Cooperation(model, "hybrid")
    agents = [frame.ego, *frame.others]
    ours_ms = published_ms = float("inf")
    for _ in range(3):
        ours_ms = min(ours_ms, measure(lambda: cooperation.step(agents, 0), 1))
        published_ms = min(published_ms, measure(lambda: published(model, frame), 1))
    return [
        {"job": "CoSDH, paper size, our schedule", "whole_frame_ms": ours_ms},
        {
            "job": "CoSDH, paper size, published schedule",
            "whole_frame_ms": published_ms,
            "ours_to_published": ours_ms / published_ms,
            "limit_ratio": SCHEDULE_LIMIT,
        },
    ]


def _untrained(paper: PillarsConfig, cosdh: CosdhConfig) -> Model:
    config = dataclasses.replace(paper, precision="float32")
    name = "cosdh, paper size"
    detector = PillarDetector(name, config, PillarDetector.build(config, seed=0))
    return Model(name, detector, Cosdh(cosdh, detector, Cosdh.build(cosdh, detector, seed=0)))


def _threshold(model: Model, agent: AgentFrame) -> float:
    assert model.method is not None
    _, supply = model.method.supply(model.detector.encode(agent))
    return float(np.quantile(supply.numpy(), 1 - _SENT_SHARE))


def published(model: Model, frame: CooperativeFrame) -> None:
    """Do what the published code does in a frame: a forward pass for the ego, another one for late boxes."""
    detector, method = model.detector, model.method
    assert isinstance(detector, PillarDetector)
    assert isinstance(method, Cosdh)
    T_other_ego = np.linalg.inv(frame.T_ego_agent(frame.others[0].agent_id))
    decoded = [_forward(detector, method, agent.points) for agent in (frame.ego, frame.others[0])]
    warped = [
        warp(level, detector.grid.coarser(2 ** (index + 1)), T_other_ego)
        for index, level in enumerate(decoded[1])
    ]
    fusion = method.config.fusion
    fused = [fuse_maps(own, [other], fusion) for own, other in zip(decoded[0], warped, strict=True)]
    counts = torch.zeros(detector.grid.shape, dtype=torch.int64)
    detector.decode(detector.decide(fused, counts, GroundSurface.level(0.0)))
    late = [_forward(detector, method, agent.points) for agent in (frame.others[0], frame.ego)]
    passes = [detector.decide(levels, counts, GroundSurface.level(0.0)) for levels in late]
    detector.decode(passes[0])


def _forward(detector: PillarDetector, method: Cosdh, points: np.ndarray) -> list[torch.Tensor]:
    """Return one agent's levels as the published forward pass makes them: backbone twice, then the codec."""
    level = level_cloud(points)
    pillars = detector.group(level.points, level.ground)
    with torch.inference_mode():
        detector.network.encode(pillars)
        features = detector.infer(pillars, level.ground)
        latents = method.codecs.encode([level[None].float() for level in features.levels])
        everything = [torch.ones(latent.shape[-2:]) for latent in latents]
        return [level[0] for level in method.codecs.decode(latents, everything)]


def main() -> None:
    """Measure, two threads."""
    torch.set_num_threads(2)
    earlier, frame = (made.frame for made in simulate("t_junction", 500_000, 2))
    rows = product_rows(frame, earlier)
    for row in rows:
        row["select_code_decode_ms"] = row["boxes_packing_writing_ms"] + row["reading_ms"]
        row["coding_limit_ms"] = CODING_LIMIT_MS
    write("cooperation", rows + schedule_rows(frame))


if __name__ == "__main__":
    main()
