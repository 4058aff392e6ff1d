"""Where a command could not write is found out first: before anything is read, let alone worked out."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Scan = Callable[..., int]
WAYS = {  # each with inputs that are not there, which it would find out next
    "report": ["report", "no-run"],
    "attention": ["attention", "no.ckpt", "--data", "no.h5", "--image", "1", "--sentence", "a dog"],
    "compare": ["compare", "no-run", "no-other"],
    "import-checkpoint": ["import-checkpoint", "no.tar", "--vocab", "no.json"],
}
FILES = ("report", "import-checkpoint")


@pytest.mark.parametrize("command", WAYS)
def test_a_file_in_the_way_is_named(command: str, scan: Scan, workdir: Path, capsys) -> None:
    for out in ("a.h5/out", "a.h5/new/out") if command in FILES else ("a.h5", "a.h5/out"):
        assert scan(*WAYS[command], "--out", out) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: --out {out}: {workdir / 'a.h5'} is not a folder; expected ")
    assert [path.name for path in workdir.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("command", FILES)
def test_a_folder_with_the_name_of_the_file_is_named(command: str, scan: Scan, workdir: Path, capsys) -> None:
    (workdir / "out").mkdir()
    assert scan(*WAYS[command], "--out", "out") == 2
    assert capsys.readouterr().err.startswith("error: --out out: is a folder; expected the name of a file")
    assert list((workdir / "out").iterdir()) == []


@pytest.mark.parametrize("command", WAYS)
def test_a_folder_that_may_not_be_written_to_is_named(
    command: str, scan: Scan, workdir: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root everything can be written to
    assert scan(*WAYS[command], "--out", "new/out") == 2
    assert f"error: --out new/out: {workdir} cannot be written to; " in capsys.readouterr().err
    assert [path.name for path in workdir.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("command", WAYS)
def test_where_nothing_is_in_the_way_the_inputs_come_next(
    command: str, scan: Scan, workdir: Path, capsys
) -> None:
    assert scan(*WAYS[command], "--out", "new/out") == 2
    assert "there is no such f" in capsys.readouterr().err
    assert [path.name for path in workdir.iterdir()] == ["a.h5"]
