"""Open nodes: the options given, options and classes of a user's own, and what is refused of them."""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from runs import MEASURED, same_tensors
from small import small_records, write_small

from scan_lightning.data.writer import write_store
from scan_lightning.errors import ScanWarning

Scan = Callable[..., int]
Train = Callable[..., Path]
SMALL = ("data.path=small.h5", "data.batch_size=28", "data.word_threshold=1", "model.embed_size=16")
SMALL += ("model.word_size=12", "optimizer.lr=0.01", "trainer=cpu", "trainer.max_epochs=1")
STEPS = 5  # of an epoch: 120 pairs, 28 a batch


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("store") / "small.h5")


@pytest.fixture
def train(scan: Scan, workdir: Path, small: Path) -> Train:
    """Run `train` with a few words on the small store; return the run's folder."""
    shutil.copy(small, workdir / "small.h5")

    def run(*words: str, run_dir: str = "run") -> Path:
        assert scan("--quiet", "train", *SMALL, f"run_dir={run_dir}", *words) == 0
        return workdir / run_dir

    return run


@pytest.fixture
def my_parts(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's own in the working directory, which no test has imported; return its name."""
    name = f"my_parts_{workdir.name}".replace("-", "_")
    shutil.copy(Path(__file__).with_name("my_parts.py"), workdir / f"{name}.py")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def own_option(workdir: Path, group: str, name: str, text: str) -> None:
    folder = workdir / "mine" / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)


def rows(run: Path, column: str) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row[column]]


def rates(run: Path) -> list[float]:
    return [float(row["train/lr"]) for row in rows(run, "train/loss")]


def checkpoint(run: Path, name: str = "last") -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return content


def groups_of(run: Path) -> list[dict[str, Any]]:
    (state,) = checkpoint(run)["optimizer_states"]
    return list(state["param_groups"])


# -- given options


def test_adamw_with_an_argument_that_is_not_in_its_file(train: Train) -> None:
    run = train("optimizer=adamw", "optimizer.betas=[0.8,0.9]")
    (group,) = groups_of(run)
    assert (group["lr"], group["weight_decay"], list(group["betas"])) == (0.01, 0.01, [0.8, 0.9])
    assert checkpoint(run)["hyper_parameters"]["optimizer"]["_target_"] == "torch.optim.adamw.AdamW"


def test_parts_with_rates_of_their_own(train: Train) -> None:
    run = train("optimizer.groups.text_encoder.lr=1e-4", "scheduler=null")
    rest, words = groups_of(run)
    assert (rest["lr"], words["lr"]) == (0.01, 1e-4)
    state = checkpoint(run)["state_dict"]
    count = sum(name.startswith("model.text_encoder.") for name in state)
    assert (len(words["params"]), len(rest["params"])) == (count, len(state) - count)


@pytest.mark.parametrize("warmup", [0, 3])
@pytest.mark.parametrize("schedule", ["step", "cosine", "constant"])
def test_the_rate_of_every_step(train: Train, schedule: str, warmup: int) -> None:
    words = [f"scheduler={schedule}", f"scheduler.warmup_steps={warmup}", "trainer.max_epochs=2"]
    words += {"step": ["scheduler.decay_epoch=1"], "cosine": ["scheduler.final_factor=0.1"]}.get(schedule, [])

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if schedule == "cosine":
            done = (step - warmup) / (2 * STEPS - warmup)
            return 0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2
        return 0.1 if schedule == "step" and step >= STEPS else 1.0

    expected = [0.01 * factor(step) for step in range(2 * STEPS)]
    assert rates(train(*words)) == pytest.approx(expected, rel=1e-6)


def test_a_schedule_of_torch_that_watches_a_metric(train: Train, workdir: Path) -> None:
    plateau = "_target_: torch.optim.lr_scheduler.ReduceLROnPlateau\nmode: max\nfactor: 0.1\npatience: 0\n"
    own_option(workdir, "scheduler", "plateau", plateau + "threshold: 1000\n")
    words = ["-cd", "mine", "scheduler=plateau", "scheduler.monitor=val/rsum", "trainer.max_epochs=3"]
    run = train(*words)
    assert rates(run) == pytest.approx([0.01] * 2 * STEPS + [0.001] * STEPS)


def test_early_stopping_beside_moving_averages(train: Train) -> None:
    run = train(
        *("callbacks=[early_stopping,ema]", "callbacks.early_stopping.min_delta=1000", "scheduler=null"),
        *("callbacks.early_stopping.patience=2", "callbacks.ema.decay=0.7", "trainer.max_epochs=9"),
    )
    assert [row["step"] for row in rows(run, "val/rsum")] == ["5", "10", "15"]


def test_with_ema_a_checkpoint_holds_the_averages(train: Train) -> None:
    plain = train("checkpointing.every_steps=1", "checkpointing.keep=9", run_dir="plain")
    run = train("callbacks=ema", "callbacks.ema.decay=0.7")
    steps = sorted((plain / "checkpoints").glob("step-*.ckpt"))
    weights = [torch.load(file, weights_only=True)["state_dict"] for file in steps]
    assert len(weights) == STEPS
    average = {name: value.double() for name, value in weights[0].items()}
    for later in weights[1:]:
        average = {name: 0.7 * average[name] + 0.3 * later[name].double() for name in average}
    for name in ("best", "last"):
        found = checkpoint(run, name)["state_dict"]
        assert found.keys() == average.keys()
        for key, value in average.items():
            torch.testing.assert_close(found[key].double(), value, rtol=1e-5, atol=1e-6)
    assert same_tensors(checkpoint(run)["current_model_state"], checkpoint(plain)["state_dict"])


def test_a_run_with_ema_that_is_resumed_is_the_unbroken_run(train: Train) -> None:
    words = ["callbacks=[ema,early_stopping]", "optimizer=adamw", "scheduler=step"]
    unbroken = train(*words, "trainer.max_epochs=2", run_dir="unbroken")
    train(*words, "trainer.max_steps=3", run_dir="broken")
    broken = train(*words, "trainer.max_epochs=2", "resume=auto", run_dir="broken")
    one, other = checkpoint(unbroken), checkpoint(broken)
    for key in ("state_dict", "current_model_state", "optimizer_states", "averaging_state"):
        assert same_tensors(one[key], other[key]), key
    first, second = (
        [{k: v for k, v in row.items() if k not in MEASURED} for row in rows(run, "train/loss")]
        for run in (unbroken, broken)
    )
    assert len(first) == 2 * STEPS
    assert first == second


def test_several_loggers_and_a_callback_taken_away(train: Train) -> None:
    pytest.importorskip("tensorboard")
    run = train("logger=[csv,tensorboard]", "callbacks.panels=null")
    assert len(rows(run, "train/loss")) == STEPS
    assert list((run / "tensorboard").glob("events.*"))
    assert yaml.safe_load((run / "config.yaml").read_text())["callbacks"] == {"panels": None}


def test_a_fast_development_run_keeps_nothing(train: Train) -> None:
    run = train("debug=fdr")
    assert not list(run.rglob("*.ckpt"))
    assert not (run / "results.json").exists()


def test_a_limited_run_is_judged_on_the_complete_split(train: Train) -> None:
    run = train("debug=limit", "data.batch_size=10", "trainer.max_epochs=2", "trainer.limit_val_batches=1")
    assert [row["step"] for row in rows(run, "val/rsum")] == ["5", "10"]
    results = json.loads((run / "results.json").read_text())
    assert (results["images"], results["captions"]) == (12, 36)


def test_overfitting_sees_the_same_pairs_every_epoch(train: Train) -> None:
    run = train("debug=overfit", "trainer.max_epochs=2", "optimizer.lr=0.0")
    losses = [float(row["train/loss"]) for row in rows(run, "train/loss")]
    assert len(losses) == 6
    assert losses[:3] == losses[3:]


def test_the_profiler_writes_its_table(train: Train) -> None:
    run = train("debug=profiler")
    table = (run / "fit-profile.txt").read_text()
    assert "optimizer_step" in table
    assert "train_dataloader_next" in table


def test_a_key_of_the_trainers_signature_needs_no_plus(train: Train) -> None:
    run = train("trainer.val_check_interval=0.5")
    assert [row["step"] for row in rows(run, "val/rsum")] == ["2", "4"]
    assert json.loads((run / "results.json").read_text())["images"] == 12


def test_threads(train: Train) -> None:
    before = torch.get_num_threads()
    try:
        train("threads=2")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_test_after(train: Train) -> None:
    run = train("test_after=true")
    results = json.loads((run / "test" / "results.json").read_text())
    assert (results["split"], results["images"], results["captions"]) == ("test", 12, 36)
    assert json.loads((run / "results.json").read_text())["split"] == "val"


def test_weights_of_a_run_with_another_vocabulary(
    train: Train, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = train(run_dir="source")
    records = small_records(seed=1)
    for record in records:
        record.captions[:] = [f"{caption.replace('bado', 'new')} word" for caption in record.captions]
    regions = sum(len(record.features) for record in records)
    sizes = {"images": len(records), "regions": regions, "feature_dim": 16}
    write_store(workdir / "other.h5", records, source="other", progress=False, **sizes)
    given = f"init_from={source}/checkpoints/best.ckpt"
    run = train("data.path=other.h5", given, "optimizer.lr=0.0", "optimizer=adamw", run_dir="tuned")
    one, other = checkpoint(source, "best"), checkpoint(run)
    words = [content["hyper_parameters"]["model"]["vocabulary"]["words"] for content in (one, other)]
    assert {"new", "word"} <= set(words[1]) - set(words[0])
    assert "bado" in set(words[0]) - set(words[1])
    embed = "model.text_encoder.embed.weight"
    before, after = one["state_dict"].pop(embed), other["state_dict"].pop(embed)
    assert same_tensors(one["state_dict"], other["state_dict"])
    shared = [word for word in words[1] if word in words[0]]
    ids = [[side.index(word) for word in shared] for side in words]
    assert torch.equal(before[ids[0]], after[ids[1]])
    fresh = [words[1].index(word) for word in ("new", "word")]
    assert not any((before == after[row]).all(1).any() for row in fresh)
    assert f"{len(shared)} of {len(words[1])} words known to both" in capsys.readouterr().err


def test_init_from_a_model_of_another_size_is_refused(
    train: Train, scan: Scan, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = train(run_dir="source")
    words = [*SMALL, "model.embed_size=8", f"init_from={source}/checkpoints/best.ckpt", "run_dir=run"]
    assert scan("train", *words) == 2
    assert "its weights do not fit the model of this run" in capsys.readouterr().err
    assert not (workdir / "run").exists()


# -- options, groups and classes of a user's own

OWN = {
    "data": "Data\npath: ???\nbatch_size: 28\nseed: ${seed}",
    "attention": "Chan\nscale: 5",
    "model": "Model\nembed_size: 16\nword_size: 12",
    "loss": "Loss",
    "optimizer": "Optimizer\n_partial_: true\nlr: 0.05",
    "scheduler": "Schedule",
    "trainer": "Trainer\naccelerator: cpu\nmax_epochs: 2",
}


def write_own(workdir: Path, module: str) -> None:
    for group, text in OWN.items():
        own_option(workdir, group, "own", f"_target_: {module}.{text}\n")
    own_option(
        workdir, "callbacks", "own", f"note:\n  _target_: {module}.Note\n  path: ${{run_dir}}/note.txt\n"
    )
    own_option(workdir, "logger", "own", f"lines:\n  _target_: {module}.Lines\n  folder: ${{run_dir}}\n")
    own_option(workdir, "experiment", "own", "# @package _global_\nseed: 3\n")
    own_option(workdir, "debug", "own", "# @package _global_\ncheckpointing:\n  every_steps: 2\n")
    own_option(workdir, "sweep", "own", "# @package hydra.sweeper\nparams:\n  attention.scale: 5,10\n")
    own_option(workdir, "corpus", "own", "threshold: 2\n")


def test_an_option_of_every_group(scan: Scan, workdir: Path, small: Path, my_parts: str) -> None:
    write_own(workdir, my_parts)
    shutil.copy(small, workdir / "small.h5")
    groups = [f"{group}=own" for group in (*OWN, "callbacks", "logger", "experiment", "debug")]
    words = ["--config-dir", "mine", *groups, "+corpus=own", "data.word_threshold=${corpus.threshold}"]
    assert scan("--quiet", "train", *words, "data.path=small.h5", "run_dir=run") == 0
    run = workdir / "run"
    config = yaml.safe_load((run / "config.yaml").read_text())
    for group, text in OWN.items():
        assert config[group]["_target_"] == f"{my_parts}.{text.split()[0]}"
    assert (config["seed"], config["data"]["seed"], config["data"]["word_threshold"]) == (3, 3, 2)
    assert config["checkpointing"]["every_steps"] == 2
    assert "corpus" not in config
    parts = checkpoint(run)["hyper_parameters"]
    for part in ("model", "loss", "optimizer"):
        assert parts[part]["_target_"] == f"{my_parts}.{part.title()}"
    assert parts["similarity"]["_target_"] == f"{my_parts}.Chan"
    assert parts["scheduler"]["_target_"] == f"{my_parts}.Schedule"
    assert rates(run) == pytest.approx([0.05] * STEPS + [0.025] * STEPS)
    assert (run / "note.txt").read_text() == f"{2 * STEPS} {workdir}"
    lines = [json.loads(line) for line in (run / "lines.jsonl").read_text().splitlines()]
    assert [line["train/loss"] for line in lines if "train/loss" in line] == pytest.approx(
        [float(row["train/loss"]) for row in rows(run, "train/loss")]
    )
    assert (run / "checkpoints" / "best.ckpt").exists()  # an own callback takes nothing away


def test_own_encoders(train: Train, scan: Scan, workdir: Path, my_parts: str) -> None:
    own_option(workdir, "model/regions", "own", f"_target_: {my_parts}.Regions\n")
    own_option(workdir, "model/words", "own", f"_target_: {my_parts}.Words\nwidth: 10\n")
    own = ["-cd", "mine", "model/regions=own", "model/words=own", "model.regions.twice=true"]
    with pytest.warns(ScanWarning, match="model.word_size has no effect with model.words"):
        run = train(*own)
    model = checkpoint(run)["hyper_parameters"]["model"]
    assert model["regions"] == {"_target_": f"{my_parts}.Regions", "_partial_": True, "twice": True}
    assert checkpoint(run)["state_dict"]["model.text_encoder.embed.weight"].shape[1] == 10
    words = ["checkpoint=run/checkpoints/best.ckpt", "data.path=small.h5", "trainer=cpu", "split=val"]
    assert scan("--quiet", "evaluate", *words, f"trust=[{my_parts}]", "run_dir=again") == 0
    first, second = (json.loads((workdir / name / "results.json").read_text()) for name in ("run", "again"))
    assert [first[side]["meanr"] for side in ("i2t", "t2i")] == [
        second[side]["meanr"] for side in ("i2t", "t2i")
    ]


def test_own_classes_are_checked_like_ours(scan: Scan, workdir: Path, my_parts: str, capsys) -> None:
    write_own(workdir, my_parts)
    groups = [f"{group}=own" for group in (*OWN, "callbacks")]
    words = ["attention.scal=5", "loss.margin=0", "optimizer.momentum=much", "callbacks.note.pth=x"]
    assert scan("train", "-cd", "mine", *groups, "data.path=a.h5", "run_dir=run", *words) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: the configuration has 4 errors",
        "  attention.scal: there is no such key; did you mean attention.scale?",
        "  loss.margin: found 0; expected a number, above 0",
        "  optimizer.momentum: found 'much'; expected a number",
        "  callbacks.note.pth: there is no such key; did you mean callbacks.note.path?",
    ]
    assert not (workdir / "run").exists()


def test_a_similarity_of_ones_own_is_swept_resumed_and_evaluated(
    train: Train, scan: Scan, workdir: Path, my_parts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own_option(workdir, "attention", "chan", f"_target_: {my_parts}.Chan\nscale: 10.0\n")
    own = ["-cd", "mine", "attention=chan"]
    sweep = train("-m", *own, "attention.scale=5,10", run_dir="sweep")
    jobs = [sweep / f"attention.scale-{scale}" for scale in (5, 10)]
    parts = [checkpoint(job)["hyper_parameters"]["similarity"] for job in jobs]
    assert parts == [{"_target_": f"{my_parts}.Chan", "scale": scale} for scale in (5.0, 10.0)]
    assert not same_tensors(*(checkpoint(job)["state_dict"] for job in jobs))
    capsys.readouterr()
    train("-m", *own, "attention.scale=5,10.0", run_dir="sweep")
    assert capsys.readouterr().out.count("finished before, skipped") == 1  # 10.0 has a folder of its own

    train(*own, "attention.scale=5", "trainer.max_steps=3", run_dir="resumed")
    resumed = train(*own, "attention.scale=5.0", "resume=auto", run_dir="resumed")
    assert same_tensors(checkpoint(resumed)["state_dict"], checkpoint(jobs[0])["state_dict"])

    del sys.modules[my_parts]
    best = jobs[0] / "checkpoints" / "best.ckpt"
    words = ["evaluate", f"checkpoint={best}", "data.path=small.h5", "split=val", "trainer=cpu", "run_dir=e"]
    assert scan(*words) == 2
    error = capsys.readouterr().err
    assert f"{best}: similarity: names the class '{my_parts}.Chan'" in error
    assert f"trust=[{my_parts}]" in error
    assert my_parts not in sys.modules
    assert not (workdir / "e").exists()
    attention = ["attention", str(best), "--data", "small.h5", "--image", "val-0", "--sentence", "bado"]
    assert scan(*attention, "--out", "drawn") == 2
    assert f"--trust {my_parts}" in capsys.readouterr().err
    assert my_parts not in sys.modules

    assert scan("--quiet", *words, f"trust=[{my_parts}]") == 0
    first, second = (json.loads((folder / "results.json").read_text()) for folder in (jobs[0], workdir / "e"))
    assert first["rsum"] == second["rsum"]
    capsys.readouterr()
    assert scan(*attention, "--out", "drawn", "--trust", my_parts) == 2
    assert "knows no boxes" in capsys.readouterr().err  # it was loaded


@pytest.mark.slow
def test_the_command_itself_finds_modules_beside_it(workdir: Path, small: Path, my_parts: str) -> None:
    """As the console script starts it: the working directory is not on the Python path."""
    shutil.copy(small, workdir / "small.h5")
    own_option(workdir, "attention", "chan", f"_target_: {my_parts}.Chan\n")
    code = "import sys; sys.path.remove(''); from scan_lightning import cli; sys.exit(cli.main(sys.argv[1:]))"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)

    done = run("train", *SMALL, "-cd", "mine", "attention=chan", "run_dir=run", "hydra.job.chdir=true")
    assert done.returncode == 0, done.stderr
    words = ["checkpoint=run/checkpoints/best.ckpt", "data.path=small.h5", "trainer=cpu", "run_dir=e"]
    done = run("evaluate", *words, f"trust=[{my_parts}]")
    assert done.returncode == 0, done.stderr


# -- Hydra's own flags


def test_info_prints_what_hydra_composed(workdir: Path, my_parts: str) -> None:
    """In a process of its own: Hydra then logs what it does, for as long as the process lives."""
    write_own(workdir, my_parts)

    def printed(*words: str) -> str:
        command = [sys.executable, "-m", "scan_lightning", "train", "-cd", "mine", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    defaults = printed("--info", "defaults", "attention=own", "data.path=a.h5")
    assert "Defaults List" in defaults
    assert "attention/own" in defaults
    assert str(workdir / "mine") in printed("--info", "searchpath")
    assert sorted(path.name for path in workdir.iterdir()) == ["a.h5", "mine", f"{my_parts}.py"]


def test_a_primary_configuration_of_ones_own(scan: Scan, workdir: Path, training, capsys) -> None:
    own_option(workdir, ".", "paper", "defaults:\n  - config\n  - _self_\nseed: 7\n")
    words = ["-cd", "mine", "--config-name", "paper", "data.path=a.h5", "run_dir=run"]
    assert scan("train", *words, "attention.smoothing=4") == 0, capsys.readouterr().err
    ((config, _),) = training.calls
    assert (config.seed, config.attention["smoothing"]) == (7, 4.0)
    assert scan("train", "-cd", "mine", "-cn", "papr", "data.path=a.h5") == 2
    assert "papr" in capsys.readouterr().err


def test_paths_are_those_of_the_folder_the_command_was_given_in(train: Train, workdir: Path) -> None:
    source = train("hydra.job.chdir=true", run_dir="a/source")
    init = "init_from=a/source/checkpoints/best.ckpt"
    run = train("hydra.job.chdir=true", init, run_dir="a/run")
    assert {path.name for path in run.iterdir()} == {path.name for path in source.iterdir()}
    assert {path.name for path in workdir.iterdir()} == {"a.h5", "small.h5", "a"}
    train("trainer.max_epochs=2", "hydra.job.chdir=true", init, "resume=auto", run_dir="a/run")
    assert len(rows(run, "train/loss")) == 2 * STEPS


@pytest.mark.parametrize("more", [[], ["hydra.job.chdir=true"]])
def test_a_tilde_is_the_home_folder(
    scan: Scan, train: Train, workdir: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    home = workdir / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (workdir / "small.h5").rename(home / "small.h5")
    words = [*SMALL[1:], "data.path=~/small.h5", *more]
    assert scan("--quiet", "train", *words, "run_dir=~/run") == 0
    best = "~/run/checkpoints/best.ckpt"
    assert scan("--quiet", "train", "-m", *words, "run_dir=~/sweep", "seed=0,1", f"init_from={best}") == 0
    data = ["data.path=~/small.h5", "trainer=cpu", *more]
    assert scan("--quiet", "evaluate", f"checkpoint={best}", *data, "run_dir=~/e") == 0
    assert scan("--quiet", "ensemble", f"checkpoints=[{best},{best}]", *data, "run_dir=~/both") == 0
    assert {path.name for path in home.iterdir()} == {"small.h5", "run", "sweep", "e", "both"}
    assert {path.name for path in workdir.iterdir()} == {"a.h5", "home"}


def test_the_runs_folder_in_a_node_is_the_jobs_own(train: Train, workdir: Path, my_parts: str) -> None:
    words = [f"+callbacks.note._target_={my_parts}.Note", "callbacks.note.path=${run_dir}/note.txt"]
    sweep = train("-m", *words, "seed=0,1", run_dir="sweep")
    for seed in (0, 1):
        assert (sweep / f"seed-{seed}" / "note.txt").read_text() == f"{STEPS} {workdir}"
        config = yaml.safe_load((sweep / f"seed-{seed}" / "config.yaml").read_text())
        assert config["run_dir"] == str(sweep / f"seed-{seed}")
    assert not (sweep / "note.txt").exists()


def test_a_group_is_left_out_by_null(scan: Scan, training) -> None:
    words = ["data.path=a.h5", "run_dir=run", "scheduler=null", "callbacks=null", "logger=null"]
    assert scan("train", *words, "experiment=null", "sweep=null", "debug=null") == 0
    ((config, _),) = training.calls
    assert (config.scheduler, config.callbacks, config.logger) == (None, {}, {})


# -- bad input


def refused(scan: Scan, workdir: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Run a training that is refused before it starts; return the lines of its message."""
    before = sorted(path.name for path in workdir.iterdir())
    assert scan("train", "data.path=a.h5", "run_dir=run", *words) == 2
    assert sorted(path.name for path in workdir.iterdir() if path.name != "__pycache__") == before
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.splitlines()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "optimizer._target_=torch.nn.Linear",
            "optimizer._target_: found torch.nn.Linear; expected a class derived from torch.optim.Optimizer",
        ),
        (
            "optimizer._target_=MINE.Broken",
            "optimizer._target_: found MINE.Broken; expected a class derived from torch.optim.Optimizer",
        ),
        (
            "attention._target_=torch.nn.Identity",
            "attention._target_: found torch.nn.Identity; expected a class derived from "
            "scan_lightning.Similarity",
        ),
        (
            "+callbacks.x._target_=torch.optim.Adam",
            "callbacks.x._target_: found torch.optim.Adam; expected a class derived from "
            "lightning.pytorch.Callback",
        ),
        (
            "+callbacks.x._target_=MINE.Broken",
            "callbacks.x: MINE.Broken cannot be built (no callback of size 3); give arguments that it takes",
        ),
        (
            "+callbacks.x._target_=my_missing.Thing",
            "callbacks.x._target_: my_missing.Thing cannot be imported (No module named 'my_missing'); "
            "modules are found on the Python path and in the working directory",
        ),
        (
            "+callbacks.x={_target_: MINE.Note, path: a, size: 3}",
            "callbacks.x.size: there is no such key; callbacks.x takes path",
        ),
        ("+callbacks.x._target_=MINE.Note", "callbacks.x.path: missing; give callbacks.x.path=VALUE"),
        ("+callbacks.x.path=a", "callbacks.x._target_: missing; name the class that the section describes"),
        (
            "optimizer._target_=torch.optim.AdamWW",
            "optimizer._target_: torch.optim.AdamWW cannot be imported (No module named "
            "'torch.optim.AdamWW'); did you mean torch.optim.AdamW?",
        ),
        ("optimizer.lr=-1", "optimizer: torch.optim.Adam cannot be built (Invalid learning rate: -1); give "
         "arguments that it takes"),
        ("optimizer.params=[1]", "optimizer.params: set by the program; leave it out"),
        ("optimizer.fused=perhaps", "optimizer.fused: found 'perhaps'; expected true or false or null"),
        (
            "optimizer.groups.text_encoder.lrr=1",
            "optimizer.groups.text_encoder.lrr: there is no such key; did you mean "
            "optimizer.groups.text_encoder.lr?",
        ),
        ("scheduler.step_size=3", "scheduler.step_size: there is no such key; scheduler takes decay_epoch, "
         "decay_factor, warmup_steps, interval, frequency, monitor"),
        ("trainer.devices=0", "trainer.devices: found 0; expected an integer, at least 1, or -1: all there "
         "are"),
        ("trainer.max_epochs=0", "trainer.max_epochs: found 0; expected an integer, at least 1, or -1: no "
         "limit"),
        ("trainer.logger=true", "trainer.logger: set by the program; leave it out"),
        ("attention.smoothing=null", "attention.smoothing: found null; expected a number, above 0"),
    ],
)  # fmt: skip
def test_one_fault_of_a_node(
    scan: Scan, workdir: Path, my_parts: str, training, capsys, word: str, message: str
) -> None:
    found = refused(scan, workdir, capsys, word.replace("MINE", my_parts))
    assert found == ["error: " + message.replace("MINE", my_parts)]
    assert not training.calls


def test_faults_of_several_nodes_come_in_one_message(
    scan: Scan, workdir: Path, my_parts: str, training, capsys
) -> None:
    lines = refused(
        scan,
        workdir,
        capsys,
        *("optimizer._target_=torch.nn.Linear", f"+callbacks.broken._target_={my_parts}.Broken"),
        *("+logger.gone._target_=my_missing.Logger", "loss.margn=1", "attention.smoothing=[1]"),
        *("scheduler.warmup_steps=-3", "trainer.val_check_interval=1.5", "resume=gone.ckpt", "seed=-1"),
        "loss.negatives_scope=all",
    )
    assert lines[0] == "error: the configuration has 11 errors"
    keys = ["seed", "data.seed", "attention.smoothing", "loss.margn", "loss.negatives_scope"]
    keys += ["optimizer._target_", "scheduler.warmup_steps", "trainer.val_check_interval"]
    keys += ["callbacks.broken", "logger.gone._target_", "resume"]
    assert sorted(line.strip().partition(":")[0] for line in lines[1:]) == sorted(keys)


def test_a_group_of_weights_that_there_is_not(train: Train, scan: Scan, workdir: Path, capsys) -> None:
    assert scan("train", *SMALL, "optimizer.groups.text_encodr.lr=1e-4", "run_dir=run") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: optimizer.groups.text_encodr: no parameter's name begins so; there are ")
    assert "text_encoder" in error
    assert not (workdir / "run").exists()


def test_a_check_interval_longer_than_an_epoch(train: Train, scan: Scan, workdir: Path, capsys) -> None:
    assert scan("train", *SMALL, "trainer.val_check_interval=1000", "run_dir=run") == 2
    error = capsys.readouterr().err
    assert "trainer.val_check_interval" in error or "`val_check_interval`" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("optimizer.decay_epoch=3", "it is scheduler.decay_epoch now"),
        ("optimizer.decay_factor=0.5", "it is scheduler.decay_factor now"),
        ("optimizer.clip_norm=1", "it is trainer.gradient_clip_val now"),
        ("trainer.nodes=2", "it is trainer.num_nodes now"),
        ("loss.large_batch=true", "it is loss.micro_batches now"),
        ("logger.project=x", "it is logger.wandb.project now"),
        ("logger.kind=wandb", "it is logger=csv|wandb|tensorboard now"),
        ("attention.rule=summax", "it is attention=t2i_summax now"),
        ("trainer.limit_train_batchez=3", "did you mean trainer.limit_train_batches?"),
        ("trainer.acumulate_grad_batches=3", "did you mean trainer.accumulate_grad_batches?"),
    ],
)
def test_the_key_that_was_meant(scan: Scan, workdir: Path, capsys, word: str, remedy: str) -> None:
    key = word.partition("=")[0]
    assert refused(scan, workdir, capsys, word) == [f"error: {key}: there is no such key; {remedy}"]


@pytest.mark.parametrize(
    "word", ["model.pretrained=true", "loss.temperature=1", "pretrained=1", "model.layers=2"]
)
def test_no_hint_is_far_fetched(scan: Scan, workdir: Path, capsys, word: str) -> None:
    (line,) = refused(scan, workdir, capsys, word)
    assert "there is no such key" in line
    assert "did you mean" not in line
