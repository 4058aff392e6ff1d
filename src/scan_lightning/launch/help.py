"""`scan-lightning train --help`: the groups with their options, the keys with their defaults, an example."""

from __future__ import annotations

import textwrap

from omegaconf import OmegaConf

from scan_lightning.conf_dir import conf_dir
from scan_lightning.config import MISSING
from scan_lightning.launch.command import Command, Request
from scan_lightning.launch.plan import unchecked
from scan_lightning.validate import allowed, leaf_keys

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
        "keys, their defaults and what they take:",
        *_keys(command, request),
        "",
        "options:",
        "  -m, --multirun         a sweep: KEY=A,B runs a job for each value and ends with a table",
        "  -cd, --config-dir DIR  find more options in DIR, such as DIR/experiment/mine.yaml",
        "  --cfg job              print the configuration and stop",
        "  --debug                show the traceback of a user's fault too",
        "  --quiet                show results, warnings and errors, no progress",
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
    lines = []
    values = OmegaConf.to_container(unchecked(command, request), resolve=False)
    for key in leaf_keys(command.schema):
        value = values
        for name in key.split("."):
            value = value[name]  # type: ignore[call-overload, index]
        shown = "(required)" if value == MISSING else "null" if value is None else str(value)
        if isinstance(value, bool):
            shown = shown.lower()
        lines.append(f"  {key:<25} {shown:<14} {allowed(command.schema, key)}")
    return lines
