"""Every command of docs/wandb.md, in its order, as written but with a smaller model."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from tiny_runs import TINY
from wandb_file import read_all

from scan_lightning import cli

PAGE = Path(__file__).parents[2] / "docs" / "wandb.md"


def commands() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


@pytest.mark.slow
def test_the_commands_work_one_after_another(
    tmp_path: Path, tiny_store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_store, "scenes.h5")
    found = commands()
    assert len(found) == 5
    for program, *words in found:
        assert program == "scan-lightning"
        command = [*words, *TINY] if words[0] == "train" else words
        monkeypatch.setattr(sys, "argv", [program, *command])
        assert cli.main(command) == 0, words
    assert {run.group for job in Path("outputs/directions").glob("attention-*") for run in read_all(job)} == {
        "directions"
    }
    (first,) = read_all(Path("outputs/first"))
    assert (first.project, first.tags) == ("scenes", ["t2i", "first"])
    assert Path("outputs/second/tensorboard").is_dir()
    assert "finished already" in capfd.readouterr().err


def test_the_page_names_the_series_that_are_logged(tiny_store: Path) -> None:
    from scan_lightning.training.series import COLUMNS

    text = PAGE.read_text()
    for name in COLUMNS:
        short = name.rsplit("/", 1)[-1]
        assert f"`{name}`" in text or f"`{short}`" in text or short in ("step", "epoch"), name
