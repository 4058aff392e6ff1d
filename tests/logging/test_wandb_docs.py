"""Every command of docs/wandb.md, in its order, as written but with a smaller model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from wandb_file import read_all

from documentation.shell import blocks, noted_commands, run_command

PAGE = Path(__file__).parents[2] / "docs" / "wandb.md"


@pytest.mark.slow
def test_the_commands_work_one_after_another(
    tmp_path: Path, tiny_store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    commands = noted_commands("\n".join(blocks(PAGE.read_text(), "bash")), tmp_path)
    assert len(commands) == 5
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_store, "scenes.h5")
    for words in commands:
        run_command(words, monkeypatch)
    assert {run.group for job in Path("outputs/directions").glob("attention-*") for run in read_all(job)} == {
        "directions"
    }
    (first,) = read_all(Path("outputs/first"))
    assert (first.project, first.tags) == ("scenes", ["t2i", "first"])
    assert Path("outputs/second/tensorboard").is_dir()
    assert "finished already" in capfd.readouterr().err


def test_the_page_names_the_series_that_are_logged(tiny_store: Path) -> None:
    from scan_lightning.training.loggers.metrics_csv import COLUMNS

    text = PAGE.read_text()
    for name in COLUMNS:
        short = name.rsplit("/", 1)[-1]
        assert f"`{name}`" in text or f"`{short}`" in text or short in ("step", "epoch"), name
