"""What the shipped models are worth on scenes that nothing was trained on: figures of README.md and docs/.

Simulates places of families, of seeds and with LiDARs that neither training nor calibration has used, runs
the sweeps of `SWEEPS` over them, one on each core, keeps each sweep.json beside the weights of the product
profile and the pictures in docs/images, and writes the tables of README.md and docs/results.md. What is
simulated or swept already in results/validation is not done again. Run it from the repository's root. Names
choose some of the sweeps, `conditions` all tables of fusions under true, noisy and measured poses (about 20
minutes of two cores); --frames makes small ones in another folder, of which nothing is kept:

    python benchmarks/validation.py [NAME ...] [--frames N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from markdown import update
from validation_tables import CONDITIONS, KEPT, PAGES, with_tables

from cosense.errors import nearest

ROOT = Path(__file__).resolve().parents[1]
RESULTS, TRIED = Path("results/validation"), Path("results/validation-tried")
IMAGES = ROOT / "docs" / "images"

# Data sets by name: what `cosense simulate` makes them of, and how many frames. All of it is of families that
# no shipped model has seen; where there are several, they take turns.
DATA = {
    "t_junction": ("--scene t_junction --sequence-frames 8 --seed 610000", 192),
    "roundabout": ("--scene roundabout --sequence-frames 8 --seed 620000", 192),
    "underpass": ("--scene underpass --sequence-frames 8 --seed 630000", 192),
    "unseen_lidars": ("--scene unseen --lidar unseen --sequence-frames 8 --seed 640000", 192),
    "data": ("--scene unseen --sequence-frames 4 --seed 500000", 96),
    # The same places and traffic, with sensors that stand level and with sensors that lean.
    "level": ("--scene unseen --tilt 0 --sequence-frames 4 --seed 540000", 96),
    "tilted": ("--scene unseen --tilt 5 --sequence-frames 4 --seed 540000", 96),
    # Long enough for messages that are a second late.
    "sequences": ("--scene unseen --sequence-frames 16 --seed 510000", 96),
    "many": (
        "--scene unseen --sequence-frames 4 --seed 520000 --layout opv2v --agents vehicle=3,infrastructure=1",
        48,
    ),
    "crowd": (
        "--scene unseen --sequence-frames 6 --seed 530000 --layout opv2v --agents vehicle=5,infrastructure=1",
        48,
    ),
}
_CONDITIONS = (
    "pose-error --model cosense-lite --fusion late,early,intermediate,hybrid --registration none,scene_graph "
    "--values none,literature,dair"
)
# Sweeps by name: the data, and the arguments of `cosense sweep`.
SWEEPS = {
    **{name: (name, _CONDITIONS) for name in CONDITIONS},
    **{
        name: (
            name,
            "pose-error --model cosense-lite --fusion late,hybrid --registration none,scene_graph "
            "--values none,dair",
        )
        for name in ("level", "tilted")
    },
    "budget": (
        "data",
        "budget --model cosense-lite --fusion late,early,intermediate,hybrid --registration none "
        "--values 500,1000,2000,5000,20000,none",
    ),
    "selection": (
        "data",
        "budget --model cosense-lite --fusion intermediate,hybrid --registration none "
        "--selection ranked,random,confidence,supply_demand --values 500,2000,20000 --frames 48",
    ),
    "baselines": (
        "data",
        "budget --model cosdh,max-fusion,attention-fusion --fusion intermediate,hybrid --registration none "
        "--values 2000,20000,none --frames 48",
    ),
    "pose-noise": ("sequences", "pose-noise --model cosense-lite --registration none"),
    "registration": (
        "sequences",
        "pose-noise --model cosense-lite --fusion hybrid "
        "--registration none,scene_graph,icp,boxes,spectral --values 0,0.2,0.4,0.6",
    ),
    "registration-unannounced": (
        "sequences",
        "pose-noise --model cosense-lite --fusion hybrid --registration none,scene_graph "
        "--values 0,0.2,0.4,0.6,1,2 --unannounced",
    ),
    "registration-many": (
        "many",
        "pose-error --model cosense-lite --fusion hybrid --registration none,scene_graph "
        "--values none,literature,dair",
    ),
    "delay": ("sequences", "delay --model cosense-lite --registration none"),
    "loss": ("sequences", "loss --model cosense-lite --registration none"),
    "agents": ("many", "agents --model cosense-lite --registration none"),
    "grid": ("sequences", "grid --model cosense-lite --registration none"),
    "attack": (
        "crowd",
        "attack --model cosense-lite --registration none --fusion late,hybrid --attackers 0,1,4 "
        "--attack ghosts,turned,fat,shift,pose,replay,sybil,flood,patches,removal,spoof "
        "--defence none,full --frames 24",
    ),
}


def main() -> None:
    """Simulate what is missing, sweep, keep the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--frames", type=int)
    given = parser.parse_args()
    try:
        wanted = chosen(given.names)
    except ValueError as error:
        sys.exit(str(error))
    results = TRIED if given.frames else RESULTS
    sets = dict.fromkeys(SWEEPS[name][0] for name in wanted)
    missing = [name for name in sets if not (ROOT / results / name / "cosense.json").is_file()]
    _side_by_side([simulation(name, results, given.frames) for name in missing])
    _side_by_side([sweep_of(name, results, given.frames) for name in wanted])
    if given.frames:
        return
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        shutil.copy(ROOT / results / f"sweep-{name}" / "sweep.json", KEPT / f"{name}.json")
        shutil.copy(ROOT / results / f"sweep-{name}" / "sweep.png", IMAGES / f"sweep-{name}.png")
    update(PAGES, with_tables, check=False)


def chosen(names: Sequence[str]) -> list[str]:
    """Return the sweeps that names choose, all without any.

    Raises:
        ValueError: there is no such sweep; names the nearest.
    """
    groups = {"conditions": list(CONDITIONS)}
    for name in names:
        if name not in SWEEPS and name not in groups:
            raise ValueError(f"no sweep '{name}', {nearest(name, [*SWEEPS, *groups])}")
    return list(dict.fromkeys(sweep for name in names or SWEEPS for sweep in groups.get(name, [name])))


def simulation(name: str, results: Path, frames: int | None = None) -> list[str]:
    """Return the words after `cosense` that simulate a data set, or its first frames."""
    arguments, usual = DATA[name]
    return f"simulate --out {results / name} --frames {frames or usual} {arguments}".split()


def sweep_of(name: str, results: Path, frames: int | None = None) -> list[str]:
    """Return the words after `cosense` that make a sweep, or one over the first frames."""
    data, arguments = SWEEPS[name]
    words = f"sweep {arguments} --data {results / data} --out {results / f'sweep-{name}'}".split()
    return [*words, "--frames", str(frames)] if frames else words


def _side_by_side(commands: Sequence[Sequence[str]]) -> None:
    """Run commands, one on each core."""
    program = Path(sys.executable).with_name("cosense")

    def run(words: Sequence[str]) -> None:
        subprocess.run([program, *words], cwd=ROOT, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(run, commands):
            pass


if __name__ == "__main__":
    main()
