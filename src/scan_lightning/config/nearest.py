"""What a mistyped key or option was probably meant to be."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

# What the released code calls the same settings.
RELEASED_NAMES = {
    "lambda": "attention.smoothing",
    "lambda_softmax": "attention.smoothing",
    "lambda_1": "attention.smoothing",
    "lambda_lse": "attention.lse_scale",
    "lambda_2": "attention.lse_scale",
    "cross_attn": "attention.direction",
    "raw_feature_norm": "attention.raw_norm",
    "agg_func": "attention.aggregation",
    "bi_gru": "model.bidirectional",
    "no_imgnorm": "model.normalize_regions",
    "no_txtnorm": "model.normalize_words",
    "word_dim": "model.word_size",
    "max_violation": "loss.negatives",
    "learning_rate": "optimizer.lr",
    "lr_update": "scheduler.decay_epoch",
    "grad_clip": "trainer.gradient_clip_val",
    "num_epochs": "trainer.max_epochs",
    "epochs": "trainer.max_epochs",
}
# Keys of earlier versions.
MOVED = {
    "optimizer.decay_epoch": "scheduler.decay_epoch",
    "optimizer.decay_factor": "scheduler.decay_factor",
    "optimizer.clip_norm": "trainer.gradient_clip_val",
    "trainer.nodes": "trainer.num_nodes",
    "loss.large_batch": "loss.micro_batches",
    "attention.rule": "attention=t2i_summax",
    "logger.kind": "logger=csv|wandb|tensorboard",
    "logger.panel_every_epochs": "callbacks.panels.every_epochs",
    **{f"logger.{name}": f"logger.wandb.{name}" for name in ("project", "entity", "name", "group", "tags")},
    "logger.log_checkpoints": "logger.wandb.log_checkpoints",
}


def nearest_option(name: str, options: Sequence[str]) -> str:
    """`did you mean X?`, or nothing when no option is near."""
    close = get_close_matches(name, options, n=1)
    return f"did you mean {close[0]}?" if close else ""


def nearest_key(key: str, known: Sequence[str]) -> str:
    """`did you mean X?` for a dotted key, or the keys of its section, or where to look.

    The section is believed first (`attention.smothing`); then the last part is looked for everywhere, also
    under the released code's names (`data.smoothing`, `lambda_softmax`); then the complete key.
    """
    if key in MOVED:
        return f"it is {MOVED[key]} now"
    section, last = _split(key)
    if RELEASED_NAMES.get(last) in known:
        return f"did you mean {RELEASED_NAMES[last]}?"
    siblings = {_split(name)[1]: name for name in known if section and _split(name)[0] == section}
    anywhere = {_split(name)[1]: name for name in reversed(known)}
    anywhere.update({name: target for name, target in RELEASED_NAMES.items() if target in known})
    for names, cutoff in ((siblings, 0.7), (anywhere, 0.85)):
        close = get_close_matches(last, list(names), n=1, cutoff=cutoff)
        if close:
            return f"did you mean {names[close[0]]}?"
    if 0 < len(siblings) <= 12:
        return f"{section} takes {', '.join(siblings)}"
    close = get_close_matches(key, known, n=1, cutoff=0.85)
    return f"did you mean {close[0]}?" if close else "--help lists the keys"


def _split(key: str) -> tuple[str, str]:
    section, _, last = key.rpartition(".")
    return section, last
