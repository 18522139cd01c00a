"""How far something is: a bar on a terminal, a plain line now and then in a file or a pipe."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

PLAIN_LINE_S = 10.0


class ProgressDisplay(Progress):
    """Progress of tasks; nothing is shown before the first of them has begun, so that errors stand alone."""

    def __init__(self, console: Console, *, counts_steps: bool = True, disable: bool = False) -> None:
        """Show tasks by the number of their steps, or else by the share of them that is done."""
        column: ProgressColumn = MofNCompleteColumn() if counts_steps else TaskProgressColumn()
        columns = BarColumn(), column, TextColumn("{task.description}"), TimeRemainingColumn()
        super().__init__(*columns, console=console, disable=disable or not console.is_terminal)
        self._is_plain = not disable and not console.is_terminal
        self._counts_steps = counts_steps
        self._last_line_s = time.monotonic()

    def __enter__(self) -> ProgressDisplay:
        return self

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Change a task, see `rich.progress.Progress.update`, and show it."""
        super().update(task_id, **changes)
        if self._is_plain:
            self._print(task_id)
        else:
            self.start()

    def _print(self, task_id: TaskID) -> None:
        if time.monotonic() - self._last_line_s < PLAIN_LINE_S:
            return
        self._last_line_s = time.monotonic()
        (task,) = (task for task in self.tasks if task.id == task_id)
        done = f"{task.completed:g} of {task.total:g}" if self._counts_steps else f"{task.percentage:.0f} %"
        line = f"{done} {task.description}".rstrip()
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
