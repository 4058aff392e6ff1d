"""The stages, with trainings of one step: what is run, skipped, resumed, recorded, reported."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from scan_lightning.reproduce import driver
from scan_lightning.reproduce.driver import ensure_store, reproduce
from scan_lightning.reproduce.dry import generate, shrink
from scan_lightning.reproduce.paper_tables import TABLES
from scan_lightning.reproduce.recorded import Folders, write_epochs

TABLE = shrink(TABLES["flickr8k"])
TABLE = replace(TABLE, overrides=(*TABLE.overrides, "trainer.max_steps=1", "trainer=cpu"))
FOLDERS = Folders(Path("outputs", "flickr8k"), Path("records"))
ROWS = ["t2i_mean", "i2t_lse"]
ENSEMBLE = "t2i_mean+i2t_lse"
KEPT = ["config.yaml", "results.json", "run.json"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a store of it."""
    folder = tmp_path_factory.mktemp("built")
    generate(TABLE, folder / "data")
    ensure_store(TABLE, folder / "data", folder / FOLDERS.store)
    return folder


@pytest.fixture
def given(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands given, with a copy of `built` as the working directory."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)  # times are kept, so the store is taken as it is
    monkeypatch.chdir(tmp_path)
    commands: list[list[str]] = []
    run = driver.scan_lightning

    def noting(words: list[str]) -> int:
        commands.append(words)
        return run(words)

    monkeypatch.setattr(driver, "scan_lightning", noting)
    return commands


def short(given: list[list[str]]) -> list[str]:
    """The commands since the last look: the name, and of an evaluation whose it is."""
    found = []
    for words in given:
        folder = Path(next(word for word in words if word.startswith("run_dir=")).strip('"'))
        found.append(words[0] if words[0] == "train" else f"{words[0]} {folder.parent.name}")
    given.clear()
    return found


def test_rows_then_evaluations_then_the_ensemble_and_nothing_twice(
    given: list[list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ensure_store(TABLE, Path("data"), FOLDERS.store)
    assert given == []
    assert "flickr8k.h5 is there" in capfd.readouterr().out
    assert reproduce(TABLE, FOLDERS, [*ROWS, ENSEMBLE], [0]) == {}
    assert short(given) == [
        "train",
        "evaluate flickr8k_t2i_mean-seed0",
        "evaluate flickr8k_i2t_lse-seed0",
        "ensemble flickr8k_t2i_mean+i2t_lse-seed0",
    ]
    runs = FOLDERS.records / "runs"
    kept = sorted(str(path.relative_to(runs)) for path in runs.rglob("*") if path.is_file())
    assert kept == sorted(
        [
            *(f"{row}-seed0/{name}" for row in ROWS for name in (*KEPT, "epochs.csv")),
            *(f"{row}-seed0/test_1k/{name}" for row in (*ROWS, ENSEMBLE) for name in KEPT),
        ]
    )
    assert all(f"{tmp_path}/" not in (runs / name).read_text() for name in kept)
    config = yaml.safe_load((runs / "i2t_lse-seed0" / "config.yaml").read_text())
    assert (config["attention"]["direction"], config["attention"]["smoothing"]) == ("i2t", 4.0)
    with (FOLDERS.records / "results.csv").open() as file:
        lines = {row["row"]: row for row in csv.DictReader(file)}
    assert {name for name, line in lines.items() if line["rsum"]} == {*ROWS, ENSEMBLE}
    assert lines["i2t_mean"]["verdict"] == "not run"
    assert (FOLDERS.records / "results.png").stat().st_size > 10_000

    capfd.readouterr()
    assert reproduce(TABLE, FOLDERS, [*ROWS, ENSEMBLE], [0]) == {}
    assert short(given) == ["train"]
    assert capfd.readouterr().out.count("finished before, skipped") == 2

    assert reproduce(TABLE, FOLDERS, ["t2i_mean"], [0, 1]) == {}
    assert short(given) == ["train", "evaluate flickr8k_t2i_mean-seed1"]
    later = time.time() + 10
    os.utime(FOLDERS.run("t2i_mean", 0) / "checkpoints" / "best.ckpt", (later, later))
    assert reproduce(TABLE, FOLDERS, ["t2i_mean"], [0]) == {}
    assert short(given) == ["train", "evaluate flickr8k_t2i_mean-seed0"]


def test_a_row_that_fails_is_listed_and_neither_stops_the_others_nor_is_counted(
    given: list[list[str]],
) -> None:
    table = replace(TABLE, overrides=(*TABLE.overrides, "loss.margin=0.5"))
    assert reproduce(table, FOLDERS, ["i2t_lse"], [0]) == {}  # a run of another configuration
    shutil.rmtree(FOLDERS.records)
    short(given)
    failed = reproduce(TABLE, FOLDERS, [*ROWS, ENSEMBLE], [0])
    assert failed == {"i2t_lse seed 0": 2, "t2i_mean+i2t_lse seed 0": 2}
    assert short(given) == ["train", "evaluate flickr8k_t2i_mean-seed0"]
    assert [path.name for path in (FOLDERS.records / "runs").iterdir()] == ["t2i_mean-seed0"]
    shutil.rmtree(FOLDERS.run("i2t_lse", 0))
    assert reproduce(TABLE, FOLDERS, [*ROWS, ENSEMBLE], [0]) == {}
    assert short(given)[1:] == [
        "evaluate flickr8k_i2t_lse-seed0",
        "ensemble flickr8k_t2i_mean+i2t_lse-seed0",
    ]


def test_a_sweep_that_cannot_start_fails_every_row(given: list[list[str]]) -> None:
    table = replace(TABLE, overrides=("trainer.max_steps=none",))
    assert reproduce(table, FOLDERS, [*ROWS, ENSEMBLE], [3]) == {
        f"{name} seed 3": 2 for name in (*ROWS, ENSEMBLE)
    }
    assert short(given) == ["train"]


def test_the_store_is_built_again_only_for_other_files(given: list[list[str]]) -> None:
    Path("data/dev_caps.txt").touch()
    ensure_store(TABLE, Path("data"), FOLDERS.store)
    assert [words[:2] for words in given] == [["data", "build"]]
    ensure_store(TABLE, Path("data"), FOLDERS.store)
    assert len(given) == 1


def test_an_epoch_becomes_one_line(tmp_path: Path) -> None:
    metrics = "step,epoch,train/loss,val/i2t/r1,val/rsum\n1,0,9.0,,\n2,0,8.0,,\n2,0,,1.5,20.0\n3,1,7.0,,\n"
    (tmp_path / "metrics.csv").write_text(metrics)
    write_epochs(tmp_path / "metrics.csv", tmp_path / "epochs.csv")
    with (tmp_path / "epochs.csv").open() as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    assert rows == [["0", "2", "8.500", "1.500", "", "", "", "20.000"], ["1", "1", "7.000", *[""] * 5]]


@pytest.mark.slow
def test_an_interrupt_saves_ends_with_130_and_the_same_command_resumes(given: list[list[str]]) -> None:
    script = (
        "import sys; from dataclasses import replace\n"
        "from scan_lightning.reproduce import __main__\n"
        "from scan_lightning.reproduce.dry import shrink\n"
        "from scan_lightning.reproduce.paper_tables import TABLES\n"
        "table = shrink(TABLES['flickr8k'])\n"
        "more = (*table.overrides, 'trainer=cpu', 'trainer.max_epochs=60')\n"
        "__main__.TABLES['flickr8k'] = replace(table, overrides=more)\n"
        "sys.exit(__main__.main(['flickr8k', '--data', 'data', '--only', 't2i_mean']))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    run = Path("outputs", "reproduce", "flickr8k", "runs", "flickr8k_t2i_mean-seed0")
    end = time.monotonic() + 120
    while not (run / "checkpoints" / "last.ckpt").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "resumes where this one stopped" in errors
    assert not (run / "results.json").exists()
    assert not Path("experiments").exists()
    subprocess.run([sys.executable, "-c", script], check=True)
    assert json.loads((run / "run.json").read_text())["resumed_from"] is not None
    epochs = Path("experiments", "flickr8k", "runs", "t2i_mean-seed0", "epochs.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in epochs[1:]] == [[str(epoch), "10"] for epoch in range(60)]
