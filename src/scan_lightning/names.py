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
    "lr_update": "optimizer.decay_epoch",
    "grad_clip": "optimizer.clip_norm",
    "num_epochs": "trainer.max_epochs",
}


def nearest_option(name: str, options: Sequence[str]) -> str:
    """`did you mean X?`, or nothing when no option is near."""
    close = get_close_matches(name, options, n=1)
    return f"did you mean {close[0]}?" if close else ""


def nearest_key(key: str, known: Sequence[str]) -> str:
    """`did you mean X?` for a dotted key, or the keys of its section, or where to look.

    The section is believed first (`attention.smothing`); then the last part is looked for everywhere, also
    under the released code's names (`data.smoothing`, `lambda_softmax`); then the whole key.
    """
    section, last = _split(key)
    siblings = {_split(name)[1]: name for name in known if section and _split(name)[0] == section}
    anywhere = {_split(name)[1]: name for name in reversed(known)}
    anywhere.update({name: target for name, target in RELEASED_NAMES.items() if target in known})
    for names, cutoff in ((siblings, 0.6), (anywhere, 0.7)):
        close = get_close_matches(last, list(names), n=1, cutoff=cutoff)
        if close:
            return f"did you mean {names[close[0]]}?"
    if siblings:
        return f"{section} takes {', '.join(siblings)}"
    return nearest_option(key, known) or "--help lists the keys"


def _split(key: str) -> tuple[str, str]:
    section, _, last = key.rpartition(".")
    return section, last
