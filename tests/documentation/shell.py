"""Commands and code of documentation pages: read by a real shell, run in this process, at a tiny size.

A page's bash blocks are given to bash with every program replaced by one that only notes its arguments, so
loops, quotes, comments and continued lines mean what they mean to a reader. The commands noted then run one
after another in one folder; training is made small, and devices that are not here become the CPU.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

from scan_lightning import cli

ROOT = Path(__file__).parents[2]
PROGRAMS = ("scan-lightning", "python", "torchrun", "srun", "pip", "make")
NOTE = '#!/bin/bash\n{ printf "%s\\0" "${0##*/}" "$@"; printf "\\n\\0"; } >> "$NOTES"\n'

# Left out of a command that runs here: how many devices, where jobs go, how long and how large.
ELSEWHERE = re.compile(
    r"(trainer\.(devices|num_nodes|max_epochs|max_steps)|hydra\.launcher\.|hydra/launcher|data\.(batch_size|workers))"
)
TINY = (
    *("data.batch_size=8", "data.word_threshold=1", "model.embed_size=8", "model.word_size=4"),
    *("trainer.max_epochs=1", "trainer.max_steps=2"),
)
FEWER = {  # runs of a sweep; tests/cli/test_sweep.py has all
    "sweep=full": ("attention.smoothing=9", "attention.aggregation=mean"),
    "sweep=smoothing": ("attention.smoothing=4,9",),
    "sweep=smoothing_optuna": ("hydra.sweeper.n_trials=2",),
}


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def noted_commands(script: str, folder: Path) -> list[list[str]]:
    """The commands a script comes to, as bash reads it; a program that is not in PROGRAMS is an error."""
    programs, notes = folder / "programs", folder / "notes"
    programs.mkdir(exist_ok=True)
    for name in PROGRAMS:
        (programs / name).write_text(NOTE)
        (programs / name).chmod(0o755)
    notes.write_bytes(b"")
    environment = {"PATH": str(programs), "NOTES": str(notes)}
    subprocess.run(["/bin/bash", "-euc", script], env=environment, cwd=folder, check=True, timeout=60)
    return [
        note.removesuffix("\0").split("\0") for note in notes.read_text().split("\n\0") if note.strip("\0\n")
    ]


def run_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one command of a page, or what of it can run on any machine."""
    program, *rest = words
    if program == "scan-lightning":
        _run_ours(rest, monkeypatch)
    elif program == "srun":
        assert rest[0] == "scan-lightning", rest
        _run_ours(rest[1:], monkeypatch)
    elif program == "torchrun":
        from torch.distributed.run import get_args_parser

        launch = get_args_parser().parse_args(rest)
        assert (launch.module, launch.training_script) == (True, "scan_lightning")
        if int(launch.node_rank) == 0:  # the other nodes repeat the command of the first
            _run_ours(launch.training_script_args, monkeypatch)
    elif program == "pip":
        assert rest[0] == "install", rest
        (extra,) = re.findall(r"scan-lightning\[([\w,]+)\]", rest[1])
        assert set(extra.split(",")) <= set(metadata("scan-lightning").get_all("Provides-Extra") or ())
    elif program == "make":
        environment = {**os.environ, "MAKEFLAGS": ""}
        subprocess.run(["make", "-n", *rest], cwd=ROOT, env=environment, check=True, capture_output=True)
    elif program == "python" and rest[0] == "-m":
        subprocess.run([sys.executable, *rest[:2], "--help"], check=True, capture_output=True)
    else:
        assert (ROOT / rest[0]).is_file(), words
        if "scan-lightning" in rest:
            _run_ours(rest[rest.index("scan-lightning") + 1 :], monkeypatch)


def _run_ours(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = [word for word in words if word.startswith(("hydra/launcher", "hydra.launcher"))]
    commands = [shrunk(words)]
    if launcher:  # its keys exist
        commands.append(["train", "--cfg", "hydra", *launcher])
    for command in commands:
        monkeypatch.setattr(sys, "argv", ["scan-lightning", *command])
        assert cli.main(command) == 0, " ".join(["scan-lightning", *words])


def shrunk(words: list[str]) -> list[str]:
    """The same command for the CPU and of a moment."""
    if words[0] not in ("train", "evaluate", "ensemble"):
        return words
    kept = [re.sub(r"^trainer=.*", "trainer=cpu", word) for word in words if not ELSEWHERE.match(word)]
    if words[0] == "train":
        kept += TINY
        kept += [fewer for word in words for fewer in FEWER.get(word, ())]
    return kept
