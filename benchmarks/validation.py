"""What the shipped models are worth on scenes that nothing was trained on: figures of README.md and docs/.

Simulates T-junctions of a family and of seeds that neither training nor calibration has used, runs the sweeps
of `SWEEPS` over them, keeps each sweep.json beside the weights of the product profile and the pictures in
docs/images, and writes the tables of README.md and docs/results.md. Run it from the repository's root; names
choose some of the sweeps:

    python benchmarks/validation.py [NAME ...]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from markdown import update
from validation_tables import KEPT, PAGES, with_tables

from cosense.errors import nearest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("results/validation")
IMAGES = ROOT / "docs" / "images"

# Data sets by name: what `cosense simulate` makes them of.
DATA = {
    "data": "--scene t_junction --frames 200 --sequence-frames 4 --seed 500000",
    # Long enough for messages that are a second late.
    "sequences": "--scene t_junction --frames 192 --sequence-frames 16 --seed 510000",
    # Nothing has been tuned on it.
    "unseen": "--scene t_junction --frames 96 --sequence-frames 8 --seed 580000",
    "families": "--scene crossing,parked_road,curved_road,car_park --frames 64 --sequence-frames 8 "
    "--seed 550000",
    "many": "--scene t_junction --frames 40 --sequence-frames 4 --seed 520000 "
    "--layout opv2v --agents vehicle=3,infrastructure=1",
}
# Sweeps by name: the data, and the arguments of `cosense sweep`.
SWEEPS = {
    "budget": (
        "data",
        "budget --model cosense-lite --fusion late,early,hybrid --values 500,1000,2000,5000,20000,none",
    ),
    "intermediate": (
        "data",
        "budget --model cosense-lite --fusion intermediate --values 2000,none --frames 60",
    ),
    "selection": (
        "data",
        "budget --model cosense-lite --fusion hybrid --selection ranked,random,confidence,supply_demand "
        "--values 500,2000,20000 --frames 60",
    ),
    "selection-features": (
        "data",
        "budget --model cosense-lite --fusion intermediate "
        "--selection ranked,random,confidence,supply_demand --values 2000,5000 --frames 60",
    ),
    "baselines": (
        "data",
        "budget --model cosdh,max-fusion,attention-fusion --fusion intermediate,hybrid "
        "--values 2000,20000,none --frames 60",
    ),
    "pose-noise": ("sequences", "pose-noise --model cosense-lite --frames 96"),
    "registration": (
        "sequences",
        "pose-noise --model cosense-lite --fusion hybrid "
        "--registration none,scene_graph,icp,boxes,spectral --values 0,0.2,0.4,0.6 --frames 96",
    ),
    "registration-unannounced": (
        "unseen",
        "pose-noise --model cosense-lite --fusion hybrid --registration none,scene_graph "
        "--values 0,0.2,0.4,0.6,1,2 --unannounced",
    ),
    "registration-families": (
        "families",
        "pose-noise --model cosense-lite --fusion hybrid --registration none,scene_graph --values 0,0.4,0.6 "
        "--seed 2",
    ),
    "registration-many": (
        "many",
        "pose-noise --model cosense-lite --fusion hybrid --registration none,scene_graph --values 0,0.4,0.6",
    ),
    "delay": ("sequences", "delay --model cosense-lite --frames 96"),
    "loss": ("sequences", "loss --model cosense-lite --frames 96"),
    "agents": ("many", "agents --model cosense-lite"),
    "grid": ("sequences", "grid --model cosense-lite --frames 144"),
}


def main() -> None:
    """Simulate what is missing, sweep, keep the figures."""
    wanted = sys.argv[1:] or list(SWEEPS)
    for name in wanted:
        if name not in SWEEPS:
            sys.exit(f"no sweep '{name}', {nearest(name, SWEEPS)}")
    for name in wanted:
        data, arguments = SWEEPS[name]
        if not (ROOT / RESULTS / data / "cosense.json").is_file():
            _cosense(f"simulate --out {RESULTS / data} {DATA[data]}")
        out = RESULTS / name
        _cosense(f"sweep {arguments} --data {RESULTS / data} --out {out}")
        KEPT.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / out / "sweep.json", KEPT / f"{name}.json")
        shutil.copy(ROOT / out / "sweep.png", IMAGES / f"sweep-{name}.png")
    update(PAGES, with_tables)


def _cosense(arguments: str) -> None:
    program = Path(sys.executable).with_name("cosense")
    subprocess.run([str(program), *arguments.split()], cwd=ROOT, check=True, env=dict(os.environ))


if __name__ == "__main__":
    main()
