"""The figures of the README: ego alone, late and early fusion on a scene family that training never saw.

Simulates junctions that neither training nor its validation used, evaluates the model three ways, keeps the
metrics.json files beside the weights and puts the table into README.md. Run it from the repository's root:

    python benchmarks/validation.py
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from cosense.evaluation.table import markdown_table
from cosense.fusion.cooperate import FUSION_KINDS

ROOT = Path(__file__).resolve().parents[1]
DATA = Path("results/validation/data")
MODEL = "pillars-lite"
KEPT = ROOT / "models" / MODEL / "validation"
README = ROOT / "README.md"
BEGIN, END = "<!-- validation table: benchmarks/validation.py -->\n", "<!-- end of validation table -->\n"


def main() -> None:
    """Simulate, evaluate three ways, keep the figures."""
    shutil.rmtree(ROOT / DATA, ignore_errors=True)
    _cosense(f"simulate --out {DATA} --scene t_junction --frames 200 --sequence-frames 4 --seed 500000")
    KEPT.mkdir(parents=True, exist_ok=True)
    for fusion in FUSION_KINDS:
        out = Path("results/validation") / fusion
        options = f"--model {MODEL} --protocol simulated --fusion {fusion} --restart"
        _cosense(f"evaluate --data {DATA} {options} --out {out}")
        shutil.copy(ROOT / out / "metrics.json", KEPT / f"{fusion}.json")
    README.write_text(with_table(README.read_text()))


def with_table(readme: str) -> str:
    """Return the README with the table of the kept figures between its two marks."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    metrics = [json.loads((KEPT / f"{fusion}.json").read_text()) for fusion in FUSION_KINDS]
    return f"{before}{BEGIN}\n{markdown_table(metrics)}\n{END}{after}"


def _cosense(arguments: str) -> None:
    subprocess.run([str(Path(sys.executable).with_name("cosense")), *arguments.split()], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
