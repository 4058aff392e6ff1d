"""The dispatch: help without weight, statuses, and the same words in every place."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from scan_lightning.validate import field_of, leaf_keys

import scan_lightning
from scan_lightning import cli

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
        "trainer",
        "logger",
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
    from scan_lightning.launch.help import meanings

    assert scan(command, "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    schema = import_module(f"scan_lightning.commands.{command}").command().schema
    for key in leaf_keys(schema):
        owner, field = field_of(schema, key)
        (place,) = [number for number, line in enumerate(lines) if line.split()[:1] == [key]]
        assert lines[place + 1] == f"      {meanings(owner)[field.name]}"
        assert len(lines[place + 1]) > 12
    for owner in {field_of(schema, key)[0] for key in leaf_keys(schema)}:  # nothing is told of keys long gone
        assert set(meanings(owner)) <= {field.name for field in fields(owner)}
    if command == "train":
        assert "  # The two encoders." in lines
        place = next(number for number, line in enumerate(lines) if "logger.panel_every_epochs" in line)
        assert "logger=wandb|tensorboard: 5" in lines[place + 1]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--foo"], "unrecognized arguments: --foo\n"),
        (["--multirn"], "did you mean --multirun?"),
        (["--quite"], "did you mean --quiet?"),
        (["--data.path=a.h5"], "write data.path=a.h5, without the dashes"),
        (["--seed", "3"], "write seed=VALUE, without the dashes"),
        (["--cfg", "jobs"], "argument --cfg: invalid choice: 'jobs'"),
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


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], [], ["nonsense"], ["train", "--help"], ["train", "a=1"]]
)
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
        *("load", "recall"),
    }
    for name in scan_lightning.__all__:
        assert callable(getattr(scan_lightning, name)), name
    assert set(scan_lightning.__all__) <= set(dir(scan_lightning))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = scan_lightning.nothing  # type: ignore[attr-defined]
