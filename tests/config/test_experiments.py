"""Every recipe on disk: listed by name, composed, checked, and holding the paper's values."""

import re
from pathlib import Path
from typing import Any

import pytest

from scan_lightning.commands.train import command
from scan_lightning.config.command import read_request
from scan_lightning.config.compose import compose_config
from scan_lightning.config.conf_dir import conf_dir, group_options
from scan_lightning.config.nearest import MOVED, RELEASED_NAMES
from scan_lightning.config.nodes import known_keys
from scan_lightning.config.plan import make_plan
from scan_lightning.config.schema import TrainConfig, plain

ROWS = ["t2i_lse", "t2i_mean", "i2t_lse", "i2t_mean"]
ABLATIONS = [
    "no_hard_negatives",
    "image_not_normalized",
    "i2t_sum",
    "i2t_max",
    "one_directional_gru",
    "t2i_summax",
    "i2t_summax",
]
FLICKR8K = [*ROWS, "no_hard_negatives", "t2i_summax", "i2t_summax"]
EXPERIMENTS = [
    *(f"flickr30k_{row}" for row in ROWS + ABLATIONS),
    *(f"coco_{row}" for row in ROWS),
    *(f"flickr8k_{row}" for row in FLICKR8K),
]


def composed(name: str, *overrides: str) -> TrainConfig:
    words = [f"experiment={name}", "data.path=a.h5", "run_dir=run", *overrides]
    config: TrainConfig = compose_config(TrainConfig, "config", words)
    return config


def test_the_list_is_complete() -> None:
    assert group_options("experiment") == sorted([*EXPERIMENTS, "demo_scenes"])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_composes_and_opens_with_row_expectation_command_hardware(name: str, tmp_path: Path) -> None:
    store = tmp_path / "a.h5"
    store.touch()
    words = [f"experiment={name}", f"data.path={store}", f"run_dir={tmp_path / 'run'}"]
    assert make_plan(command(), read_request(command(), words)).folder == tmp_path / "run"
    text = (conf_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    head = [line for line in text.splitlines() if line.startswith("#")]
    for title in ("Paper row", "Expected", "Command", "Hardware"):
        assert any(re.match(rf"# {title} +\S", line) for line in head), title
    data = name.split("_")[0]
    assert any(f"scan-lightning train experiment={name} data.path={data}.h5" in line for line in head)


FLICKR30K_RECIPE = {"lr": 2e-4, "decay_epoch": 15, "max_epochs": 30, "embed_size": 1024}
COCO_RECIPE = {"lr": 5e-4, "decay_epoch": 10, "max_epochs": 20, "embed_size": 1024}
FLICKR8K_RECIPE = {"lr": 5e-4, "decay_epoch": 8, "max_epochs": 12, "embed_size": 256}
RECIPES = {"flickr30k": FLICKR30K_RECIPE, "coco": COCO_RECIPE, "flickr8k": FLICKR8K_RECIPE}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_recipe_is_the_released_one(name: str) -> None:
    config = composed(name)
    recipe = RECIPES[name.split("_")[0]]
    assert config.optimizer["lr"] == recipe["lr"]
    assert config.scheduler["decay_epoch"] == recipe["decay_epoch"]
    assert config.trainer["gradient_clip_val"] == 2.0
    assert config.trainer["max_epochs"] == recipe["max_epochs"]
    assert config.model["embed_size"] == recipe["embed_size"]
    assert config.data["batch_size"] == 128
    assert config.loss["margin"] == 0.2
    assert config.attention.get("raw_norm", "clipped_l2norm") == "clipped_l2norm"


@pytest.mark.parametrize("data", ["flickr30k", "coco", "flickr8k"])
@pytest.mark.parametrize("row", ROWS)
def test_the_rows_have_the_papers_temperatures(data: str, row: str) -> None:
    attention = composed(f"{data}_{row}").attention
    direction, aggregation = row.split("_")
    assert attention["_target_"] == "scan_lightning.Attention"
    assert (attention["direction"], attention["aggregation"]) == (direction, aggregation)
    assert attention["smoothing"] == {"t2i": 9.0, "i2t": 4.0}[direction]
    if aggregation == "lse":
        lse_scale = {"t2i": 6.0, "i2t": 20.0 if data == "coco" else 5.0}
        assert attention["lse_scale"] == lse_scale[direction]


@pytest.mark.parametrize(
    ("name", "section", "key", "value"),
    [
        ("no_hard_negatives", "loss", "negatives", "all"),
        ("image_not_normalized", "model", "normalize_regions", False),
        ("i2t_sum", "attention", "aggregation", "sum"),
        ("i2t_max", "attention", "aggregation", "max"),
        ("one_directional_gru", "model", "bidirectional", False),
    ],
)
def test_an_ablation_differs_from_its_baseline_in_one_value(
    name: str, section: str, key: str, value: Any
) -> None:
    baseline, ablation = plain(composed("flickr30k_i2t_mean")), plain(composed(f"flickr30k_{name}"))
    assert ablation[section][key] == value
    baseline[section][key] = value
    assert ablation == baseline


@pytest.mark.parametrize("data", ["flickr30k", "flickr8k"])
@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_summax_has_no_attention(data: str, direction: str) -> None:
    attention = composed(f"{data}_{direction}_summax").attention
    assert (attention["_target_"], attention["direction"]) == ("scan_lightning.SumMax", direction)
    assert not {"smoothing", "raw_norm"} & set(attention)


def test_a_choice_on_the_command_line_wins_over_the_experiment() -> None:
    config = composed("flickr8k_t2i_mean", "attention=i2t_lse", "trainer=cpu", "trainer.max_epochs=1")
    assert (config.attention["direction"], config.attention["lse_scale"]) == ("i2t", 5.0)
    assert (config.trainer["accelerator"], config.trainer["max_epochs"]) == ("cpu", 1)
    assert config.model["embed_size"] == 256


def test_the_names_of_the_released_code_and_of_earlier_versions_lead_to_keys_that_exist() -> None:
    config = composed("flickr8k_t2i_mean", "logger=[wandb,tensorboard]")
    known = {*known_keys(TrainConfig, plain(config)), "attention=t2i_summax", "logger=csv|wandb|tensorboard"}
    assert set(RELEASED_NAMES.values()) <= known
    assert set(MOVED.values()) <= known
    assert not set(MOVED) & known
