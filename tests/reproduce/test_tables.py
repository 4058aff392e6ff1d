"""The tables as data: the paper's figures, the recipes they name, the pages that show them."""

import re
from pathlib import Path

import pytest

from scan_lightning.config.conf_dir import conf_dir
from scan_lightning.data.layouts.scan_doctor import PUBLISHED
from scan_lightning.errors import ScanError
from scan_lightning.reproduce.paper_tables import TABLES

ROOT = Path(__file__).resolve().parents[2]
# The paper's last column, rsum, typed apart from the six recalls it sums.
RSUM = {
    "flickr30k": {
        "1k": {
            "t2i_lse": 434.1,
            "t2i_mean": 446.2,
            "i2t_lse": 451.4,
            "i2t_mean": 452.2,
            "t2i_mean+i2t_lse": 465.0,
            "no_hard_negatives": 380.8,
            "image_not_normalized": 451.4,
            "i2t_sum": 446.9,
            "i2t_max": 430.6,
            "one_directional_gru": 443.6,
            "t2i_summax": 430.8,
            "i2t_summax": 407.2,
        }
    },
    "coco": {
        "1k": {
            "t2i_lse": 489.3,
            "t2i_mean": 500.5,
            "i2t_lse": 494.5,
            "i2t_mean": 493.9,
            "t2i_lse+i2t_mean": 507.9,
        },
        "5k": {"i2t_lse": 384.8, "t2i_mean+i2t_lse": 410.9},
    },
}


@pytest.mark.parametrize("name", RSUM)
def test_the_recalls_add_up_to_the_published_sums(name: str) -> None:
    sums = {
        (protocol, row): pytest.approx(rsum, abs=0.11)  # the paper rounds each recall
        for protocol, rows in RSUM[name].items()
        for row, rsum in rows.items()
    }
    assert {key: recalls.rsum for key, recalls in TABLES[name].expected.items()} == sums


def test_the_data_needed_is_what_data_check_knows() -> None:
    for table in (TABLES["flickr30k"], TABLES["coco"]):
        published = {data.folder: data for data in PUBLISHED}[table.folder]
        assert published.title == table.released
        assert set(table.splits) <= set(published.images)


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_a_recipe_and_every_figure_a_row(name: str) -> None:
    table = TABLES[name]
    assert table.name == name
    for row in (*table.rows, *table.ablations):
        assert (conf_dir() / "experiment" / f"{name}_{row}.yaml").is_file(), row
    assert all(set(ensemble.split("+")) <= set(table.rows) for ensemble in table.ensembles)
    assert {row for _, row in table.expected} <= set(table.names)
    assert {protocol for protocol, _ in table.expected} <= set(table.folds)


@pytest.mark.parametrize("name", ["flickr30k", "coco"])
def test_the_readme_shows_the_published_figures(name: str) -> None:
    text = (ROOT / "experiments" / name / "README.md").read_text(encoding="utf-8")
    shown = {
        (cells[0], cells[1]): [float(number) for number in re.findall(r"\d+\.\d", " ".join(cells[2:5]))]
        for line in text.splitlines()
        if len(cells := [cell.strip(" `") for cell in line.strip("| ").split("|")]) >= 5
    }
    for (protocol, row), recalls in TABLES[name].expected.items():
        assert shown[protocol, row] == [*recalls.i2t, *recalls.t2i, round(recalls.rsum, 1)]
    assert f"make {TABLES[name].target} DATA=" in text


def test_by_default_everything_but_the_ablations_of_the_paper_is_run() -> None:
    table = TABLES["flickr30k"]
    assert table.chosen([]) == ["t2i_lse", "t2i_mean", "i2t_lse", "i2t_mean", "t2i_mean+i2t_lse"]
    assert table.chosen(["all"]) == table.names
    assert len(table.names) == 12
    assert table.chosen(["i2t_max", "t2i_mean"]) == ["t2i_mean", "i2t_max"]
    with pytest.raises(ScanError, match="no row t2i_men; expected all, or some of t2i_lse, t2i_mean"):
        table.chosen(["t2i_mean", "t2i_men"])
