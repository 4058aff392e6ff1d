"""The hash names what a run computes, and nothing else."""

import copy
from typing import Any

import pytest

from scan_lightning.config.compose import compose_config
from scan_lightning.config.run_hash import config_hash
from scan_lightning.config.schema import TrainConfig, plain
from scan_lightning.flatten import flatten

WITHOUT_EFFECT = {
    "data.workers": 3,
    "data.cache": "device",
    "trainer.accelerator": "cpu",
    "trainer.strategy": "ddp",
    "trainer.devices": 4,
    "trainer.num_nodes": 2,
    "checkpointing.every_steps": 5,
    "checkpointing.keep": 2,
    "run_dir": "elsewhere",
    "resume": "auto",
    "threads": 2,
    "test_after": True,
    "trust": ["my_heads"],
    "data.path": "/another/folder/a.h5",
}
OTHER_VALUES = {
    "data._target_": "my_data.Data",
    "attention.direction": "i2t",
    "attention.raw_norm": "softmax",
    "attention.aggregation": "sum",
    "loss.negatives": "all",
    "loss.negatives_scope": "local",
    "trainer.precision": "bf16-mixed",
    "optimizer.groups": {"text_encoder": {"lr": 1e-5}},
    "init_from": "a.ckpt",
}
GIVEN = ["data.path=/data/a.h5", "run_dir=out"]


def composed(*words: str) -> dict[str, Any]:
    return plain(compose_config(TrainConfig, "config", [*GIVEN, *words]))


BASE = composed()
KEYS = [key for key in flatten(BASE) if key not in ("callbacks", "logger")]


def changed(key: str, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(BASE)
    *sections, name = key.split(".")
    inner = values
    for section in sections:
        inner = inner[section]
    inner[name] = value
    return values


@pytest.mark.parametrize("key", WITHOUT_EFFECT)
def test_where_and_how_fast_does_not_count(key: str) -> None:
    assert config_hash(changed(key, WITHOUT_EFFECT[key])) == config_hash(BASE)


def test_another_store_counts() -> None:
    assert config_hash(changed("data.path", "/data/b.h5")) != config_hash(BASE)


@pytest.mark.parametrize("key", [key for key in KEYS if key not in WITHOUT_EFFECT])
def test_everything_else_counts(key: str) -> None:
    value = flatten(BASE)[key]
    number = 7 if isinstance(value, int) else 0.7
    other = not value if isinstance(value, bool) else f"other.{value}" if isinstance(value, str) else number
    assert config_hash(changed(key, OTHER_VALUES.get(key, other))) != config_hash(BASE)


@pytest.mark.parametrize(
    "words",
    [
        ["attention=t2i_summax"],
        ["optimizer=adamw"],
        ["scheduler=cosine"],
        ["scheduler=null"],
        ["callbacks=ema"],
        ["callbacks=early_stopping", "callbacks.early_stopping.patience=1"],
        ["trainer.val_check_interval=0.5"],
        ["trainer.limit_train_batches=3"],
    ],
)
def test_the_nodes_count(words: list[str]) -> None:
    assert config_hash(composed(*words)) != config_hash(BASE)


@pytest.mark.parametrize(
    "words",
    [
        ["logger=[csv,tensorboard]"],
        ["logger=wandb", "logger.wandb.project=p", "logger.wandb.tags=[t]"],
        ["callbacks=[lr_monitor,panels]"],
        ["debug=profiler", "trainer.max_epochs=30", "~trainer.limit_train_batches"],
        ["attention.smoothing=9", "trainer.gradient_clip_val=2", "optimizer.lr=2e-4"],
    ],
)
def test_loggers_and_callbacks_that_only_watch_do_not_count(words: list[str]) -> None:
    assert config_hash(composed(*words)) == config_hash(BASE)


@pytest.mark.parametrize("folder", ["t", "scan", "c", "torch"])
def test_a_folder_named_like_the_beginning_of_a_value(folder: str) -> None:
    assert config_hash(changed("run_dir", folder)) == config_hash(BASE)


def test_a_path_within_the_runs_folder_is_the_same_in_another_folder() -> None:
    words = ["+callbacks.log._target_=lightning.pytorch.callbacks.OnExceptionCheckpoint"]
    words += ["callbacks.log.dirpath=${run_dir}/last"]
    one, other = composed(*words), composed(*words, "run_dir=other")
    assert one["callbacks"]["log"]["dirpath"] == "out/last"
    assert other["callbacks"]["log"]["dirpath"] == "other/last"
    assert config_hash(one) == config_hash(other) != config_hash(BASE)


def test_with_negatives_of_a_process_alone_their_number_counts() -> None:
    def hashed(**trainer: Any) -> str:
        values = changed("loss.negatives_scope", "local")
        values["trainer"].update(trainer)
        return config_hash(values)

    assert len({hashed(), hashed(devices=2), hashed(num_nodes=3)}) == 3
    assert hashed(strategy="ddp") == hashed()


def test_it_is_twelve_hexadecimal_digits_and_stable() -> None:
    assert len(config_hash(BASE)) == 12
    assert int(config_hash(BASE), 16) >= 0
    assert config_hash(changed("seed", 0)) == config_hash(BASE)
