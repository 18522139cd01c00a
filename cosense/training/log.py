"""A run's log: CSV always, TensorBoard too where it is installed."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

TRAINING, VALIDATION = "training", "validation"
LOGS = (f"{TRAINING}.csv", f"{VALIDATION}.csv")


class Log:
    """Appends rows to <folder>/<table>.csv; the columns of a table are those of its first row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._board: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"))

    def write(self, table: str, step: int, values: dict[str, float]) -> None:
        """Append one row; a column that it has no value for stays empty."""
        path = self.folder / f"{table}.csv"
        is_new = not path.exists()
        with path.open("a+", newline="") as file:
            file.seek(0)
            columns = ["step", *values] if is_new else next(csv.reader(file))
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            if is_new:
                writer.writeheader()
            writer.writerow({"step": step, **{name: f"{value:.6g}" for name, value in values.items()}})
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{table}/{name}", value, step)

    def rewind(self, step: int) -> None:
        """Drop the rows after `step`, which a resumed run will write again."""
        for path in self.folder.glob("*.csv"):
            header, *rows = path.read_text().splitlines(keepends=True)
            path.write_text("".join([header, *(row for row in rows if int(row.split(",")[0]) <= step)]))
