"""A log is a table that a resumed run goes on with."""

from __future__ import annotations

from pathlib import Path

from cosense.training.log import Log


def test_rows_after_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for step in (20, 40, 60):
        log.write("training", step, {"loss": 1 / step, "rate": 0.5})
    log.write("validation", 50, {"loss": 2.0})
    log.rewind(40)
    log.write("training", 60, {"loss": 0.25, "rate": 0.5})
    assert (tmp_path / "training.csv").read_text().split() == [
        "step,loss,rate",
        "20,0.05,0.5",
        "40,0.025,0.5",
        "60,0.25,0.5",
    ]
    assert (tmp_path / "validation.csv").read_text().split() == ["step,loss"]


def test_a_row_without_a_value_leaves_its_column_empty(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write("training", 20, {"loss, all": 1.0, "value": 2.0, "rate": 0.5})
    log.write("training", 40, {"loss, all": 0.5, "rate": 0.25})
    assert (tmp_path / "training.csv").read_text().split("\n") == [
        'step,"loss, all",value,rate',
        "20,1,2,0.5",
        "40,0.5,,0.25",
        "",
    ]
