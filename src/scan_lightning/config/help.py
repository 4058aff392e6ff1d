"""`scan-lightning train --help`: groups with their options, keys with default and meaning, examples."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from typing import Any

from omegaconf import OmegaConf

from scan_lightning.config.checks import EVALUATION_TRAINER
from scan_lightning.config.command import OPTIONS, Command, Request
from scan_lightning.config.compose import unchecked
from scan_lightning.config.conf_dir import conf_dir
from scan_lightning.config.nodes import EXTRAS, HYDRA_KEYS, MISSING, NAMED, given, locate
from scan_lightning.config.schema import TrainConfig
from scan_lightning.options import Option, describe, options_of

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
# Of Lightning's and torch's classes, whose documentation has no line for each.
MEANINGS = {
    "optimizer.lr": "the learning rate",
    "optimizer.weight_decay": "by how much each step shrinks the weights, times the learning rate",
    "optimizer.groups": "own arguments for parts, by how parameter names begin: {text_encoder: {lr: 1e-5}}",
    "trainer.accelerator": "cpu, gpu or mps; auto: a GPU where there is one",
    "trainer.strategy": "how several processes work together, such as ddp; auto: Lightning's choice",
    "trainer.devices": "processes, one a device; -1: every GPU of the machine",
    "trainer.num_nodes": "machines of the run",
    "trainer.precision": "of encoders and products; all else is fp32",
    "trainer.max_epochs": "passes over the training pairs; -1: no limit",
    "trainer.max_steps": "optimizer steps; -1: no limit",
    "trainer.gradient_clip_val": "the norm that gradients are clipped to",
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
    for group, options in request.groups().items():
        marked = " ".join(f"*{option}" if option == chosen.get(group) else option for option in options)
        lines += textwrap.wrap(
            marked, WIDTH, initial_indent=f"  {group:<13}", subsequent_indent=" " * 15, break_on_hyphens=False
        )
    return lines


def _keys(command: Command, request: Request) -> list[str]:
    values = OmegaConf.to_container(unchecked(request), resolve=False)
    assert isinstance(values, dict)
    lines: list[str] = []
    for name, option in options_of(command.schema).items():
        value = values.get(name, option.default)
        if name in NAMED:
            for inner, node in value.items():
                lines += ["", *_section(command, f"{name}.{inner}", node, option)]
        elif isinstance(value, dict):
            lines += ["", *_section(command, name, value, option)]
        else:
            lines += _entry(name, value, option)
    return lines


def _section(command: Command, name: str, values: dict[str, Any], option: Option) -> list[str]:
    """A section's keys: those of its YAML, and how many more its class takes."""
    target = locate(values["_target_"]) if "_target_" in values else option.hint
    options = {key: value for key, value in options_of(target).items() if key not in given(name)}
    shown = [key for key in values if key not in HYDRA_KEYS]
    if name == "trainer" and command.schema is not TrainConfig:
        shown = [key for key in shown if key in EVALUATION_TRAINER]
    ours = target.__module__.startswith("scan_lightning")
    if ours and not dataclasses.is_dataclass(target):
        shown = list(dict.fromkeys([*shown, *options]))
    title = summary(target) if ours else f"{target.__module__.partition('.')[0]}'s {target.__name__}"
    lines = [f"  # {title}"]
    for key in shown:
        found = options.get(key, Option(key, EXTRAS.get(name, {}).get(key, Any), None, ""))
        lines += _entry(f"{name}.{key}", values.get(key, found.default), found)
    more = [key for key in options if key not in shown]
    if more and not ours and command.schema is TrainConfig:
        names = textwrap.wrap(f"and of {target.__name__}: {', '.join(more)}", WIDTH - 4)
        lines += [f"  {line}" for line in names]
    return lines


def _entry(key: str, value: Any, option: Option) -> list[str]:
    if dataclasses.is_dataclass(option.hint):
        value = {}
    shown = "(required)" if value is MISSING or value == MISSING else "null" if value is None else str(value)
    shown = "(required)" if value is inspect.Parameter.empty else shown
    if isinstance(value, bool):
        shown = shown.lower()
    lines = [f"  {key:<31} {shown:<14} {describe(option.hint)}".rstrip()]
    meaning = MEANINGS.get(key, option.meaning)
    return [*lines, f"      {meaning}"] if meaning else lines


def summary(target: Any) -> str:
    """What a class is: the first line of its documentation."""
    return inspect.cleandoc(target.__doc__ or "").partition("\n")[0]
