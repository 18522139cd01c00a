"""AP under the official protocol of DAIR-V2X, against figures that its own toolkit gives for the same frames.

The figures below were computed with v2x/v2x_utils/eval_utils.py of AIR-THU/DAIR-V2X (c885c54) on the frames
of `random_frames`; boxes of a band are those with a corner in it.
"""

from __future__ import annotations

import numpy as np

from cosense.evaluation.metrics.summary import summarise
from cosense.evaluation.protocol import load_protocol
from cosense.sensing.detections import Detections
from cosense.sensing.objects import ObjectClass, Objects
from tests.evaluation.scenes import detections, objects, result

KINDS = (ObjectClass.CAR, ObjectClass.PEDESTRIAN, ObjectClass.CYCLIST)
SIZES = {
    ObjectClass.CAR: (4.4, 1.8, 1.5),
    ObjectClass.PEDESTRIAN: (0.7, 0.7, 1.7),
    ObjectClass.CYCLIST: (1.8, 0.7, 1.6),
}
FIGURES = {
    "vehicle bev": [0.6123483711948444, 0.49560037103425975, 0.16527978814714903],
    "vehicle 3d": [0.5916968377287256, 0.4471193496005147, 0.07394215410832806],
    "pedestrian bev": [0.20052634294557775, 0.01855305079049633],
    "pedestrian 3d": [0.17204342240863257, 0.015939986634723617],
    "cyclist bev": [0.38244771555563023, 0.05307371261503653],
    "cyclist 3d": [0.3722526566507255, 0.031873261351313124],
    "0-30 bev": [0.6571674568007114, 0.5241363906517483, 0.2348876675855894],
    "0-30 3d": [0.6571674568007114, 0.5241363906517483, 0.14014926603991423],
    "30-50 bev": [0.5351708074534162, 0.4363526570048309, 0.18369565217391307],
    "30-50 3d": [0.5351708074534162, 0.4363526570048309, 0.03881987577639751],
    "50-100 bev": [0.623523679473555, 0.49205039931485783, 0.14180704866460775],
    "50-100 3d": [0.5811865880917386, 0.3957166472928382, 0.07569288353766086],
}


def random_frames(count: int = 25) -> list[tuple[Detections, Objects]]:
    """Return what is found and what there is: shifted, turned, twice, not at all, and where nothing is."""
    random = np.random.default_rng(15)
    frames = []
    for _ in range(count):
        labels = [KINDS[number] for number in random.integers(0, 3, 14)]
        truth = np.array(
            [
                [x, y, z, *np.multiply(SIZES[label], scale), yaw]
                for label, x, y, z, scale, yaw in zip(
                    labels,
                    random.uniform(1, 98, 14),
                    random.uniform(-38, 38, 14),
                    random.uniform(-1.2, -0.4, 14),
                    random.uniform(0.8, 1.2, 14),
                    random.uniform(-np.pi, np.pi, 14),
                    strict=True,
                )
            ]
        )
        seen = np.concatenate([np.flatnonzero(random.random(14) < share) for share in (0.8, 0.3)])
        seen = np.append(seen, [0, 1, 2, 3])
        found, kinds = truth[seen], [labels[number] for number in seen]
        found[:, :2] += random.normal(0, 0.35, (len(found), 2))
        found[:, 2] += random.normal(0, 0.1, len(found))
        found[:, 6] += random.normal(0, 0.15, len(found))
        found[-4:, 1] = random.uniform(-38, 38, 4)
        scores = random.permutation(np.arange(1, len(found) + 1)) / (len(found) + 1) * random.uniform(0.9, 1)
        frames.append((detections(found, scores, kinds), objects(truth, labels)))
    return frames


def figures() -> dict[str, list[float]]:
    """Return AP by class or band and kind of overlap, for each threshold."""
    protocol = load_protocol("dair_v2x_official")
    summary = summarise([result(found, truth) for found, truth in random_frames()], protocol)
    of_all = {
        f"{name} {kind}": list(values.values())
        for name, kinds in summary["ap_per_class"].items()
        for kind, values in kinds.items()
        if kind in ("bev", "3d")
    }
    of_bands = {
        f"{band} {kind}": list(summary["ap_per_band"][band][kind].values())
        for band in ("0-30", "30-50", "50-100")
        for kind in ("bev", "3d")
    }
    return of_all | of_bands


def test_32_figures_are_those_of_the_official_toolkit() -> None:
    ours = figures()
    assert ours.keys() == FIGURES.keys()
    for name, theirs in FIGURES.items():
        np.testing.assert_allclose(ours[name], theirs, rtol=0, atol=1e-15, err_msg=name)
