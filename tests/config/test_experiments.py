"""Every recipe on disk: listed by name, composed, checked, and holding the paper's values."""

import re
from pathlib import Path
from typing import Any

import pytest
from scan_lightning.choices import Aggregation, Negatives, Rule
from scan_lightning.conf_dir import conf_dir, group_options
from scan_lightning.launch.command import read_request
from scan_lightning.launch.plan import make_plan, plain_values, unchecked
from scan_lightning.validate import build

from scan_lightning import names
from scan_lightning.commands.train import command
from scan_lightning.config import TrainConfig

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
    request = read_request(command(), [f"experiment={name}", "data.path=a.h5", *overrides])
    return build(TrainConfig, plain_values(unchecked(command(), request)))


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
    assert config.optimizer.lr == recipe["lr"]
    assert config.optimizer.decay_epoch == recipe["decay_epoch"]
    assert config.optimizer.clip_norm == 2.0
    assert config.trainer.max_epochs == recipe["max_epochs"]
    assert config.model.embed_size == recipe["embed_size"]
    assert config.data.batch_size == 128
    assert config.loss.margin == 0.2
    assert config.attention.raw_norm == "clipped_l2norm"


@pytest.mark.parametrize("data", ["flickr30k", "coco", "flickr8k"])
@pytest.mark.parametrize("row", ROWS)
def test_the_rows_have_the_papers_temperatures(data: str, row: str) -> None:
    attention = composed(f"{data}_{row}").attention
    direction, aggregation = row.split("_")
    assert (attention.rule, attention.direction, attention.aggregation) == (
        "attention",
        direction,
        aggregation,
    )
    assert attention.smoothing == {"t2i": 9.0, "i2t": 4.0}[direction]
    if aggregation == "lse":
        lse_scale = {"t2i": 6.0, "i2t": 20.0 if data == "coco" else 5.0}
        assert attention.lse_scale == lse_scale[direction]


@pytest.mark.parametrize(
    ("name", "section", "key", "value"),
    [
        ("no_hard_negatives", "loss", "negatives", Negatives.all),
        ("image_not_normalized", "model", "normalize_regions", False),
        ("i2t_sum", "attention", "aggregation", Aggregation.sum),
        ("i2t_max", "attention", "aggregation", Aggregation.max),
        ("one_directional_gru", "model", "bidirectional", False),
    ],
)
def test_an_ablation_differs_from_its_baseline_in_one_value(
    name: str, section: str, key: str, value: Any
) -> None:
    baseline, ablation = composed("flickr30k_i2t_mean"), composed(f"flickr30k_{name}", "run_dir=same")
    baseline.run_dir = "same"
    assert getattr(getattr(ablation, section), key) == value
    setattr(getattr(baseline, section), key, value)
    assert ablation == baseline


@pytest.mark.parametrize("data", ["flickr30k", "flickr8k"])
@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_summax_has_no_attention(data: str, direction: str) -> None:
    attention = composed(f"{data}_{direction}_summax").attention
    assert (attention.rule, attention.direction) == (Rule.summax, direction)


def test_a_choice_on_the_command_line_wins_over_the_experiment() -> None:
    config = composed("flickr8k_t2i_mean", "attention=i2t_lse", "trainer=cpu", "trainer.max_epochs=1")
    assert (config.attention.direction, config.attention.lse_scale) == ("i2t", 5.0)
    assert (config.trainer.accelerator, config.trainer.max_epochs) == ("cpu", 1)
    assert config.model.embed_size == 256


def test_the_released_names_lead_to_keys_that_exist() -> None:
    from scan_lightning.validate import leaf_keys

    assert set(names.RELEASED_NAMES.values()) <= set(leaf_keys(TrainConfig))
