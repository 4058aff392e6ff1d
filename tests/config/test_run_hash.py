"""The hash names what a run computes, and nothing else."""

from typing import Any

import pytest
from scan_lightning.run_hash import config_hash
from scan_lightning.validate import build, leaf_keys

from scan_lightning.config import TrainConfig, plain

WITHOUT_EFFECT = {
    "data.workers": 3,
    "data.cache": "device",
    "trainer.accelerator": "cpu",
    "trainer.strategy": "ddp",
    "trainer.devices": 4,
    "trainer.nodes": 2,
    "logger.kind": "wandb",
    "logger.project": "p",
    "logger.entity": "e",
    "logger.name": "n",
    "logger.group": "g",
    "logger.tags": ["t"],
    "checkpointing.every_steps": 5,
    "checkpointing.keep": 2,
    "run_dir": "elsewhere",
    "resume": "auto",
    "data.path": "/another/folder/a.h5",
}
OTHER_VALUES = {
    "data.path": "/data/b.h5",
    "attention.rule": "summax",
    "attention.direction": "i2t",
    "attention.raw_norm": "softmax",
    "attention.aggregation": "sum",
    "loss.negatives": "all",
    "loss.negatives_scope": "local",
    "trainer.precision": "bf16",
}


def changed(key: str, value: Any) -> TrainConfig:
    values = plain(build(TrainConfig, {"data": {"path": "/data/a.h5"}, "run_dir": "out"}))
    *sections, name = key.split(".")
    inner = values
    for section in sections:
        inner = inner[section]
    inner[name] = value
    return build(TrainConfig, values)


BASE = config_hash(changed("seed", 0))


@pytest.mark.parametrize("key", WITHOUT_EFFECT)
def test_where_and_how_fast_does_not_count(key: str) -> None:
    assert config_hash(changed(key, WITHOUT_EFFECT[key])) == BASE


@pytest.mark.parametrize(
    "key",
    [
        key
        for key in leaf_keys(TrainConfig)
        if key in OTHER_VALUES or (key not in WITHOUT_EFFECT and not key.startswith("logger."))
    ],
)
def test_everything_else_counts(key: str) -> None:
    values = plain(changed("seed", 0))
    for name in key.split("."):
        values = values[name]
    value: Any = values
    other = OTHER_VALUES.get(
        key, not value if isinstance(value, bool) else 7 if isinstance(value, int) else 0.7
    )
    assert config_hash(changed(key, other)) != BASE


def test_with_negatives_of_a_process_alone_their_number_counts() -> None:
    def hashed(**trainer: Any) -> str:
        values = plain(changed("loss.negatives_scope", "local"))
        values["trainer"].update(trainer)
        return config_hash(build(TrainConfig, values))

    assert len({hashed(), hashed(devices=2), hashed(nodes=3)}) == 3
    assert hashed(strategy="ddp") == hashed()


def test_it_is_twelve_hexadecimal_digits_and_stable() -> None:
    assert len(BASE) == 12
    assert int(BASE, 16) >= 0
    assert config_hash(changed("seed", 0)) == BASE
