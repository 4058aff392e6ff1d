"""The dispatch: help without weight, statuses, and the same words in every place."""

import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import scan_lightning
from scan_lightning import ScanModel, cli
from scan_lightning.config.nodes import GIVEN
from scan_lightning.options import options_of

Scan = Callable[..., int]
COMMANDS = {**cli.HYDRA_COMMANDS, **cli.PLAIN_COMMANDS}


def test_help_lists_every_command_and_examples(scan: Scan, capsys) -> None:
    for words in ([], ["--help"], ["-h"]):
        assert scan(*words) == 0
        out = capsys.readouterr().out
        assert all(f"\n    {name}" in out for name in COMMANDS)
        assert "scan-lightning train data.path=" in out


def test_version(scan: Scan, capsys) -> None:
    assert scan("--version") == 0
    assert capsys.readouterr().out == f"scan-lightning {version('scan-lightning')}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, scan: Scan, capsys) -> None:
    assert scan(name, "--help") == 0
    out = capsys.readouterr().out
    assert f"usage: scan-lightning {name}" in out
    assert out.count(f"scan-lightning {name}") > 1  # the usage line and at least one example


def test_every_module_of_commands_is_a_command() -> None:
    folder = Path(scan_lightning.__file__).parent / "commands"
    with_help = [path.stem for path in folder.glob("*.py") if "\nHELP = " in path.read_text(encoding="utf-8")]
    assert {name.replace("_", "-") for name in with_help} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_help_is_the_commands_own(name: str) -> None:
    module = import_module(f"scan_lightning.commands.{name.replace('-', '_')}")
    assert COMMANDS[name] == module.HELP


def test_help_of_train_shows_groups_keys_defaults_and_what_they_take(scan: Scan, capsys) -> None:
    assert scan("train", "--help") == 0
    out = capsys.readouterr().out
    for group in (
        "data",
        "attention",
        "model",
        "loss",
        "optimizer",
        "scheduler",
        "trainer",
        "callbacks",
        "logger",
        "debug",
        "experiment",
        "sweep",
    ):
        assert f"\n  {group} " in out
    assert "i2t_lse i2t_mean i2t_summax t2i_lse *t2i_mean t2i_summax" in out
    assert "flickr8k_t2i_mean" in out
    assert "attention.smoothing" in out
    assert "a number, above 0" in out


@pytest.mark.parametrize("command", ["train", "evaluate", "ensemble"])
def test_help_says_in_a_line_what_each_key_means(command: str, scan: Scan, capsys) -> None:
    assert scan(command, "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    schema = import_module(f"scan_lightning.commands.{command}").command().schema
    begin, end = (
        lines.index("keys, with their defaults, what they take and what they mean:"),
        lines.index("options:"),
    )
    places = {
        line.split()[0]: number
        for number, line in enumerate(lines)
        if begin < number < end and re.match(r"  [a-z_.]+ ", line) and not line.startswith("  and of ")
    }
    for section, option in options_of(schema).items():
        keys = [key for key in places if key.partition(".")[0] == section]
        assert keys or section in ("callbacks", "logger"), section
        for key in keys:
            assert re.match(r" {6}\S.{9,}", lines[places[key] + 1]), key
        if section in keys:
            assert lines[places[section] + 1] == f"      {option.meaning}"


def test_help_shows_the_signatures_of_the_nodes(scan: Scan, capsys) -> None:
    assert scan("train", "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  # A region encoder and a text encoder into one space." in lines
    keys = [line.split()[0] for line in lines if line.startswith("  model.")]
    assert keys == [f"model.{name}" for name in options_of(ScanModel) if name not in GIVEN["model"]]
    assert any("limit_val_batches, limit_test_batches" in line for line in lines)  # parameters of pl.Trainer
    assert not any("trainer.callbacks" in line for line in lines)


def test_help_shows_what_the_chosen_options_take(scan: Scan, capsys) -> None:
    assert scan("train", "--help", "logger=wandb", "optimizer=adamw", "attention=t2i_summax") == 0
    out = capsys.readouterr().out
    assert re.search(r"\n  callbacks\.panels\.every_epochs +5 +an integer, at least 1\n", out)
    assert "\n  logger.wandb.project " in out
    assert "\n  optimizer.weight_decay " in out
    assert "\n  attention.smoothing" not in out


def test_help_of_evaluate_lists_no_key_without_effect(scan: Scan, capsys) -> None:
    assert scan("evaluate", "--help") == 0
    out = capsys.readouterr().out
    assert "trainer.devices" in out
    for key in ("max_epochs", "max_steps", "gradient_clip_val", "precision", "batch_size"):
        assert key not in out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--foo"], "unrecognized arguments: --foo\n"),
        (["--multirn"], "did you mean --multirun?"),
        (["--quite"], "did you mean --quiet?"),
        (["--data.path=a.h5"], "write data.path=a.h5, without the dashes"),
        (["--seed", "3"], "write seed=VALUE, without the dashes"),
        (["--cfg", "jobs"], "invalid choice: 'jobs'"),
        (["-cd"], "expected one argument"),
    ],
)
def test_an_unknown_option_says_what_exists(words: list[str], hint: str, scan: Scan, capsys) -> None:
    assert scan("train", *words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: scan-lightning train: ")
    assert hint in err
    assert "expected KEY=VALUE, GROUP=OPTION, or one of these options (`--help` lists keys and groups)" in err
    for option in (
        "-m, --multirun",
        "-cd, --config-dir DIR",
        "--cfg job",
        "--debug",
        "--quiet",
        "-h, --help",
    ):
        assert f"\n  {option} " in err


def test_an_unknown_option_of_a_plain_command_shows_that_commands_usage(scan: Scan, capsys) -> None:
    assert scan("report", "run", "--out", "page.html", "--foo") == 2
    err = capsys.readouterr().err
    assert err.startswith("usage: scan-lightning report [-h] --out FILE.html")
    assert "scan-lightning report: error: unrecognized arguments: --foo" in err


@pytest.mark.parametrize("words", [["--help"], ["--version"], [], ["nonsense"]])
def test_nothing_heavy_is_imported_before_it_is_needed(words: list[str]) -> None:
    code = (
        "import sys; from scan_lightning import cli; cli.main(sys.argv[1:]); "
        "heavy = {'torch', 'lightning', 'spacy', 'h5py', 'matplotlib', 'wandb'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_command_names_the_nearest(scan: Scan, capsys) -> None:
    assert scan("trian") == 2
    assert "unknown command 'trian'; did you mean 'train'?" in capsys.readouterr().err
    assert scan("train", "--multi") == 2
    assert "--multi" in capsys.readouterr().err


def test_python_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scan_lightning", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("scan-lightning ")


def test_the_public_names_are_there() -> None:
    assert set(scan_lightning.__all__) == {
        *("Attention", "SumMax", "attend", "similarity_matrix", "similarity_pairs", "triplet_loss"),
        *("load", "recall", "Similarity", "ScanModel", "ScanModule", "ScanDataModule", "TripletLoss"),
        *("Store", "PairBatch", "ImageBatch", "CaptionBatch"),
    }
    for name in scan_lightning.__all__:
        assert callable(getattr(scan_lightning, name)), name
    assert set(scan_lightning.__all__) <= set(dir(scan_lightning))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = scan_lightning.nothing  # type: ignore[attr-defined]
