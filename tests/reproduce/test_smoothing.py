"""The sweep study's records, made of run folders written by hand."""

import csv
import itertools
import json
from pathlib import Path

import pytest
import yaml
from matplotlib.image import imread

from scan_lightning.reproduce.heat_map import draw
from scan_lightning.reproduce.smoothing import collect, write_csv


def write_run(folder: Path, direction: str, aggregation: str, smoothing: float, rsum: float) -> None:
    folder.mkdir(parents=True)
    attention = {"direction": direction, "aggregation": aggregation, "smoothing": smoothing}
    (folder / "config.yaml").write_text(yaml.safe_dump({"attention": attention, "seed": 0}))
    recalls = {"r1": rsum / 6, "r5": rsum / 6, "r10": rsum / 6, "medr": 1.0, "meanr": 1.0}
    (folder / "results.json").write_text(json.dumps({"i2t": recalls, "t2i": recalls, "rsum": rsum}))
    (folder / "run.json").write_text(json.dumps({"config_hash": "h", "commit": None, "wall_seconds": 3.25}))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    grid = itertools.product(("t2i", "i2t"), ("lse", "mean"), (4.0, 9.0, 20.0))
    for number, (direction, aggregation, smoothing) in enumerate(grid):
        name = f"{direction}-{aggregation}-{smoothing:g}"
        write_run(tmp_path / "grid" / name, direction, aggregation, smoothing, 300.0 + number)
    for smoothing in (1.0, 2.0, 4.0, 9.0, 20.0, 50.0):
        write_run(tmp_path / "line" / f"{smoothing:g}", "t2i", "mean", smoothing, 300.0 - smoothing)
    (tmp_path / "grid" / "unfinished").mkdir()
    return tmp_path


def test_every_finished_run_is_a_line_in_the_order_of_its_settings(work: Path, tmp_path: Path) -> None:
    points = collect(work)
    write_csv(points, tmp_path / "results.csv")
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18
    assert [float(row["smoothing"]) for row in rows[-6:]] == [1, 2, 4, 9, 20, 50]
    settings = [(row["direction"], row["aggregation"], row["smoothing"], row["rsum"]) for row in rows[:4]]
    assert settings == [
        ("i2t", "lse", "4.00", "306.00"),
        ("i2t", "lse", "9.00", "307.00"),
        ("i2t", "lse", "20.00", "308.00"),
        ("i2t", "mean", "4.00", "309.00"),
    ]
    assert rows[0]["run"] == "grid/i2t-lse-4"
    assert (rows[0]["t2i_r5"], rows[0]["wall_seconds"]) == ("51.00", "3.25")


def test_the_heat_map_colours_differ_as_the_figures_do(work: Path, tmp_path: Path) -> None:
    draw(collect(work), tmp_path / "smoothing.png")
    pixels = imread(tmp_path / "smoothing.png")
    colours = {tuple(pixel) for pixel in pixels[::5, ::5, :3].reshape(-1, 3).round(2)}
    assert len(colours) > 12  # twelve cells of different colours, besides background and line
