"""Faults of a command line: all in one message, status 2, nothing started and nothing written."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from scan_lightning.errors import ScanWarning

Scan = Callable[..., int]


def test_every_fault_of_every_kind_comes_at_once(scan: Scan, workdir: Path, training, capsys) -> None:
    status = scan(
        "train",
        "data.path=nowhere.h5",
        "attention=t2i_men",
        "atention.smoothing=4",
        "+attention.smothing=4",
        "++lambda_lse=5",
        "attention.raw_norm=l3norm",
        "model.embed_size=big",
        "data.workers=-1",
        "~model.bidirection",
        "+seed=3",
        "optimizer.lr=1e-4,1e-5",
        "logger.name=a=b",
        "resume=gone.ckpt",
        "run_dir=a.h5/run",
    )
    err = capsys.readouterr().err
    assert status == 2
    assert "Traceback" not in err
    assert "the configuration has 14 errors" in err
    for expected in (
        "data.path: there is no file nowhere.h5 (looked for",
        "attention: there is no option 't2i_men'; expected one of i2t_lse, i2t_mean, i2t_summax, t2i_lse",
        "did you mean t2i_mean?",
        "atention.smoothing: there is no such key (given 4); did you mean attention.smoothing?",
        "attention.smothing: there is no such key; did you mean attention.smoothing?",
        "lambda_lse: there is no such key (given 5); did you mean attention.lse_scale?",
        "attention.raw_norm: found 'l3norm'; expected one of clipped_l2norm, l2norm",
        "model.embed_size: found 'big'; expected an integer, at least 1",
        "data.workers: found -1; expected an integer, at least 0",
        "~model.bidirection: there is no such key",
        "+seed=3: the key is there already; write seed=3, without the +",
        "optimizer.lr: several values (1e-4,1e-5); add -m",
        "logger.name=a=b: not understood",
        "resume: there is no file gone.ckpt",
        "run_dir: " + str(workdir / "a.h5") + " is not a folder",
    ):
        assert expected in err
    assert not training.calls
    assert sorted(path.name for path in workdir.iterdir()) == ["a.h5"]


def test_a_folder_named_by_a_number_with_a_fraction(scan: Scan, workdir: Path, training, capsys) -> None:
    assert scan("train", "data.path=a.h5", "run_dir=1.5") == 0, capsys.readouterr().err
    assert len(training.calls) == 1


def test_a_place_that_may_not_be_looked_into(
    scan: Scan, workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """As the system refuses it; the tests may run as root, to whom nothing is refused."""

    def is_dir(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", is_dir)
    assert scan("report", "run", "--out", "locked/report.html") == 2
    err = capsys.readouterr().err
    assert err == (
        "error: locked/report.html: permission denied. Ask for permission, or give another place.\n"
    )


def test_a_missing_value_says_how_to_give_it(scan: Scan, training, capsys) -> None:
    assert scan("train") == 2
    assert capsys.readouterr().err == (
        "error: data.path: missing; give data.path=FILE.h5, a store made by `scan-lightning data build`\n"
    )
    assert scan("evaluate") == 2
    err = capsys.readouterr().err
    assert "checkpoint: missing; give checkpoint=FILE.ckpt" in err
    assert "data.path: missing" in err


@pytest.mark.parametrize("value", ["null", "???", "[a,b]", "''"])
def test_a_folder_without_a_name_is_one_fault_among_others(
    scan: Scan, workdir: Path, training, capsys, value: str
) -> None:
    for flag in ([], ["-m"]):
        assert scan("train", *flag, "data.path=a.h5", f"run_dir={value}", "seed=-1") == 2
        err = capsys.readouterr().err
        assert "run_dir: " in err
        assert "seed: found -1" in err
        assert "Traceback" not in err
    assert sorted(path.name for path in workdir.iterdir()) == ["a.h5"]


def test_every_job_of_a_sweep_is_checked_before_the_first_starts(
    scan: Scan, workdir: Path, training, capsys
) -> None:
    status = scan(
        "train", "-m", "data.path=a.h5,b.h5", "attention=t2i_mean,t2i_maen", "attention.smoothing=4,-9"
    )
    err = capsys.readouterr().err
    assert status == 2
    assert "attention: there is no option 't2i_maen'" in err
    assert err.count("attention.smoothing: found -9") == 1
    assert err.count("there is no file b.h5") == 1
    assert not training.calls
    assert sorted(path.name for path in workdir.iterdir()) == ["a.h5"]


def test_a_folder_is_no_store(scan: Scan, workdir: Path, capsys) -> None:
    (workdir / "folder").mkdir()
    assert scan("train", "data.path=folder") == 2
    assert "data.path: folder is a folder; expected a file: a store" in capsys.readouterr().err


def test_faults_in_a_users_own_experiment_are_found(scan: Scan, workdir: Path, training, capsys) -> None:
    (workdir / "mine" / "experiment").mkdir(parents=True)
    file = workdir / "mine" / "experiment" / "own.yaml"
    file.write_text("# @package _global_\nattention:\n  smothing: 4\nseed: one\n")
    assert scan("train", "-cd", "mine", "experiment=own", "data.path=a.h5") == 2
    err = capsys.readouterr().err
    assert "attention.smothing: there is no such key; did you mean attention.smoothing?" in err
    assert "seed: found 'one'; expected an integer" in err
    file.write_text("# @package _global_\nattention:\n  smoothing: 3\nseed: 5\n")
    assert scan("train", "-cd", "mine", "experiment=own", "data.path=a.h5", "run_dir=run") == 0
    assert training.calls[0][0].attention["smoothing"] == 3.0
    assert scan("train", "-cd", "nowhere", "experiment=own", "data.path=a.h5") == 2
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_an_experiment_that_names_no_option_is_a_clear_fault(scan: Scan, workdir: Path, capsys) -> None:
    (workdir / "mine" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /attention: t2i_maen\n"
    (workdir / "mine" / "experiment" / "own.yaml").write_text(text)
    assert scan("train", "-cd", "mine", "experiment=own", "data.path=a.h5") == 2
    err = capsys.readouterr().err
    assert "t2i_maen" in err
    assert "t2i_mean" in err  # Hydra lists the options
    assert "Traceback" not in err


def test_a_hydra_key_that_is_not_there(scan: Scan, capsys) -> None:
    assert scan("train", "data.path=a.h5", "hydra.lancher=3") == 2
    err = capsys.readouterr().err
    assert "the configuration cannot be composed" in err
    assert "lancher" in err


@pytest.mark.parametrize(
    ("words", "setting", "beside"),
    [
        ("attention=t2i_mean attention.lse_scale=5", "attention.lse_scale=5", "attention.aggregation=mean"),
        ("attention=t2i_mean attention.lse_scale=6.0", "attention.lse_scale=6", "attention.aggregation=mean"),
        ("attention=i2t_lse attention.aggregation=max", "attention.lse_scale=5", "attention.aggregation=max"),
        ("attention=t2i_summax attention.lse_scale=5", "attention.lse_scale=5", "attention.aggregation=sum"),
        ("loss.negatives=all loss.warmup_steps=10", "loss.warmup_steps=10", "loss.negatives=all"),
        ("scheduler.decay_epoch=5 trainer.max_epochs=5", "scheduler.decay_epoch=5", "trainer.max_epochs=5"),
        ("loss.negatives_scope=local", "loss.negatives_scope=local", "on one device"),
    ],
)
def test_a_setting_without_effect_warns_and_runs(
    scan: Scan, training, words: str, setting: str, beside: str
) -> None:
    with pytest.warns(ScanWarning) as caught:
        assert scan("train", "data.path=a.h5", "run_dir=run", *words.split()) == 0
    messages = [str(warning.message) for warning in caught]
    assert any(
        setting in message and "has no effect " in message and beside in message for message in messages
    )
    assert len(training.calls) == 1


@pytest.mark.parametrize(
    "words",
    [
        [
            "attention=t2i_lse",
            "attention.lse_scale=5",
            "loss.warmup_steps=10",
            "logger=wandb",
            "logger.wandb.project=x",
        ],
        ["attention=t2i_summax", "trainer.max_epochs=2"],
        ["attention=i2t_mean"],
    ],
)
def test_what_has_an_effect_does_not_warn(scan: Scan, training, words: list[str], recwarn) -> None:
    assert scan("train", "data.path=a.h5", "run_dir=run", *words) == 0
    assert not [warning for warning in recwarn if issubclass(warning.category, ScanWarning)]


def test_a_warning_is_printed_as_one_plain_line(workdir: Path) -> None:
    import subprocess
    import sys

    words = ["train", "data.path=a.h5", "attention.lse_scale=5", "run_dir=a.h5/x"]
    fault = subprocess.run([sys.executable, "-m", "scan_lightning", *words], capture_output=True, text=True)
    assert "warning:" not in fault.stderr  # faults first
    code = (
        "import sys; from scan_lightning import cli; from scan_lightning.commands import train; "
        "train.execute = lambda config, run_dir: {}; sys.exit(cli.main(sys.argv[1:]))"
    )
    words = ["train", "data.path=a.h5", "attention.lse_scale=5", "run_dir=run"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == (
        "warning: attention.lse_scale=5 has no effect with attention.aggregation=mean (only lse uses it)\n"
    )


def test_several_devices_under_multirun_are_refused_with_both_ways(
    scan: Scan, training, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ["train", "-m", "data.path=a.h5", "run_dir=run"]
    for words in (["trainer=ddp_cpu"], ["trainer=ddp"], ["trainer.devices=2"], ["trainer.num_nodes=2"]):
        assert scan(*sweep, *words) == 2
        err = capsys.readouterr().err
        assert "trainer.devices" in err
        assert "hydra/launcher=joblib" in err
        assert "torchrun" in err
    assert not training.calls
    assert scan(*sweep, "trainer=ddp_cpu", "trainer.strategy=ddp_fork") == 0  # starts from the running job
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert scan(*sweep, "trainer=ddp_cpu", "run_dir=other") == 0


@pytest.mark.parametrize(
    "variables", [{"TORCHELASTIC_RUN_ID": "none"}, {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}]
)
def test_torchrun_and_srun_need_a_folder_by_name(
    scan: Scan, training, capsys, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert scan("train", "data.path=a.h5", "trainer=ddp_cpu") == 2
    assert "give run_dir=DIR" in capsys.readouterr().err
    assert scan("train", "data.path=a.h5", "trainer=ddp_cpu", "run_dir=run") == 0


def test_evaluation_warns_of_training_settings(
    scan: Scan, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scan_lightning.commands import evaluate

    monkeypatch.setattr(evaluate, "execute", lambda config, run_dir: {"rsum": 1.0})
    (workdir / "a.ckpt").touch()
    with pytest.warns(ScanWarning, match=r"trainer\.max_epochs has no effect"):
        assert (
            scan("evaluate", "data.path=a.h5", "checkpoint=a.ckpt", "trainer.max_epochs=3", "run_dir=e") == 0
        )


def test_an_unwritable_folder_is_a_fault(
    scan: Scan, training, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root everything can be written to
    assert scan("train", "data.path=a.h5", "run_dir=run") == 2
    assert "cannot be written to" in capsys.readouterr().err
    monkeypatch.undo()


def test_a_folder_that_cannot_be_made_is_a_fault(scan: Scan, training, capsys) -> None:
    assert scan("train", "data.path=/dev/null", "run_dir=/proc/here") == 2
    assert "run_dir" in capsys.readouterr().err
    assert not training.calls
