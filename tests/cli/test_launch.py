"""How a single run starts: its folder, its command line, its status."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from scan_lightning.commands import evaluate, train
from scan_lightning.config.schema import EvaluateConfig, TrainConfig
from scan_lightning.errors import ScanWarning

Scan = Callable[..., int]


def test_a_run_gets_its_typed_config_and_its_folder(scan: Scan, workdir: Path, training) -> None:
    assert scan("train", "data.path=a.h5", "trainer=cpu", "attention.smoothing=5", "run_dir=out/run") == 0
    config, folder = training.calls[0]
    assert isinstance(config, TrainConfig)
    assert config.trainer["accelerator"] == "cpu"
    assert config.attention["smoothing"] == 5.0
    assert folder == workdir / "out" / "run"
    assert config.run_dir == str(folder)
    assert training.cwd == [workdir]


def test_the_folder_holds_what_the_run_wrote_and_nothing_else(scan: Scan, workdir: Path, training) -> None:
    assert scan("train", "data.path=a.h5", "run_dir=run") == 0
    assert sorted(path.name for path in (workdir / "run").iterdir()) == [
        "checkpoints",
        "config.yaml",
        "results.json",
    ]
    assert sorted(path.name for path in workdir.iterdir()) == ["a.h5", "run"]


def test_the_default_folder_is_below_outputs(scan: Scan, workdir: Path, training) -> None:
    assert scan("train", "data.path=a.h5") == 0
    folder = training.calls[0][1]
    assert folder.parent == workdir / "outputs" / "train"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)


def test_sys_argv_is_whole_while_the_job_runs_and_after(scan: Scan, training) -> None:
    """Lightning's DDP repeats `sys.argv` for the other processes; the subcommand must be in it."""
    import sys

    words = ["train", "data.path=a.h5", "run_dir=run"]
    assert scan(*words) == 0
    assert training.argv == [["scan-lightning", *words]]
    assert sys.argv == ["scan-lightning", *words]


def test_a_ddp_child_writes_to_its_parents_folder(scan: Scan, workdir: Path, training) -> None:
    """What Lightning appends to the command line, folder included, wins over the time of day."""
    words = ["train", "data.path=a.h5", 'hydra.run.dir="given/by=parent, really"']
    assert scan(*words, "hydra.job.name=train_ddp_process_1", "hydra.output_subdir=null") == 0
    assert training.calls[0][1] == workdir / "given" / "by=parent, really"


def test_hydra_tells_lightning_the_folder(scan: Scan, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(train, "execute", lambda config, run_dir: seen.append(HydraConfig.get().run.dir))
    assert scan("train", "data.path=a.h5", "run_dir=some/run") == 0
    assert seen == ["some/run"]


def test_a_user_fault_in_the_run_is_status_2(scan: Scan, training, user_fault, capsys) -> None:
    training.fail[9.0] = user_fault
    assert scan("train", "data.path=a.h5", "run_dir=run") == 2
    err = capsys.readouterr().err
    assert err == "error: the store has no regions\nbuild it again\n"
    assert scan("train", "data.path=a.h5", "run_dir=run", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_our_fault_is_status_1_with_the_traceback(scan: Scan, training, capsys) -> None:
    training.fail[9.0] = IndexError("boom")
    assert scan("train", "data.path=a.h5", "run_dir=run") == 1
    err = capsys.readouterr().err
    assert "IndexError: boom" in err
    assert "a fault of scan-lightning" in err


def test_an_interrupt_is_status_130(scan: Scan, training, capsys) -> None:
    training.fail[9.0] = KeyboardInterrupt()
    assert scan("train", "data.path=a.h5", "run_dir=run") == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert scan("train", "-m", "data.path=a.h5", "run_dir=sweep", "seed=0,1") == 130
    assert len(training.calls) == 2  # the second job of the sweep did not start


def test_evaluate_has_its_own_schema(scan: Scan, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[EvaluateConfig, Path]] = []
    monkeypatch.setattr(evaluate, "execute", lambda config, run_dir: calls.append((config, run_dir)))
    (workdir / "a.ckpt").touch()
    assert (
        scan("evaluate", "data.path=a.h5", "checkpoint=a.ckpt", "split=val", "folds=5", "trainer=ddp_cpu")
        == 0
    )
    config, folder = calls[0]
    assert (config.split, config.folds, config.trainer["devices"]) == ("val", 5, 2)
    assert folder.parent == workdir / "outputs" / "evaluate"
    assert scan("evaluate", "data.path=a.h5", "checkpoint=a.ckpt", "split=dev") == 2


def test_cfg_prints_the_composed_config_even_when_values_are_missing(scan: Scan, capsys) -> None:
    assert scan("train", "--cfg", "job", "attention=i2t_lse") == 0
    out = capsys.readouterr().out
    assert "lse_scale: 5.0" in out
    assert "path: ???" in out
    assert "hydra" not in out


def test_a_gpu_that_is_not_there_is_a_users_fault(
    scan: Scan, training, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    words = ["train", "data.path=a.h5", "run_dir=run"]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert scan(*words, "trainer=gpu") == 2
    assert "trainer: 1 GPU asked for, this machine shows none; give trainer=cpu" in capsys.readouterr().err
    assert scan(*words, "trainer=ddp") == 2
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert scan(*words, "trainer=ddp", "trainer.devices=4") == 2
    assert "4 GPUs asked for, this machine shows 2; give trainer.devices=2" in capsys.readouterr().err
    assert not training.calls
    assert scan(*words, "trainer=ddp", "trainer.devices=2") == 0
    assert scan(*words, "trainer=ddp") == 0


def test_more_processes_than_cores_are_named_once(
    scan: Scan, training, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    words = ["train", "data.path=a.h5", "run_dir=run", "trainer=ddp_cpu"]
    message = r"trainer\.devices=99: more processes than cores \(2\)"
    with pytest.warns(ScanWarning, match=message):
        assert scan(*words, "trainer.devices=99") == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", ScanWarning)
        assert scan(*words, "trainer.devices=2") == 0
        for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID"):  # set for a process that another one started
            with monkeypatch.context() as patch:
                patch.setenv(name, "1")
                assert scan(*words, "trainer.devices=99") == 0
    assert scan(*words, "trainer.devices=-1") == 2
    assert "trainer.devices: found -1, every GPU of the machine, but" in capsys.readouterr().err
    assert len(training.calls) == 5


def test_joblib_workers_take_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    from types import SimpleNamespace

    from scan_lightning.config import devices

    taken = []
    for worker in (1, 2, 3):
        monkeypatch.setattr(
            devices, "current_process", lambda worker=worker: SimpleNamespace(name=f"LokyProcess-{worker}")
        )
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
        monkeypatch.delenv("SCAN_WORKER_GPU", raising=False)
        devices.use_own_gpu("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher")
        devices.use_own_gpu(
            "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
        )  # the next job
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert taken == ["4", "6", "4"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.delenv("SCAN_WORKER_GPU", raising=False)
    devices.use_own_gpu("hydra._internal.core_plugins.basic_launcher.BasicLauncher")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,6"
