"""`scan-lightning train --help`: groups with their options, keys with default and meaning, examples."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from omegaconf import OmegaConf

from scan_lightning.conf_dir import conf_dir
from scan_lightning.launch.command import OPTIONS, Command, Request
from scan_lightning.launch.plan import unchecked
from scan_lightning.settings import MISSING
from scan_lightning.validate import allowed, field_of, leaf_keys

WIDTH = 100
EXAMPLES = {
    "train": """examples:
  scan-lightning train data.path=flickr30k.h5 attention=i2t_lse trainer=gpu
  scan-lightning train experiment=flickr8k_t2i_mean data.path=flickr8k.h5 run_dir=outputs/first
  scan-lightning train resume=auto run_dir=outputs/first experiment=flickr8k_t2i_mean data.path=flickr8k.h5
  scan-lightning train -m data.path=flickr8k.h5 attention=t2i_mean,i2t_mean attention.smoothing=4,9
""",
    "evaluate": """examples:
  scan-lightning evaluate checkpoint=outputs/first/checkpoints/best.ckpt data.path=flickr8k.h5 split=test
  scan-lightning evaluate checkpoint=coco/checkpoints/best.ckpt data.path=coco.h5 folds=5
""",
    "ensemble": """examples:
  scan-lightning ensemble checkpoints=[A/checkpoints/best.ckpt,B/checkpoints/best.ckpt] data.path=flickr8k.h5
  scan-lightning ensemble checkpoints=[A.ckpt,B.ckpt,C.ckpt] weights=[2,1,1] data.path=coco.h5 folds=5
""",
}
PURPOSE = {
    "train": "Train a model and evaluate its best epoch on validation; with -m, a run for each value.",
    "evaluate": "Recall of a trained model on a split: R@1, R@5, R@10, median and mean rank, both ways.",
    "ensemble": "Recall of several models on a split, by the average of their similarities.",
}


def help_text(command: Command, request: Request) -> str:
    """The page, ready to print."""
    lines = [
        f"usage: scan-lightning {command.name} [-m] [GROUP=OPTION ...] [KEY=VALUE ...]",
        "",
        PURPOSE[command.name],
        "",
        "groups (* the default):",
        *_groups(command, request),
        "",
        "keys, with their defaults, what they take and what they mean:",
        *_keys(command, request),
        "",
        "options:",
        *OPTIONS,
        "",
        EXAMPLES[command.name],
    ]
    return "\n".join(lines)


def _groups(command: Command, request: Request) -> list[str]:
    entries = OmegaConf.load(conf_dir() / f"{command.config_name}.yaml").defaults
    chosen = {key: value for entry in entries if not isinstance(entry, str) for key, value in entry.items()}
    lines = []
    for group, options in request.groups(command).items():
        marked = " ".join(f"*{option}" if option == chosen.get(group) else option for option in options)
        lines += textwrap.wrap(
            marked, WIDTH, initial_indent=f"  {group:<11}", subsequent_indent=" " * 13, break_on_hyphens=False
        )
    return lines


def _keys(command: Command, request: Request) -> list[str]:
    lines: list[str] = []
    values = OmegaConf.to_container(unchecked(command, request), resolve=False)
    owner = command.schema
    for key in leaf_keys(command.schema):
        before, (owner, field) = owner, field_of(command.schema, key)
        if owner is not before:
            lines.append("")
        if owner not in (before, command.schema):
            lines.append(f"  # {summary(owner)}")
        value = values
        for name in key.split("."):
            value = value[name]  # type: ignore[call-overload, index]
        shown = "(required)" if value == MISSING else "null" if value is None else str(value)
        if isinstance(value, bool):
            shown = shown.lower()
        lines.append(f"  {key:<31} {shown:<14} {allowed(command.schema, key)}")
        lines.append(f"      {meanings(owner)[field.name]}")
    return lines


def summary(schema: type[Any]) -> str:
    """What a group of settings is: the first line of its documentation."""
    return inspect.cleandoc(schema.__doc__ or "").partition("\n")[0]


def meanings(schema: type[Any]) -> dict[str, str]:
    """What each key of a group means: the lines under `Attributes:` of its documentation."""
    _, _, text = inspect.cleandoc(schema.__doc__ or "").partition("\nAttributes:\n")
    lines = [line.strip().partition(": ") for line in text.splitlines()]
    return {name: meaning for name, _, meaning in lines if meaning}
