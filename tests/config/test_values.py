"""Values against signatures: every fault of nested values at once, and typed values when there is none."""

import copy
import math
from typing import Any

import pytest
import yaml

from scan_lightning.config.compose import compose_config
from scan_lightning.config.conf_dir import conf_dir
from scan_lightning.config.nodes import known_keys, locate, node_options, nodes
from scan_lightning.config.problems import Problem, report
from scan_lightning.config.schema import EnsembleConfig, EvaluateConfig, TrainConfig, plain
from scan_lightning.config.validate import checked
from scan_lightning.errors import ScanError
from scan_lightning.flatten import flatten
from scan_lightning.options import Option, describe, options_of

GIVEN = ["data.path=a.h5", "run_dir=out"]
TRAIN: dict[str, Any] = plain(compose_config(TrainConfig, "config", GIVEN))
EVALUATION: dict[str, Any] = plain(compose_config(EvaluateConfig, "evaluate", [*GIVEN, "checkpoint=a.ckpt"]))


def with_value(key: str, value: Any, base: dict[str, Any] = TRAIN) -> dict[str, Any]:
    values = copy.deepcopy(base)
    *sections, name = key.split(".")
    inner = values
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[name] = value
    return values


def faults_of(schema: type[Any], values: dict[str, Any]) -> list[Problem]:
    config, faults = checked(schema, values)
    assert (config is None) == bool(faults)
    return faults


def build(values: dict[str, Any], schema: type[Any] = TrainConfig) -> Any:
    config, faults = checked(schema, values)
    assert not faults, faults
    return config


def all_options() -> dict[str, Option]:
    """Every key that `conf/` has a value for."""
    options: dict[str, Option] = {}
    for name, option in options_of(TrainConfig).items():
        options[name] = option
    for key, node in nodes(TrainConfig, TRAIN):
        found = node_options(key, node)
        options.update({f"{key}.{name}": found[name] for name in node if name in found})
    return options


def test_plain_and_checked_are_inverse_and_survive_yaml() -> None:
    words = [*GIVEN, "attention.aggregation=lse", "logger=[wandb,tensorboard]", "logger.wandb.tags=[a,b]"]
    config = compose_config(TrainConfig, "config", words)
    assert build(yaml.safe_load(yaml.safe_dump(plain(config)))) == config


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
        ("loss.micro_batches", 0),
        ("optimizer.lr", "fast"),
        ("optimizer.amsgrad", "maybe"),
        ("optimizer.groups", 3),
        ("scheduler.decay_factor", 1.5),
        ("scheduler.decay_factor", 0),
        ("scheduler.interval", "year"),
        ("scheduler.frequency", 0),
        ("trainer.precision", "fp16"),
        ("trainer", 3),
        ("scheduler", 3),
        ("callbacks.ema", 3),
        ("checkpointing.keep", 0),
        ("threads", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("resume", False),
        ("test_after", 1),
        ("trust", "my_heads"),
    ],
)
def test_a_wrong_value_is_one_fault_that_names_key_and_value(key: str, value: Any) -> None:
    (fault,) = faults_of(TrainConfig, with_value(key, value))
    assert fault.key == key
    found = "null" if value is None else repr(value)
    assert found in fault.found
    assert "expected" in fault.remedy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("val_check_interval", 1.5),
        ("val_check_interval", "often"),
        ("limit_val_batches", 1.5),
        ("limit_train_batches", -3),
        ("overfit_batches", -0.5),
        ("gradient_clip_algorithm", "bogus"),
    ],
)
def test_a_value_that_only_lightning_refuses_is_refused_before_data_is_read(name: str, value: Any) -> None:
    (fault,) = faults_of(TrainConfig, with_value(f"trainer.{name}", value))
    assert fault.key == f"trainer.{name}"
    assert str(value) in fault.found


def number_keys() -> list[str]:
    words = ("a number", "an integer")
    return [key for key, option in all_options().items() if describe(option.hint).startswith(words)]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_no_number_may_be_infinite_or_nan(value: float) -> None:
    assert len(number_keys()) > 15
    for key in number_keys():
        fault, *others = faults_of(TrainConfig, with_value(key, value))
        assert not others
        assert str(fault).startswith(f"{key}: found {value!r}, which is not finite; expected a")
    values = {**EVALUATION, "checkpoints": ["a.ckpt"], "weights": [1.0, value]}
    del values["checkpoint"]
    (fault,) = faults_of(EnsembleConfig, values)
    assert str(fault).startswith(f"weights: found [1.0, {value!r}]; expected a list, each a number, above 0")


def test_an_integer_too_large_for_a_number_is_a_fault() -> None:
    assert [fault.key for fault in faults_of(TrainConfig, with_value("optimizer.lr", 10**400))] == [
        "optimizer.lr"
    ]


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_string_says_what_to_give(empty: str) -> None:
    values = {**EVALUATION, "data": {"path": empty}, "checkpoint": empty, "run_dir": empty}
    assert [str(fault) for fault in faults_of(EvaluateConfig, values)] == [
        f"checkpoint: found {empty!r}, which is empty; expected a string; give checkpoint=FILE.ckpt, for "
        "example a run's checkpoints/best.ckpt",
        f"data.path: found {empty!r}, which is empty; expected a string; give data.path=FILE.h5, a store "
        "made by `scan-lightning data build`",
        f"run_dir: found {empty!r}, which is empty; expected a string; give run_dir=DIR, "
        "the folder of the run",
    ]
    base = plain(compose_config(TrainConfig, "config", [*GIVEN, "logger=wandb"]))
    (fault,) = faults_of(TrainConfig, with_value("logger.wandb.name", empty, base))
    assert str(fault) == f"logger.wandb.name: found {empty!r}, which is empty; expected a string or null"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("attention.smoothing", 4, 4.0),
        ("trainer.devices", -1, -1),
        ("trainer.max_steps", -1, -1),
        ("loss.margin", 0, 0.0),
        ("seed", 2**32 - 1, 2**32 - 1),
        ("resume", "auto", "auto"),
        ("scheduler.decay_factor", 1, 1.0),
        ("scheduler.monitor", "val/rsum", "val/rsum"),
        ("optimizer.lr", 1, 1.0),
        ("trainer.val_check_interval", 0.5, 0.5),
        ("callbacks.ema", None, None),
    ],
)
def test_values_at_the_edge_are_taken(key: str, value: Any, expected: Any) -> None:
    inner: Any = plain(build(with_value(key, value)))
    for name in key.split("."):
        inner = inner[name]
    assert inner == expected
    assert type(inner) is type(expected)


def test_a_number_is_a_string_where_one_is_wanted() -> None:
    base = plain(compose_config(TrainConfig, "config", [*GIVEN, "logger=wandb", "logger.wandb.name=2024"]))
    assert base["logger"]["wandb"]["name"] == "2024"


def test_all_faults_come_in_one_message_each_with_what_to_do() -> None:
    values = copy.deepcopy(TRAIN)
    del values["run_dir"], values["data"]["path"]
    values["data"]["batchsize"] = 3
    values["atention"] = {}
    values["attention"] |= {"smothing": 1, "direction": "i2tt"}
    values["trainer"]["epochs"] = 3
    values["optimizer"]["_target_"] = "torch.optim.Admw"
    message = str(report(faults_of(TrainConfig, values)))
    assert "the configuration has 8 errors" in message
    for expected in (
        "data.batchsize: there is no such key; did you mean data.batch_size?",
        "data.path: missing; give data.path=FILE.h5",
        "atention: there is no such key; did you mean attention?",
        "attention.smothing: there is no such key; did you mean attention.smoothing?",
        "attention.direction: found 'i2tt'; expected one of t2i, i2t; did you mean i2t?",
        "trainer.epochs: there is no such key; did you mean trainer.max_epochs?",
        "optimizer._target_: torch.optim.Admw cannot be imported",
        "did you mean torch.optim.Adam",
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
    (fault,) = faults_of(TrainConfig, with_value(key, 1))
    assert f"did you mean {target}?" in str(fault)


@pytest.mark.parametrize(
    ("key", "now"),
    [
        ("optimizer.decay_epoch", "scheduler.decay_epoch"),
        ("optimizer.decay_factor", "scheduler.decay_factor"),
        ("optimizer.clip_norm", "trainer.gradient_clip_val"),
        ("trainer.nodes", "trainer.num_nodes"),
        ("loss.large_batch", "loss.micro_batches"),
        ("attention.rule", "attention=t2i_summax"),
        ("logger.kind", "logger=csv|wandb|tensorboard"),
        ("logger.project", "logger.wandb.project"),
        ("logger.panel_every_epochs", "callbacks.panels.every_epochs"),
    ],
)
def test_a_key_of_an_earlier_version_leads_to_the_one_of_now(key: str, now: str) -> None:
    (fault,) = faults_of(TrainConfig, with_value(key, 1))
    assert str(fault) == f"{key}: there is no such key; it is {now} now"


@pytest.mark.parametrize(("key", "now"), [("bf16", "bf16-mixed"), ("fp32", "32-true"), ("fp16", "16-mixed")])
def test_a_precision_of_an_earlier_version_leads_to_lightnings_word(key: str, now: str) -> None:
    if key == "bf16":
        build(with_value("trainer.precision", key))  # Lightning takes it too
    else:
        (fault,) = faults_of(TrainConfig, with_value("trainer.precision", key))
        assert now in fault.remedy


def test_a_value_of_an_earlier_version_lists_those_of_now() -> None:
    (fault,) = faults_of(TrainConfig, with_value("loss.negatives_scope", "whole_batch"))
    assert fault.remedy == "expected one of global, local"


@pytest.mark.parametrize("key", ["trainer.limit_train_batchez", "limit_train_batchez"])
def test_a_key_of_lightnings_trainer_is_found(key: str) -> None:
    (fault,) = faults_of(TrainConfig, with_value(key, 1))
    assert fault.remedy == "did you mean trainer.limit_train_batches?"


@pytest.mark.parametrize("key", ["model.pretrained", "loss.temperature", "optimizer.nesterov"])
def test_a_key_like_nothing_gets_no_far_fetched_hint(key: str) -> None:
    (fault,) = faults_of(TrainConfig, with_value(key, 1))
    assert "did you mean" not in fault.remedy


def test_a_key_like_nothing_lists_its_section() -> None:
    (fault,) = faults_of(TrainConfig, with_value("checkpointing.zzz", 1))
    assert "checkpointing takes every_steps, keep" in str(fault)


def test_evaluation_names_its_own_required_values() -> None:
    values = {name: value for name, value in EVALUATION.items() if name != "checkpoint"}
    (fault,) = faults_of(EvaluateConfig, values)
    assert str(fault).startswith("checkpoint: missing; give checkpoint=FILE.ckpt")
    assert build({**EVALUATION, "split": "val"}, EvaluateConfig).split == "val"


def test_a_composed_config_raises_all_its_faults() -> None:
    with pytest.raises(ScanError, match=r"2 errors\n  threads: found 0.*\n  loss\.margin: found -1"):
        compose_config(TrainConfig, "config", [*GIVEN, "threads=0", "loss.margin=-1"])


def test_every_key_says_what_it_takes() -> None:
    texts = {key: describe(option.hint) for key, option in all_options().items()}
    assert texts["attention.direction"] == "one of t2i, i2t"
    assert texts["attention.smoothing"] == "a number, above 0"
    assert texts["data.batch_size"] == "an integer, at least 1"
    assert texts["resume"] == "a string or null"


def test_the_yaml_files_hold_the_defaults_of_the_classes_they_name() -> None:
    """A value stands in `conf/` where a reader looks it up; where it is the class's own too, both agree."""
    files = {
        "data": "data/store",
        "attention": "attention/t2i_mean",
        "loss": "loss/triplet",
        "scheduler": "scheduler/step",
    }
    for section, file in files.items():
        values = yaml.safe_load((conf_dir() / f"{file}.yaml").read_text())
        options = options_of(locate(values["_target_"]))
        for name, value in values.items():
            chosen = section == "attention" and name in ("direction", "aggregation")
            if not name.startswith("_") and name not in ("path", "seed") and not chosen:
                assert options[name].default == value, f"{file}: {name}"
    primary = yaml.safe_load((conf_dir() / "config.yaml").read_text())
    top = set(options_of(TrainConfig)) - {key.split(".")[0] for key in flatten(TRAIN) if "." in key}
    assert top | {"checkpointing", "callbacks", "logger", "defaults", "hydra"} == set(primary)
    for name in top - {"run_dir"}:
        if name not in ("callbacks", "logger", "trust"):
            assert primary[name] == options_of(TrainConfig)[name].default


def test_every_key_of_every_signature_is_known() -> None:
    known = known_keys(TrainConfig, TRAIN)
    assert {"trainer.val_check_interval", "optimizer.amsgrad", "optimizer.groups"} <= set(known)
    assert not {"trainer.callbacks", "optimizer.params", "model.vocabulary"} & set(known)
