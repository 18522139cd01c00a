"""Scene graphs beside registrations of libraries: `python benchmarks/registration_libraries.py [FOLDER]`.

The pairs of `registration_honesty.py`: simulated places of all families, and the KITTI drive in FOLDER where
it is there. From a prior that is off by 2 m and 2 degrees: scene graphs, our ICP, and GICP of small_gicp.
Without any prior: scene graphs, KISS-Matcher, and Open3D's fast global registration of FPFH, followed by its
ICP. What is not installed is left out, with a line that says so. Bytes are those of what B sends: its graph,
or its cloud with one point for each half metre.

KISS-Matcher and Open3D give no covariance, and count as registered wherever they give a pose.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from registration_honesty import (
    EXACT,
    GNSS_INS,
    KITTI,
    OFF_M,
    SIGMA_DEGREES,
    SIGMA_M,
    Pair,
    drive_pairs,
    honesty_row,
    simulated_pairs,
)
from registration_tables import ROOT
from timing import write

from cosense.geometry.transforms import Matrix, transform_from_planar
from cosense.messages.envelope import envelope_bytes
from cosense.messages.points import encode_points
from cosense.messages.scene_graph import transmitted
from cosense.methods.model import load_model
from cosense.scene_graph.register.result import Prior, RegistrationResult, Status
from cosense.scene_graph.registrations import SENT_VOXEL_M, Cloud, baseline, thinned_frame
from cosense.simulation import FAMILIES

OFF_DEGREES = 2.0
UNKNOWN = np.full((3, 3), np.nan)
Register = Callable[[Pair, Prior], RegistrationResult]


def clouds_of(pair: Pair) -> tuple[Cloud, Cloud]:
    """Return the cloud of a as measured, and that of b as sent."""
    return Cloud.of(pair.a.frame), Cloud.of(thinned_frame(pair.b.frame))


def by_clouds(name: str) -> Register:
    return lambda pair, prior: baseline(name)(*clouds_of(pair), prior)


def by_kiss_matcher(pair: Pair, prior: Prior) -> RegistrationResult:
    import kiss_matcher

    a, b = (list(cloud.points[:, :3].astype(np.float32)) for cloud in clouds_of(pair))
    settings = kiss_matcher.KISSMatcherConfig(voxel_size=SENT_VOXEL_M, use_quatro=True)
    found = kiss_matcher.KISSMatcher(settings).estimate(b, a)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = found.rotation, found.translation
    return posed(T) if found.valid else RegistrationResult(Status.TOO_FEW, "no valid pose")


def by_open3d(pair: Pair, prior: Prior) -> RegistrationResult:
    import open3d

    kit = open3d.pipelines.registration
    clouds, features = [], []
    for cloud in clouds_of(pair):
        xyz = open3d.utility.Vector3dVector(cloud.points[:, :3].astype(np.float64))
        one = open3d.geometry.PointCloud(xyz).voxel_down_sample(SENT_VOXEL_M)
        one.estimate_normals(open3d.geometry.KDTreeSearchParamHybrid(2 * SENT_VOXEL_M, 30))
        clouds.append(one)
        around = open3d.geometry.KDTreeSearchParamHybrid(5 * SENT_VOXEL_M, 100)
        features.append(kit.compute_fpfh_feature(one, around))
    option = kit.FastGlobalRegistrationOption(maximum_correspondence_distance=SENT_VOXEL_M)
    coarse = kit.registration_fgr_based_on_feature_matching(
        clouds[1], clouds[0], features[1], features[0], option
    )
    plane = kit.TransformationEstimationPointToPlane()
    fine = kit.registration_icp(clouds[1], clouds[0], 2 * SENT_VOXEL_M, coarse.transformation, plane)
    return posed(np.array(fine.transformation))


def posed(T: Matrix) -> RegistrationResult:
    """Return the result of what gives a pose and nothing else."""
    return RegistrationResult(Status.REGISTERED, "", T, UNKNOWN)


# By name: what registers, the library that it needs, whether it uses the prior.
METHODS: dict[str, tuple[Register, str, bool]] = {
    "scene graphs": (lambda pair, prior: pair.register(prior), "", True),
    "ICP": (by_clouds("icp"), "", True),
    "GICP (small_gicp)": (by_clouds("gicp"), "small_gicp", True),
    "scene graphs without prior": (lambda pair, prior: pair.register(), "", False),
    "KISS-Matcher without prior": (by_kiss_matcher, "kiss_matcher", False),
    "FPFH, FGR, ICP (Open3D) without prior": (by_open3d, "open3d", False),
}


def row(job: str, pairs: Sequence[Pair], name: str, reference: np.ndarray) -> dict[str, Any]:
    """Return success, errors, honesty, bytes and time of one method."""
    register, _, uses_prior = METHODS[name]
    rng = np.random.default_rng(OFF_M.index(2))
    sigmas = np.array([SIGMA_M, SIGMA_M, np.deg2rad(SIGMA_DEGREES)])
    results, spent_ms, sent = [], [], []
    for pair in pairs:
        direction, turn = rng.uniform(-np.pi, np.pi), rng.choice([-1, 1]) * np.deg2rad(OFF_DEGREES)
        T = pair.T_a_b @ transform_from_planar(0, 0, turn)
        T[:2, 3] += 2 * np.array([np.cos(direction), np.sin(direction)])
        start = time.thread_time()
        results.append(register(pair, Prior(T, np.diag(sigmas**2))))
        spent_ms.append((time.thread_time() - start) * 1e3)
        sent.append(bytes_of(pair, with_graph=name.startswith("scene graphs")))
    found = honesty_row(f"{job}: {name}", pairs, results, reference)
    if found["anees"] == "nan":
        found |= {"anees": "", "in 68 %": None, "in 95 %": None}
    asked = "prior off by 2 m, 2°" if uses_prior else ""
    return {**found, "prior": asked, "median_bytes": float(np.median(sent)), "ms": float(np.median(spent_ms))}


def bytes_of(pair: Pair, *, with_graph: bool) -> int:
    if with_graph:
        return transmitted(pair.b.graph)[1]
    thin = thinned_frame(pair.b.frame)
    return envelope_bytes(thin.agent_id) + len(encode_points(thin.points))


def main() -> None:
    """Simulate, register, write."""
    parser = argparse.ArgumentParser()
    usual = os.environ.get("COSENSE_SHARED_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(usual))
    parser.add_argument("--places", type=int, default=1)
    parser.add_argument("--every", type=int, default=8, help="of the pairs of the drive each so many-th")
    given = parser.parse_args()
    torch.set_num_threads(1)
    detector = load_model("cosense-lite").detector
    simulated = [pair for family in FAMILIES for pair in simulated_pairs(family, given.places, detector)]
    drive = drive_pairs(given.folder, detector)[:: given.every]
    rows = []
    for name, (_, library, _) in METHODS.items():
        if library and importlib.util.find_spec(library) is None:
            print(f"{name}: not measured, {library} is not installed")
            continue
        for job, pairs, reference in (("simulated", simulated, EXACT), (KITTI, drive, GNSS_INS)):
            if pairs:
                rows.append(row(job, pairs, name, reference))
                print(rows[-1], flush=True)
    write("registration_libraries", rows, "simulated by cosense; kitti_drive recorded by others")


if __name__ == "__main__":
    main()
