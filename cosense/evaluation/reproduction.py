"""Published tables with our own figures beside them: every row that our models can fill, on data on disk.

A run of ours is evaluated once for each split and label set, and counted under the protocol of each table
that shows it. It goes on where it was stopped, like `cosense evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from cosense.data import open_dataset
from cosense.data.dataset import Dataset
from cosense.errors import CosenseError, counted
from cosense.evaluation.metrics.summary import summarise
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.published import Ours, Published, PublishedTable, Row
from cosense.evaluation.run_files import FRAMES, frame_result
from cosense.evaluation.runs.pose_noise import PoseNoise
from cosense.evaluation.runs.runner import RunState, evaluate
from cosense.json_lines import read_lines
from cosense.methods.model import Model

# Called with what is being run, and how far it is.
Report = Callable[[str, RunState], None]


@dataclass(frozen=True)
class Reproduction:
    """What is to be run.

    Attributes:
        published: the tables.
        path: root of the data set.
        models: by name; rows without a method are of the first, others of the first that has the method.
        out: folder of all runs.
        limit: number of frames of each run, the first ones; None for all.
        skip_broken: whether to leave out frames that cannot be read.
        restart: whether to throw away what `out` holds.
    """

    published: Published
    path: Path
    models: Mapping[str, Model]
    out: Path
    limit: int | None = None
    skip_broken: bool = False
    restart: bool = False

    def tables(self, report: Report) -> list[dict[str, Any]]:
        """Run all rows, and return the tables, ready for JSON.

        Raises:
            CosenseError: the data set is of another kind, or a frame of it cannot be read.
        """
        self._check_layout()
        done: set[Path] = set()
        return [self._table(table, done, report) for table in self.published.tables]

    def _check_layout(self) -> None:
        kind = open_dataset(self.path).kind
        if self.published.layout not in kind:
            raise CosenseError(
                f"{self.path}: is {kind}, expected {self.published.layout}: {self.published.page} says where "
                "to get it and how it is laid out"
            )

    def _table(self, table: PublishedTable, done: set[Path], report: Report) -> dict[str, Any]:
        rows = [self._row(table, row, done, report) for row in table.rows]
        return {
            "name": table.name,
            "title": table.title,
            "note": " ".join(table.note.split()),
            "protocol": table.protocol,
            "protocol_hash": load_protocol(table.protocol).hash,
            "split": table.split,
            "labels": table.labels,
            "frames": table.frames,
            "columns": list(table.columns),
            "rows": rows,
        }

    def _row(self, table: PublishedTable, row: Row, done: set[Path], report: Report) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "name": row.name,
            "figures": row.figures,
            "bytes": row.bytes,
            "source": row.source,
            "reason": row.reason,
            "ours": None,
        }
        if row.ours is None:
            return entry
        model = self._model(row.ours)
        if model is None:
            entry["reason"] = (
                f"none of the models shares features by {row.ours.method}; name one with --model"
            )
            return entry
        try:
            dataset = open_dataset(
                self.path, split=table.split, labels=table.labels, async_frames=row.ours.async_frames
            )
        except CosenseError as error:
            entry["reason"] = f"{error} ({self.published.page})"
            return entry
        return entry | {"ours": self._figures(table, row.ours, model, dataset, done, report)}

    def _model(self, ours: Ours) -> Model | None:
        """Return the model to run, None where none of the models has the method."""
        for model in self.models.values():
            if ours.method in (None, model.method_name):
                return model
        return None

    def _figures(
        self,
        table: PublishedTable,
        ours: Ours,
        model: Model,
        dataset: Dataset,
        done: set[Path],
        report: Report,
    ) -> dict[str, Any]:
        """Return what our run reaches in the columns of a table."""
        protocol = load_protocol(table.protocol)
        settings = [value for value in asdict(ours).values() if value not in (None, 0, "none")]
        name = "-".join(str(part) for part in (dataset.split, dataset.label_set, model.name, *settings))
        folder = self.out / name.replace("/", "-")
        if folder not in done:
            evaluate(
                dataset,
                model,
                protocol,
                fusion=ours.fusion,
                out=folder,
                budget_bytes=ours.budget_bytes,
                limit=self.limit,
                command="cosense reproduce",
                progress=lambda state: report(name, state),
                pose_noise=PoseNoise.named(ours.pose_error),
                registration=ours.registration,
                skip_broken=self.skip_broken,
                restart=self.restart,
            )
            done.add(folder)
        lines = list(islice(read_lines(folder / FRAMES), self.limit))
        records = [record for record in lines if "skipped" not in record]
        summary = summarise(map(frame_result, records), protocol)
        return {
            "model": model.name,
            "weights_sha256": model.detector.weights_sha256,
            "run": str(folder),
            "frames": len(records),
            "figures": {column: _figure(summary, column) for column in table.columns},
            "bytes": summary["bytes_per_frame"]["mean"],
        }


def _figure(summary: Mapping[str, Any], column: str) -> float | None:
    """Return a figure in percent."""
    kind, _, threshold = column.partition("@")
    value = summary[kind].get(threshold)
    return None if value is None else 100 * value


def markdown(content: Mapping[str, Any]) -> str:
    """Return the content of reproduction.json as a page with a table for each published one."""
    lines = [
        f"# {content['name']}: published, and ours",
        "",
        f"Data: {content['data']}. Command: `{content['command']}`",
        "",
        "Figures are AP in %, published / ours; bytes are those of a frame and collaborator.",
    ]
    for table in content["tables"]:
        lines += ["", f"## {table['name']}", "", heading_of(table), ""]
        headings, rows = table_cells(table)
        lines += [
            "| " + " | ".join(headings) + " |",
            "| :-- |" + " --: |" * (len(headings) - 2) + " :-- |",
            *("| " + " | ".join(row) + " |" for row in rows),
        ]
        sources = dict.fromkeys(row["source"] for row in table["rows"] if row["source"])
        lines += ["", "Published in: " + "; ".join(sources) + "."] if sources else []
    return "\n".join(lines) + "\n"


def heading_of(table: Mapping[str, Any]) -> str:
    """Return in words what a table shows."""
    text = (
        f"{table['title'][0].upper()}{table['title'][1:]}. "
        f"Protocol {table['protocol']} {table['protocol_hash']}, split {table['split']}, "
        f"labels {table['labels']}."
    )
    # Runs with earlier frames of the others have fewer: some pairs have no such frame.
    most = max((row["ours"]["frames"] for row in table["rows"] if row["ours"]), default=None)
    if most is not None and table["frames"] and most != table["frames"]:
        text += f" **Ours are of {most} frames, published ones of {table['frames']}: not comparable.**"
    return f"{text} {table['note']}".strip()


def table_cells(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the headings of a table, and the cells of its rows: published / ours, and what made ours."""
    headings = ["", *(_heading(column) for column in table["columns"]), "bytes", "ours"]
    rows = []
    for row in table["rows"]:
        ours = row["ours"] or {"figures": {}, "bytes": None, "model": row["reason"], "frames": None}
        cells = [
            _pair(row["figures"].get(column), ours["figures"].get(column), ".1f")
            for column in table["columns"]
        ]
        rows.append([row["name"], *cells, _pair(row["bytes"], ours["bytes"], ",.0f"), ours["model"]])
    return headings, rows


def notes_of(content: Mapping[str, Any]) -> str:
    """Return in words how much of the tables is ours."""
    rows = [row for table in content["tables"] for row in table["rows"]]
    filled = sum(row["ours"] is not None for row in rows)
    return f"{filled} of {counted(len(rows), 'row')} have figures of ours; the others say why not."


def _heading(column: str) -> str:
    return column.replace("ap_3d", "AP 3D").replace("ap", "AP")


def _pair(published: float | None, ours: float | None, form: str) -> str:
    return " / ".join("–" if value is None else format(value, form) for value in (published, ours))


def models_named(models: Sequence[Model]) -> dict[str, Model]:
    """Return models by name.

    Raises:
        CosenseError: two have the same name, so that their runs would share a folder.
    """
    named = {model.name: model for model in models}
    if len(named) < len(models):
        raise CosenseError("two of the models have the same name: rename the folder of one")
    return named
