"""The schema walk: every fault of nested values at once, and typed values when there is none."""

import math
from typing import Any

import pytest
import yaml
from scan_lightning.choices import Aggregation, Direction, Split
from scan_lightning.conf_dir import conf_dir
from scan_lightning.validate import allowed, build, faults_of, leaf_keys

from scan_lightning.config import EnsembleConfig, EvaluateConfig, TrainConfig, plain
from scan_lightning.errors import ScanError

GIVEN: dict[str, Any] = {"data": {"path": "a.h5"}, "run_dir": "out"}


def with_value(key: str, value: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"data": {"path": "a.h5"}, "run_dir": "out"}
    *sections, name = key.split(".")
    inner = values
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[name] = value
    return values


def test_absent_keys_take_the_released_recipe() -> None:
    config = build(TrainConfig, GIVEN)
    assert (config.loss.margin, config.optimizer.clip_norm, config.data.batch_size) == (0.2, 2.0, 128)
    assert config.attention.direction is Direction.t2i
    assert isinstance(config.attention.smoothing, float)


def test_plain_and_build_are_inverse_and_survive_yaml() -> None:
    values = with_value("attention.aggregation", "lse")
    values["logger"] = {"tags": ["a", "b"], "name": "x"}
    config = build(TrainConfig, values)
    text = yaml.safe_dump(plain(config))
    assert build(TrainConfig, yaml.safe_load(text)) == config
    assert config.attention.aggregation is Aggregation.lse


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.batch_size", 0),
        ("data.batch_size", 1.5),
        ("data.batch_size", "12"),
        ("data.batch_size", True),
        ("data.workers", -1),
        ("data.path", None),
        ("data.path", ""),
        ("data.path", ["a"]),
        ("attention.smoothing", 0),
        ("attention.smoothing", -1.0),
        ("attention.smoothing", math.nan),
        ("attention.smoothing", math.inf),
        ("attention.smoothing", "four"),
        ("attention.smoothing", True),
        ("attention.smoothing", None),
        ("attention.direction", "t2t"),
        ("attention.direction", 3),
        ("attention.aggregation", "avg"),
        ("model.bidirectional", 1),
        ("model.bidirectional", "yes"),
        ("loss.margin", -0.1),
        ("optimizer.decay_factor", 1.5),
        ("optimizer.decay_factor", 0),
        ("trainer.devices", 0),
        ("trainer.devices", -2),
        ("trainer.max_steps", 0),
        ("trainer.max_epochs", 0),
        ("trainer.precision", "fp16"),
        ("trainer", 3),
        ("logger.tags", "a"),
        ("checkpointing.keep", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("resume", False),
    ],
)
def test_a_wrong_value_is_one_fault_that_names_key_and_value(key: str, value: Any) -> None:
    config, faults = faults_of(TrainConfig, with_value(key, value))
    assert config is None
    assert [fault.key for fault in faults] == [key]
    found = "null" if value is None else repr(value)
    assert found in faults[0].found
    assert "expected" in faults[0].remedy


def number_keys() -> list[str]:
    return [key for key in leaf_keys(TrainConfig) if "number" in allowed(TrainConfig, key)]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_no_number_may_be_infinite_or_nan(value: float) -> None:
    assert len(number_keys()) > 20
    for key in number_keys():
        _, (fault,) = faults_of(TrainConfig, with_value(key, value))
        assert str(fault).startswith(f"{key}: found {value!r}, which is not finite; expected a ")
    _, (fault,) = faults_of(EnsembleConfig, {**GIVEN, "checkpoints": ["a.ckpt"], "weights": [1.0, value]})
    assert str(fault).startswith(f"weights: found [1.0, {value!r}]; expected a list, each a number, above 0")


def test_an_integer_too_large_for_a_number_is_a_fault() -> None:
    _, faults = faults_of(TrainConfig, with_value("optimizer.lr", 10**400))
    assert [fault.key for fault in faults] == ["optimizer.lr"]


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_text_says_what_to_give(empty: str) -> None:
    _, faults = faults_of(EvaluateConfig, {"data": {"path": empty}, "checkpoint": empty, "run_dir": empty})
    assert [str(fault) for fault in faults] == [
        f"checkpoint: found {empty!r}, which is empty; expected a text; give checkpoint=FILE.ckpt, for "
        "example a run's checkpoints/best.ckpt",
        f"data.path: found {empty!r}, which is empty; expected a text; give data.path=FILE.h5, a store made "
        "by `scan-lightning data build`",
        f"run_dir: found {empty!r}, which is empty; expected a text; give run_dir=DIR, the folder of the run",
    ]
    _, faults = faults_of(TrainConfig, with_value("logger.name", empty))
    assert [str(fault) for fault in faults] == [
        f"logger.name: found {empty!r}, which is empty; expected a text or null"
    ]
    _, faults = faults_of(TrainConfig, with_value("logger.tags", ["a", empty]))
    assert "expected a list of texts" in str(faults[0])


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("attention.smoothing", 4, 4.0),
        ("trainer.devices", -1, -1),
        ("trainer.max_steps", -1, -1),
        ("loss.margin", 0, 0.0),
        ("seed", 2**32 - 1, 2**32 - 1),
        ("logger.name", 2024, "2024"),
        ("resume", "auto", "auto"),
        ("optimizer.decay_factor", 1, 1.0),
    ],
)
def test_values_at_the_edge_are_taken(key: str, value: Any, expected: Any) -> None:
    inner: Any = plain(build(TrainConfig, with_value(key, value)))
    for name in key.split("."):
        inner = inner[name]
    assert inner == expected
    assert type(inner) is type(expected)


def test_all_faults_come_in_one_message_each_with_what_to_do() -> None:
    values = {
        "data": {"batchsize": 3},
        "atention": {},
        "attention": {"smothing": 1, "direction": "i2tt"},
        "trainer": {"epochs": 3},
    }
    with pytest.raises(ScanError) as raised:
        build(TrainConfig, values)
    message = str(raised.value)
    assert "7 faults" in message
    for expected in (
        "data.batchsize: there is no such key; did you mean data.batch_size?",
        "data.path: missing; give data.path=FILE.h5",
        "atention: there is no such key; did you mean attention?",
        "attention.smothing: there is no such key; did you mean attention.smoothing?",
        "attention.direction: found 'i2tt'; expected one of t2i, i2t; did you mean i2t?",
        "trainer.epochs: there is no such key; did you mean trainer.max_epochs?",
        "run_dir: missing",
    ):
        assert expected in message


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("lambda", "attention.smoothing"),
        ("attention.lamda_softmax", "attention.smoothing"),
        ("lambda_lse", "attention.lse_scale"),
        ("attention.raw_feature_norm", "attention.raw_norm"),
        ("learning_rate", "optimizer.lr"),
        ("max_violation", "loss.negatives"),
        ("margin", "loss.margin"),
    ],
)
def test_names_of_the_released_code_and_bare_names_lead_to_ours(key: str, target: str) -> None:
    _, faults = faults_of(TrainConfig, with_value(key, 1))
    assert f"did you mean {target}?" in str(faults[0])


def test_a_key_like_nothing_lists_its_section() -> None:
    _, faults = faults_of(TrainConfig, with_value("checkpointing.zzz", 1))
    assert "checkpointing takes every_steps, keep" in str(faults[0])


def test_evaluation_names_its_own_required_values() -> None:
    with pytest.raises(ScanError, match=r"checkpoint: missing; give checkpoint=FILE\.ckpt"):
        build(EvaluateConfig, GIVEN)
    config = build(EvaluateConfig, {**GIVEN, "checkpoint": "a.ckpt", "split": "val"})
    assert config.split is Split.val


def test_every_key_says_what_it_takes() -> None:
    texts = {key: allowed(TrainConfig, key) for key in leaf_keys(TrainConfig)}
    assert texts["attention.direction"] == "one of t2i, i2t"
    assert texts["attention.smoothing"] == "a number, above 0"
    assert texts["trainer.devices"] == "a whole number, at least 1, or -1: all there are"
    assert texts["resume"] == "a text or null"


def test_the_yaml_files_hold_every_key_of_the_schema_with_its_default() -> None:
    """`conf/` is where a reader looks a value up: what it says is what the dataclasses say."""
    sections = {
        "data": "data/store",
        "attention": "attention/t2i_mean",
        "model": "model/scan",
        "loss": "loss/triplet",
        "optimizer": "optimizer/adam",
        "trainer": "trainer/auto",
        "logger": "logger/csv",
    }
    defaults = plain(TrainConfig())
    for section, file in sections.items():
        assert yaml.safe_load((conf_dir() / f"{file}.yaml").read_text()) == defaults[section]
    primary = yaml.safe_load((conf_dir() / "config.yaml").read_text())
    for key in ("checkpointing", "seed", "resume"):
        assert primary[key] == defaults[key]
    assert set(primary) == {"defaults", "hydra", "checkpointing", "seed", "resume", "run_dir"}
