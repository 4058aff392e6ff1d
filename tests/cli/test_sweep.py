"""Sweeps: one folder a job, a table at the end, what is done is not done again, what fails stops nothing."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from scan_lightning.config.conf_dir import conf_dir, group_options

Scan = Callable[..., int]
SWEEP = ["train", "-m", "data.path=a.h5", "run_dir=sweep", "attention.smoothing=4,9"]
FOLDERS = ["attention.smoothing-4", "attention.smoothing-9"]
RUN_FILES = ("config.yaml", "results.json")


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_four_jobs_four_folders_one_table(scan: Scan, workdir: Path, training, capsys) -> None:
    assert scan(*SWEEP, "attention=t2i_mean,i2t_mean") == 0
    folders = [f"{name}__attention-{attention}" for name in FOLDERS for attention in ("t2i_mean", "i2t_mean")]
    assert [folder for _, folder in training.calls] == [workdir / "sweep" / name for name in folders]
    combinations = [
        (config.attention["direction"], config.attention["smoothing"]) for config, _ in training.calls
    ]
    assert combinations == [("t2i", 4.0), ("i2t", 4.0), ("t2i", 9.0), ("i2t", 9.0)]
    assert files_below(workdir / "sweep") == {
        "multirun.yaml",
        "sweep.csv",
        "sweep.json",
        *(f"{folder}/{file}" for folder in folders for file in RUN_FILES),
    }
    out = capsys.readouterr().out
    for text in ("t2i_mean", "i2t_mean", "40.0", "90.0", "rsum", "sweep/sweep.csv"):
        assert text in out
    table = rows(workdir / "sweep")
    assert [row["job"] for row in table] == folders
    assert [(row["attention"], row["attention.smoothing"]) for row in table] == [
        ("t2i_mean", "4"),
        ("i2t_mean", "4"),
        ("t2i_mean", "9"),
        ("i2t_mean", "9"),
    ]
    assert [float(row["rsum"]) for row in table] == [40.0, 40.0, 90.0, 90.0]
    assert {row["status"] for row in table} == {"done"}
    record = json.loads((workdir / "sweep" / "sweep.json").read_text())
    assert [entry["results"]["rsum"] for entry in record] == [40.0, 40.0, 90.0, 90.0]


def test_every_job_sees_the_whole_command_line_and_goes_on_by_itself(scan: Scan, training) -> None:
    assert scan(*SWEEP) == 0
    assert training.argv == [["scan-lightning", *SWEEP]] * 2
    assert [config.resume for config, _ in training.calls] == ["auto", "auto"]


def test_a_failed_job_stops_nothing_and_is_listed(
    scan: Scan, workdir: Path, training, user_fault, capsys
) -> None:
    training.fail[4.0] = user_fault
    assert scan(*SWEEP) == 2
    assert len(training.calls) == 2
    captured = capsys.readouterr()
    assert captured.out.count("failed: attention.smoothing-4") == 1
    assert "1 of 2 jobs have no result" in captured.out
    assert "Traceback" not in captured.err
    assert [row["status"] for row in rows(workdir / "sweep")] == ["failed", "done"]
    assert rows(workdir / "sweep")[0]["error"] == "the store has no regions build it again"
    assert (workdir / "sweep" / FOLDERS[0] / "error.txt").read_text() == str(user_fault)


def test_a_job_that_breaks_makes_status_1(scan: Scan, workdir: Path, training, user_fault, capsys) -> None:
    training.fail = {4.0: user_fault, 9.0: IndexError("boom")}
    assert scan(*SWEEP) == 1
    assert [row["status"] for row in rows(workdir / "sweep")] == ["failed", "broke"]
    assert rows(workdir / "sweep")[1]["error"] == "IndexError: boom"
    assert "Traceback" in (workdir / "sweep" / FOLDERS[1] / "error.txt").read_text()


def test_a_second_run_skips_what_is_finished(scan: Scan, workdir: Path, training, user_fault, capsys) -> None:
    training.fail[9.0] = user_fault
    scan(*SWEEP)
    training.fail.clear()
    training.calls.clear()
    capsys.readouterr()
    assert scan(*SWEEP) == 0
    assert [folder.name for _, folder in training.calls] == FOLDERS[1:]
    assert capsys.readouterr().out.count("finished before, skipped") == 1
    assert {row["status"] for row in rows(workdir / "sweep")} == {"done"}
    assert not list((workdir / "sweep").rglob("error.txt"))


def test_a_larger_grid_runs_the_new_jobs_alone(scan: Scan, workdir: Path, training) -> None:
    scan(*SWEEP)
    training.calls.clear()
    assert scan(*SWEEP[:-1], "attention.smoothing=4,9,20", "trainer=cpu", "data.workers=1") == 0
    assert [config.attention["smoothing"] for config, _ in training.calls] == [20.0]
    assert len(rows(workdir / "sweep")) == 3


def test_a_run_of_another_configuration_is_not_overwritten(
    scan: Scan, workdir: Path, training, capsys
) -> None:
    job = ["train", "-m", "data.path=a.h5", "run_dir=sweep"]
    (workdir / "other").mkdir()
    (workdir / "other" / "a.h5").touch()
    scan(*job)
    before = (workdir / "sweep" / "0" / "config.yaml").read_text()
    for change in ("optimizer.lr=0.1", "data.path=other/a.h5"):
        assert scan(*job, change) == 2
        printed = capsys.readouterr()
        assert (printed.out + printed.err).count("holds a run of another configuration") == 1
    assert len(training.calls) == 1
    assert (workdir / "sweep" / "0" / "config.yaml").read_text() == before


def test_what_a_failed_start_left_is_used_again(scan: Scan, workdir: Path, training) -> None:
    job = ["train", "-m", "data.path=a.h5", "run_dir=sweep"]
    folder = workdir / "sweep" / "0"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("data: {path: a.h5\n")  # cut short
    assert scan(*job) == 2  # checkpoints of nobody knows what
    (folder / "checkpoints").rmdir()
    assert scan(*job) == 0


def test_the_sweep_files_are_the_grids_they_say() -> None:
    grids = {}
    for name in group_options("sweep"):
        params = yaml.safe_load((conf_dir() / "sweep" / f"{name}.yaml").read_text()).get("params", {})
        grids[name] = {key: str(values).split(",") for key, values in params.items()}
    assert grids.pop("smoothing_optuna") == {}
    assert grids == {
        "direction": {"attention.direction": ["t2i", "i2t"]},
        "smoothing": {"attention.smoothing": ["1", "2", "4", "9", "20", "50"]},
        "aggregation": {"attention.aggregation": ["lse", "mean", "max", "sum"]},
        "full": {
            "attention.direction": ["t2i", "i2t"],
            "attention.smoothing": ["4", "9", "20"],
            "attention.aggregation": ["lse", "mean"],
        },
    }


@pytest.mark.parametrize("flag", [["-m"], []])
def test_a_sweep_file_is_a_sweep_with_or_without_m(scan: Scan, training, flag: list[str]) -> None:
    assert (
        scan("train", *flag, "sweep=direction", "attention=t2i_lse", "data.path=a.h5", "run_dir=sweep") == 0
    )
    assert [config.attention["direction"] for config, _ in training.calls] == ["t2i", "i2t"]


def test_the_command_line_narrows_a_sweep_file(scan: Scan, training) -> None:
    words = [
        "sweep=full",
        "attention.smoothing=7",
        "attention.direction=i2t",
        "data.path=a.h5",
        "run_dir=sweep",
    ]
    assert scan("train", "-m", *words) == 0
    assert [config.attention["aggregation"] for config, _ in training.calls] == ["lse", "mean"]
    assert {
        (config.attention["smoothing"], config.attention["direction"]) for config, _ in training.calls
    } == {(7.0, "i2t")}


def test_optuna_maximises_rsum_within_the_interval(scan: Scan, workdir: Path, training) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ["sweep=smoothing_optuna", "data.path=a.h5", "run_dir=sweep", "hydra.sweeper.n_trials=2"]
    assert scan("train", *words) == 0
    tried = [config.attention["smoothing"] for config, _ in training.calls]
    assert len(tried) == 2
    assert all(1 <= smoothing <= 50 for smoothing in tried)
    table = rows(workdir / "sweep")
    assert [float(row["rsum"]) for row in table] == [10 * smoothing for smoothing in tried]
    assert [float(row["attention.smoothing"]) for row in table] == tried
    best = (workdir / "sweep" / "optimization_results.yaml").read_text()
    assert f"{max(tried)}" in best


def test_optuna_goes_on_after_a_failed_trial(scan: Scan, workdir: Path, training, user_fault) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ["-m", "sweep=smoothing_optuna", "data.path=a.h5", "run_dir=sweep", "hydra.sweeper.n_trials=2"]
    scan("train", *words)
    second = training.calls[1][0].attention["smoothing"]
    training.fail[second] = user_fault
    training.calls.clear()
    assert scan("train", *words[:-2], "run_dir=again", words[-1]) == 2
    assert [row["status"] for row in rows(workdir / "again")].count("failed") == 1
    assert len(training.calls) == 2


def test_glob_sweeps_over_options(scan: Scan, training, capsys) -> None:
    assert scan("train", "-m", "attention=glob(i2t_*,exclude=*_lse)", "data.path=a.h5", "run_dir=sweep") == 0
    assert [folder.name for _, folder in training.calls] == ["attention-i2t_mean", "attention-i2t_summax"]
    assert scan("train", "-m", "attention=glob(x*)", "data.path=a.h5", "run_dir=sweep") == 2
    assert "attention: no option in glob(x*); expected some of i2t_lse" in capsys.readouterr().err


def test_one_job_without_a_sweep_still_has_its_subfolder(scan: Scan, workdir: Path, training) -> None:
    assert scan("train", "-m", "data.path=a.h5", "run_dir=sweep") == 0
    assert training.calls[0][1] == workdir / "sweep" / "0"


def test_a_launcher_that_fails_is_status_1_and_the_table_still_comes(
    scan: Scan, workdir: Path, training, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    def launch(self: BasicLauncher, jobs: object, initial_job_idx: int) -> None:
        raise RuntimeError("no cluster")

    monkeypatch.setattr(BasicLauncher, "launch", launch)
    assert scan(*SWEEP) == 1
    captured = capsys.readouterr()
    assert "no cluster" in captured.err
    assert [row["status"] for row in rows(workdir / "sweep")] == ["not finished"] * 2
