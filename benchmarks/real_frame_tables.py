"""Tables of what detectors and cooperation are worth on real frames, in README.md, docs/results.md and cards.

python benchmarks/real_frame_tables.py            # writes the pages
python benchmarks/real_frame_tables.py --check    # status 1 where a page differs from what is kept
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markdown import filled, paragraph, percent, table, update

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "models"
KEPT = MODELS / "cosense-lite" / "validation" / "real"
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
CARDS = sorted(
    path.parent / "card.md"
    for path in MODELS.glob("*/config.yaml")
    if (path.parent / "weights.safetensors").is_file()
)
# The section of a card, and the one that it goes before.
SECTION = """## On real frames

<!-- real frames: benchmarks/real_frames.py -->
<!-- end of real frames -->

"""
BEFORE = "## Configuration of the run\n"
SCRIPT = "benchmarks/real_frames.py"
PRODUCT = "cosense-lite"
SETS = {"kitti_drive": "KITTI drive", "argoverse2": "Argoverse 2"}
POSES = {None: "true poses", "dair_corrected": "corrected", "dair": "as measured, unannounced"}
# Rows: name, fusion, how poses are corrected.
ROWS = (
    ("alone", "none", "none"),
    ("late", "late", "none"),
    ("late + registration", "late", "scene_graph"),
    ("hybrid", "hybrid", "none"),
    ("hybrid + registration", "hybrid", "scene_graph"),
)
DISTANCES = ("0-15", "15-30", "30-50")

Row = Mapping[str, Any]


def keep(name: str, made_by: str, rows: Sequence[Row]) -> None:
    """Keep what was measured beside the weights of the product profile."""
    KEPT.mkdir(parents=True, exist_ok=True)
    content = {"command": made_by, "rows": rows}
    (KEPT / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def write_pages(*, check: bool | None = None) -> None:
    """Write all pages, or only say which differ; see `update`."""
    update(PAGES, lambda page: filled(page, SCRIPT, TABLES), check=check)
    for card in CARDS:
        update([card], partial(with_card_table, model=card.parent.name), check=check)


def with_card_table(page: str, model: str) -> str:
    """Return the card of a model with its rows in a section of their own."""
    if SECTION.splitlines()[0] not in page:
        before, configuration, rest = page.partition(BEFORE)
        page = f"{before.rstrip()}\n\n{SECTION}{configuration}{rest}".rstrip() + "\n"
    return filled(page, SCRIPT, {"real frames": of_kept("frames", lambda rows: frames(rows, model))})


def of_kept(name: str, make: Callable[[Sequence[Row]], str]) -> Callable[[], str]:
    """Return what makes a table of kept rows, or says that they are to be measured first."""

    def made() -> str:
        path = KEPT / f"{name}.json"
        rows = json.loads(path.read_text())["rows"] if path.is_file() else []
        if not rows or not all(map(_is_current, rows)):
            return paragraph(f"To be measured with the weights that ship: `python {SCRIPT}`.")
        return make(rows)

    return made


def frames(rows: Sequence[Row], model: str | None = None) -> str:
    """Return what detectors find alone on real frames.

    Args:
        rows: of `real_frames.detectors`.
        model: only the detector of this model; None for all, named by the models that have it.
    """
    lines = []
    for row in rows:
        if model is not None and model not in row["models"]:
            continue
        working = row["working"]
        name = f"{SETS.get(row['data'], row['data'])}, {row['class']}"
        line = [name if model else f"{', '.join(row['models'])}: {name}", str(working["num_ground_truth"])]
        line += [percent(row["ap"].get(iou)) for iou in ("0.3", "0.5")]
        line += [percent(working["recall"].get(iou)) for iou in ("0.3", "0.5")]
        line += [percent(working["recall_by_distance"].get(distance)) for distance in DISTANCES]
        line += [_decimals(working["false_per_frame"]), percent(working["precision"])]
        line += [percent(working["mean_score"]), percent(working["reversed"])]
        lines.append([*line, _decimals(working["length_bias_m"])])
    score = rows[0]["working"]["score"]
    headings = ["real frames, one agent", "objects", "AP@0.3", "@0.5", "found@0.3 %", "@0.5"]
    headings += [*(f"{distance} m" for distance in DISTANCES), "false/frame"]
    headings += ["precision %", "said %", "reversed %", "longer m"]
    said = f"Protocol {rows[0]['protocol']}; from `found` on, boxes with a score above {score:g}."
    return f"{table(headings, lines)}\n{paragraph(said)}"


def frames_in_short(rows: Sequence[Row]) -> str:
    """Return what the product's detector finds alone, in a few columns."""
    lines = []
    for row in rows:
        if PRODUCT in row["models"]:
            working = row["working"]
            line = [f"{SETS.get(row['data'], row['data'])}, {row['class']}", str(working["num_ground_truth"])]
            line += [percent(row["ap"].get("0.5")), percent(working["recall"].get("0.3"))]
            lines.append([*line, _decimals(working["false_per_frame"])])
    headings = ["real frames, one agent", "objects", "AP@0.5", "found %", "false a frame"]
    return table(headings, lines)


def pairs(rows: Sequence[Row]) -> str:
    """Return cooperation on pairs of real frames: a row for each fusion, true and wrong poses beside."""
    parts = []
    for data in dict.fromkeys(row["data"] for row in rows):
        of_data = {(row["fusion"], row["pose_error"]): row for row in rows if row["data"] == data}
        lines = []
        for name, fusion, _ in ROWS:
            exact = of_data[name, None]
            under = [of_data[name, None if fusion == "none" else error] for error in POSES]
            cells = [_sure(row["recall"]) for row in under]
            others = [_decimals(row["other_boxes"]["mean"]) for row in (under[0], under[-1])]
            kilo = f"{exact['bytes']['mean'] / 1000:.3g}"
            lines.append([name, *cells, " / ".join(others), kilo])
        first = of_data["late", None]
        title = (
            f"{SETS.get(data, data)}, recorded by others: {first['frames']} pairs, "
            f"{first['num_ground_truth']} standing cars to find, protocol {first['protocol']}, "
            f"{of_data['late', 'dair']['seeds']} draws of the errors (± standard deviation):"
        )
        headings = ["real pairs: found at IoU 0.5, %", *POSES.values(), "other boxes, true / as measured"]
        parts.append(f"{paragraph(title)}\n{table([*headings, 'kB a frame'], lines)}")
    return "\n".join(parts)


# What is between which marks.
TABLES = {
    "real frames": of_kept("frames", frames),
    "real frames in short": of_kept("frames", frames_in_short),
    "real pairs": of_kept("pairs", pairs),
}


def _is_current(row: Row) -> bool:
    """Say whether a row was measured with the weights that ship."""
    return all(
        hashlib.sha256((MODELS / name / "weights.safetensors").read_bytes()).hexdigest() == said
        for name, said in row["models"].items()
    )


def _decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _sure(value: Mapping[str, float]) -> str:
    spread = f" ± {percent(value['deviation'])}" if value["deviation"] else ""
    return f"{percent(value['mean'])}{spread}"


if __name__ == "__main__":
    write_pages()
