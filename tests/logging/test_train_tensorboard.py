"""TensorBoard and metrics.csv carry the same names and values."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import write_tiny

from scan_lightning.training.loggers.metrics_csv import COLUMNS


def events(run_dir: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(run_dir / "tensorboard"))
    accumulator.Reload()
    return accumulator


def test_event_files_hold_the_series_of_metrics_csv_and_the_panels(
    tmp_path: Path, train: Callable[..., int]
) -> None:
    run_dir = tmp_path / "run"
    assert train("logger=tensorboard", "callbacks.panels.every_epochs=2", f"run_dir={run_dir}") == 0
    found = events(run_dir)
    assert set(found.Tags()["scalars"]) == set(COLUMNS) - {"step"}
    rows = list(csv.DictReader((run_dir / "metrics.csv").open()))
    for name in set(COLUMNS) - {"step", "epoch"}:
        expected = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        written = [(event.step, event.value) for event in found.Scalars(name)]
        assert [step for step, _ in written] == [step for step, _ in expected], name
        assert [value for _, value in written] == pytest.approx([value for _, value in expected])
    assert set(found.Tags()["images"]) == {f"panel/attention/{number}" for number in range(4)}
    (text,) = found.Tensors("panel/hardest/text_summary")
    table = text.tensor_proto.string_val[0].decode()
    assert table.startswith("| direction | query | rank |")
    assert table.count("\n") == 1 + 8 + 16


def test_panels_do_without_boxes_and_skip_empty_captions(tmp_path: Path, train: Callable[..., int]) -> None:
    write_tiny(tmp_path / "bare.h5", with_boxes=False, with_empty_captions=True)
    words = [f"data.path={tmp_path}/bare.h5", "attention=i2t_lse", "trainer.max_steps=1"]
    assert train("logger=tensorboard", *words, f"run_dir={tmp_path}/run") == 0
    assert len(events(tmp_path / "run").Tags()["images"]) == 4


def test_csv_writes_no_further_files(tmp_path: Path, train: Callable[..., int]) -> None:
    assert train("trainer.max_steps=1", f"run_dir={tmp_path}/run") == 0
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert not names & {"wandb", "tensorboard", "lightning_logs", "wandb-id.txt"}
