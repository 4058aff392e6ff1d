"""The stages with a stand-in for the console command: what is run, skipped, resumed, recorded, reported."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from scan_lightning.reproduce import runner, store_stage
from scan_lightning.reproduce.driver import reproduce
from scan_lightning.reproduce.dry import generate, shrink
from scan_lightning.reproduce.place import Place
from scan_lightning.reproduce.runner import Failure
from scan_lightning.reproduce.slots import Slot
from scan_lightning.reproduce.tables import TABLES

FAKE = [sys.executable, str(Path(__file__).with_name("fake_command.py"))]
TABLE = shrink(TABLES["flickr8k"])
ONLY = ["t2i_mean", "i2t_lse", "t2i_mean+i2t_lse"]
PLACE = Place.of("flickr8k", dry=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a store of it."""
    folder = tmp_path_factory.mktemp("built")
    generate(TABLE, folder / "data")
    here = Path.cwd()
    os.chdir(folder)
    try:
        store_stage.ensure_store(PLACE, Path("data"))
    finally:
        os.chdir(here)
    return folder


@pytest.fixture(autouse=True)
def in_copy(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)  # times are kept, so the store is taken as it is
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "COMMAND", FAKE)
    monkeypatch.setattr(store_stage, "COMMAND", FAKE)
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.05)


def drive(only: list[str] = ONLY, seeds: tuple[int, ...] = (0,), slots: int = 2) -> list[Failure]:
    places = [Slot(f"CPU {number}", {"OMP_NUM_THREADS": "1"}) for number in range(slots)]
    return reproduce(TABLE, PLACE, data=Path("data"), names=only, seeds=seeds, slots=places)


def commands() -> list[str]:
    """The commands given since the last look, without the overrides that all of them have."""
    path = Path("commands.txt")
    given = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    path.unlink(missing_ok=True)
    return [
        f"{words[0]} {Path(run_dir(words)).parts[4]}" if words[0] != "data" else "data" for words in given
    ]


def run_dir(words: list[str]) -> str:
    return next(word for word in words if word.startswith("run_dir=")).partition("=")[2].strip('"')


def test_rows_then_evaluations_then_the_ensemble_and_nothing_twice(capfd: pytest.CaptureFixture[str]) -> None:
    assert drive() == []
    given = commands()
    assert sorted(given) == [
        "ensemble t2i_mean+i2t_lse-seed0",
        "evaluate i2t_lse-seed0",
        "evaluate t2i_mean-seed0",
        "train i2t_lse-seed0",
        "train t2i_mean-seed0",
    ]
    assert given[-1] == "ensemble t2i_mean+i2t_lse-seed0"
    assert given.index("train i2t_lse-seed0") < given.index("evaluate i2t_lse-seed0")
    assert "store: outputs/reproduce/flickr8k/flickr8k.h5 is there" in capfd.readouterr().out

    assert drive() == []
    assert commands() == []
    assert capfd.readouterr().out.count("finished before") == 3

    assert drive(seeds=(0, 1), only=["t2i_mean"]) == []
    assert commands() == ["train t2i_mean-seed1", "evaluate t2i_mean-seed1"]


def test_what_is_kept_of_a_run_is_small_and_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    drive()
    runs = PLACE.records / "runs"
    kept = sorted(str(path.relative_to(runs)) for path in runs.rglob("*") if path.is_file())
    assert kept == [
        "i2t_lse-seed0/config.yaml",
        "i2t_lse-seed0/epochs.csv",
        "i2t_lse-seed0/results.json",
        "i2t_lse-seed0/run.json",
        "i2t_lse-seed0/test_1k/results.json",
        "t2i_mean+i2t_lse-seed0/test_1k/results.json",
        "t2i_mean-seed0/config.yaml",
        "t2i_mean-seed0/epochs.csv",
        "t2i_mean-seed0/results.json",
        "t2i_mean-seed0/run.json",
        "t2i_mean-seed0/test_1k/results.json",
    ]
    config = yaml.safe_load((runs / "i2t_lse-seed0" / "config.yaml").read_text())
    assert (config["attention"]["direction"], config["attention"]["smoothing"]) == ("i2t", 4.0)
    assert (config["model"]["embed_size"], config["trainer"]["max_epochs"]) == (32, 1)
    assert all(f"{tmp_path}/" not in (runs / name).read_text() for name in kept)
    with (PLACE.records / "results.csv").open() as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert rows["t2i_mean"]["rsum"] == "120.00"
    assert rows["t2i_mean"]["commit"] == "def"
    assert rows["i2t_mean"]["verdict"] == "not run"
    assert (PLACE.records / "results.png").stat().st_size > 10_000


def test_a_row_that_fails_is_listed_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FAIL", "i2t_lse")
    failures = drive(slots=1)
    assert [(failure.name, failure.step, failure.status) for failure in failures] == [
        ("i2t_lse", "train", 1),
        ("t2i_mean+i2t_lse", "start", 2),
    ]
    assert "the loss is not a number" in failures[0].reason
    assert "i2t_lse-seed0 not trained" in failures[1].reason
    assert commands() == ["train t2i_mean-seed0", "evaluate t2i_mean-seed0", "train i2t_lse-seed0"]

    monkeypatch.delenv("FAKE_FAIL")
    assert drive(slots=1) == []
    assert commands() == [
        "train i2t_lse-seed0",
        "evaluate i2t_lse-seed0",
        "ensemble t2i_mean+i2t_lse-seed0",
    ]
    log = PLACE.log("i2t_lse", 0).read_text()
    assert log.count("resume=auto") == 2


def test_a_folder_with_another_configuration_is_neither_continued_nor_counted() -> None:
    drive(only=["t2i_mean"])
    commands()
    record = PLACE.run("t2i_mean", 0) / "config.yaml"
    config = yaml.safe_load(record.read_text())
    config["loss"]["margin"] = 0.5
    record.write_text(yaml.safe_dump(config))
    failures = drive(only=["t2i_mean"])
    assert [failure.status for failure in failures] == [2]
    assert "another configuration" in failures[0].reason
    assert commands() == []


def test_a_checkpoint_newer_than_its_evaluation_is_evaluated_again() -> None:
    drive(only=["t2i_mean"])
    commands()
    later = time.time() + 10
    os.utime(PLACE.run("t2i_mean", 0) / "checkpoints" / "best.ckpt", (later, later))
    assert drive(only=["t2i_mean"]) == []
    assert commands() == ["evaluate t2i_mean-seed0"]


@pytest.mark.slow
def test_the_store_is_built_again_only_for_other_files_or_when_it_is_broken() -> None:
    drive(only=["t2i_mean"])
    assert "data" not in commands()
    with PLACE.store.open("r+b") as file:
        file.truncate(PLACE.store.stat().st_size // 2)
    drive(only=["t2i_mean"])
    assert commands() == ["data"]
    Path("data/dev_caps.txt").touch()
    drive(only=["t2i_mean"])
    assert commands() == ["data"]


@pytest.mark.slow
def test_a_stopped_driver_stops_its_commands_and_two_do_not_train_one_row(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from scan_lightning.reproduce import __main__, runner\n"
        "from scan_lightning.reproduce.dry import shrink\n"
        "from scan_lightning.reproduce.tables import TABLES\n"
        f"runner.COMMAND = {FAKE!r}\n"
        "TABLES['flickr8k'] = shrink(TABLES['flickr8k'])\n"
        "sys.exit(__main__.main(['flickr8k', '--data', 'data', '--only', 't2i_mean']))\n"
    )
    environment = {**os.environ, "FAKE_HANG": "t2i_mean"}
    driver = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, text=True
    )
    metrics = PLACE.run("t2i_mean", 0) / "metrics.csv"
    end = time.monotonic() + 60
    while not metrics.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert metrics.exists()
    second = drive(only=["t2i_mean"])
    assert [failure.reason for failure in second] == ["another reproduction is at work on it"]

    driver.send_signal(signal.SIGTERM)
    _, errors = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert "goes on where this one stopped" in errors
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in running
    assert not any("fake_command" in line and "t2i_mean-seed0" in line for line in running.splitlines())
