"""What the shipped models are worth on scenes that nobody has seen: README.md's table and docs/benchmarks.md.

Simulates T-junctions of a family and of seeds that neither training nor calibration has used, runs the sweeps
of `SWEEPS` over them, keeps each sweep.json beside the weights of the product profile and the pictures in
docs/images, and puts the tables of bytes and of disturbances into README.md. Run it from the repository's
root; names choose some of the sweeps:

    python benchmarks/validation.py [NAME ...]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosense.errors import nearest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("results/validation")
KEPT = ROOT / "models" / "cosense-lite" / "validation"
IMAGES = ROOT / "docs" / "images"
README = ROOT / "README.md"
# The sweeps whose tables stand in README.md.
IN_README = ("budget", "pose-noise", "delay", "registration", "registration-unannounced")
BEGIN, END = "<!-- validation table: benchmarks/validation.py -->\n", "<!-- end of validation table -->\n"

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
        "budget --model cosense-lite --fusion intermediate --values 2000,none --limit 60",
    ),
    "selection": (
        "data",
        "budget --model cosense-lite --fusion hybrid --selection ranked,random,confidence,supply_demand "
        "--values 500,2000,20000 --limit 60",
    ),
    "selection-features": (
        "data",
        "budget --model cosense-lite --fusion intermediate "
        "--selection ranked,random,confidence,supply_demand --values 2000,5000 --limit 60",
    ),
    "baselines": (
        "data",
        "budget --model cosdh,max-fusion,attention-fusion --fusion intermediate,hybrid "
        "--values 2000,20000,none --limit 60",
    ),
    "pose-noise": ("sequences", "pose-noise --model cosense-lite --limit 96"),
    "registration": (
        "sequences",
        "pose-noise --model cosense-lite --fusion hybrid "
        "--registration none,scene_graph,icp,boxes,spectral --values 0,0.2,0.4,0.6 --limit 96",
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
    "delay": ("sequences", "delay --model cosense-lite --limit 96"),
    "loss": ("sequences", "loss --model cosense-lite --limit 96"),
    "agents": ("many", "agents --model cosense-lite"),
    "grid": ("sequences", "grid --model cosense-lite --limit 144"),
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
    if set(IN_README) & set(wanted):
        README.write_text(with_table(README.read_text()))


def with_table(readme: str) -> str:
    """Return the README with the tables of the kept sweeps between its two marks."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    budget, noise, delay, *registrations = (kept(name) for name in IN_README)
    tables = (markdown(budget), disturbed(noise, delay), *map(repaired, registrations))
    return f"{before}{BEGIN}\n" + "\n".join(tables) + f"\n{END}{after}"


def kept(name: str) -> dict[str, Any]:
    """Return what a sweep has found."""
    content: dict[str, Any] = json.loads((KEPT / f"{name}.json").read_text())
    return content


def disturbed(noise: Mapping[str, Any], delay: Mapping[str, Any]) -> str:
    """Return late and hybrid fusion side by side where poses are wrong and where messages are late."""
    lines = [
        ["poses wrong by, messages late by", "late AP@0.5", "@0.7", "hybrid AP@0.5", "@0.7"],
        [":--", "--:", "--:", "--:", "--:"],
    ]
    for content, key, words in ((noise, "pose_noise", "{:g} m, {:g}°"), (delay, "delay_ms", "{:.0f} ms")):
        values = sorted({point[key] for point in content["points"] if point["fusion"] == "late"})
        alone = next(point for point in content["points"] if point["fusion"] == "none")
        lines.append([f"*{content['frames']} frames, ego alone*", *_aps(alone), *_aps(alone)])
        for value in values:
            of_value = {p["fusion"]: p for p in content["points"] if p[key] == value}
            row = [words.format(value, value), *_aps(of_value["late"]), *_aps(of_value["hybrid"])]
            lines.append(row)
    commands = " and ".join(f"`{content['command']}`" for content in (noise, delay))
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{commands}\n\n{rows}\n"


def repaired(content: Mapping[str, Any]) -> str:
    """Return a sweep of registrations over pose noise as a table with a row for each kind of registration."""
    alone, *points = content["points"]
    noises = sorted({point["pose_noise"] for point in points})
    kinds = list(dict.fromkeys(point["registration"] for point in points))
    told = "know it" if points[0]["is_announced"] else "do not know it"
    lines = [
        ["poses set right by", "kB/frame", *(f"{noise:g} m, {noise:g}°" for noise in noises)],
        [":--", *["--:"] * (1 + len(noises))],
        ["*ego alone*", "0", *[" / ".join(_aps(alone))] * len(noises)],
    ]
    for kind in kinds:
        of_noise = {point["pose_noise"]: point for point in points if point["registration"] == kind}
        sent = f"{of_noise[noises[0]]['bytes_per_frame']['mean'] / 1000:.3g}"
        cells = [" / ".join(_aps(of_noise[noise])) for noise in noises]
        lines.append(["nothing" if kind == "none" else kind, sent, *cells])
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"Hybrid, {content['frames']} frames, AP@0.5 / AP@0.7, poses that are wrong by so much and {told}: "
        f"`{content['command']}`\n\n{rows}\n"
    )


def _aps(point: Mapping[str, Any]) -> list[str]:
    return [f"{100 * point['ap'][iou]:.1f}" for iou in ("0.5", "0.7")]


def markdown(content: Mapping[str, Any]) -> str:
    """Return a sweep as a line that says what was measured, and a table with a row for each point."""
    points = content["points"]
    told = [
        key
        for key in (
            "model",
            "selection",
            "registration",
            "budget_bytes",
            "pose_noise",
            "delay_ms",
            "loss",
            "agents",
        )
        if len({str(point.get(key)) for point in points if point["fusion"] != "none"}) > 1
    ]
    names = {"budget_bytes": "budget B", "pose_noise": "noise m °", "delay_ms": "delay ms"}
    headings = ["fusion", *(names.get(key, key) for key in told)]
    figures = [*(f"AP@{iou}" for iou in points[0]["ap"]), "kB/frame", "p95", "gain@0.5"]
    lines = [headings + figures, [":--"] * len(headings) + ["--:"] * len(figures)]
    for point in points:
        sent = point["bytes_per_frame"]
        row = ["ego alone" if point["fusion"] == "none" else point["fusion"]]
        row += ["" if point.get(key) is None else f"{point[key]}" for key in told]
        row += [f"{100 * ap:.1f}" for ap in point["ap"].values()]
        row += [f"{sent[key] / 1000:.3g}" for key in ("mean", "p95")]
        row.append("" if point["difference"] is None else f"{point['difference']:+.1f}")
        lines.append(row)
    models = ", ".join(
        f"{name} {model['weights_sha256'][:12]} ({model['dtype'].removeprefix('torch.')})"
        for name, model in content["models"].items()
    )
    title = (
        f"{content['frames']} frames of {content['dataset']['path']}, protocol {content['protocol']} "
        f"{content['protocol_hash']}, seed {content['seed']}, {models}: `{content['command']}`"
    )
    return "\n".join([title, "", *("| " + " | ".join(line) + " |" for line in lines)]) + "\n"


def _cosense(arguments: str) -> None:
    program = Path(sys.executable).with_name("cosense")
    subprocess.run([str(program), *arguments.split()], cwd=ROOT, check=True, env=dict(os.environ))


if __name__ == "__main__":
    main()
