"""The table made of recorded runs, against figures worked out by hand."""

import csv
import io
import json
from pathlib import Path

import pytest
from matplotlib.image import imread

from scan_lightning.reproduce.collected import Line, collect
from scan_lightning.reproduce.driver import write_results
from scan_lightning.reproduce.output import csv_text, json_text, markdown
from scan_lightning.reproduce.paper_tables import TABLES

PAPER = "67.7 88.9 94.0 | 44.0 74.2 82.6"  # Flickr30K, i-t LSE, rsum 451.4


def record(
    records: Path, name: str, seed: int, i2t: list[float], t2i: list[float], protocol: str = "1k"
) -> None:
    folder = records / "runs" / f"{name}-seed{seed}" / f"test_{protocol}"
    folder.mkdir(parents=True, exist_ok=True)
    sides = [
        dict(zip(("r1", "r5", "r10", "medr", "meanr"), [*side, 1, 2.5], strict=True)) for side in (i2t, t2i)
    ]
    results = {"split": "test", "i2t": sides[0], "t2i": sides[1], "rsum": sum(i2t) + sum(t2i)}
    (folder / "results.json").write_text(json.dumps(results))
    (folder.parent / "run.json").write_text(json.dumps({"config_hash": f"hash{seed}", "wall_seconds": 61.5}))


def lines_of(records: Path, table: str = "flickr30k") -> dict[tuple[str, str], Line]:
    return {(line.protocol, line.name): line for line in collect(TABLES[table], records)}


def test_means_over_seeds_differences_and_verdicts(tmp_path: Path) -> None:
    record(tmp_path, "i2t_lse", 0, [67.0, 88.0, 94.0], [44.0, 74.0, 82.0])  # 449.0
    record(tmp_path, "i2t_lse", 1, [66.0, 87.0, 93.0], [43.0, 73.0, 81.0])  # 443.0
    record(tmp_path, "i2t_lse", 10, [68.0, 89.0, 95.0], [45.0, 75.0, 83.0])  # 455.0
    record(tmp_path, "t2i_mean", 0, [70.0, 90.0, 95.0], [50.0, 78.0, 86.0])  # 469.0, paper 446.2
    record(tmp_path, "t2i_lse", 0, [60.0, 84.0, 91.0], [43.0, 71.0, 80.0])  # 429.0, paper 434.1
    record(tmp_path, "i2t_mean", 0, [60.0, 84.0, 91.0], [43.0, 71.0, 80.0])  # 429.0, paper 452.2
    lines = lines_of(tmp_path)
    three = lines["1k", "i2t_lse"]
    assert [run.seed for run in three.runs] == [0, 1, 10]
    assert three.mean is not None
    assert three.mean.i2t == pytest.approx((67.0, 88.0, 94.0))
    assert three.mean.t2i == pytest.approx((44.0, 74.0, 82.0))
    assert three.compared(three.mean)[0] == pytest.approx(449.0 - 451.4)
    assert {name: line.compared(line.mean)[1] for (_, name), line in lines.items() if line.runs} == {
        "t2i_lse": "within",
        "t2i_mean": "above",
        "i2t_lse": "within",
        "i2t_mean": "below",
    }
    assert lines["1k", "i2t_max"].compared(None) == (None, "not run")


def test_the_markdown_shows_ours_paper_difference_and_verdict(tmp_path: Path) -> None:
    record(tmp_path, "i2t_lse", 0, [67.0, 88.0, 94.0], [44.0, 74.0, 82.0])
    record(tmp_path, "i2t_lse", 1, [66.0, 87.0, 93.0], [43.0, 73.0, 81.0])
    text = markdown(TABLES["flickr30k"], collect(TABLES["flickr30k"], tmp_path))
    assert (
        "| i2t_lse | 0, 1 | 66.5 87.5 93.5 | 43.5 73.5 81.5 | 446.0 | 443.0 to 449.0 "
        "| 67.7 88.9 94.0 | 44.0 74.2 82.6 | 451.4 | -5.4 | within |" in text
    )
    assert "| t2i_lse | - | - | - | - | - | 61.1 85.4 91.5 | 43.3 71.9 80.9 | 434.1 | - | not run |" in text
    assert "dry run" not in text


def test_csv_has_a_line_a_run_and_one_for_what_was_not_run(tmp_path: Path) -> None:
    record(tmp_path, "i2t_lse", 0, [67.0, 88.0, 94.0], [44.0, 74.0, 82.0])
    record(tmp_path, "i2t_lse", 1, [66.0, 87.0, 93.0], [43.0, 73.0, 81.0])
    rows = list(csv.DictReader(io.StringIO(csv_text(collect(TABLES["flickr30k"], tmp_path)))))
    ours = [row for row in rows if row["row"] == "i2t_lse"]
    assert [(row["seed"], row["rsum"], row["difference"], row["verdict"]) for row in ours] == [
        ("0", "449.0", "-2.4", "within"),
        ("1", "443.0", "-8.4", "below"),
    ]
    assert (ours[1]["t2i_r10"], ours[1]["expected_t2i_r10"], ours[1]["config_hash"]) == (
        "81.0",
        "82.6",
        "hash1",
    )
    assert len(rows) == len(TABLES["flickr30k"].names) + 1
    assert {row["verdict"] for row in rows if row["row"] != "i2t_lse"} == {"not run"}


def test_coco_keeps_its_two_protocols_apart(tmp_path: Path) -> None:
    record(tmp_path, "i2t_lse", 0, [68.0, 93.0, 98.0], [54.0, 86.0, 93.0], protocol="1k")
    record(tmp_path, "i2t_lse", 0, [46.0, 77.0, 87.0], [34.0, 63.0, 75.0], protocol="5k")
    lines = lines_of(tmp_path, "coco")
    for protocol, difference in (("1k", 492.0 - 494.5), ("5k", 382.0 - 384.8)):
        line = lines[protocol, "i2t_lse"]
        assert line.compared(line.mean)[0] == pytest.approx(difference)
    found = json.loads(json_text(TABLES["coco"], list(lines.values())))
    ran = [(row["protocol"], row["t2i_r10"]) for row in found["rows"] if row["rsum"]]
    assert ran == [("1k", 93.0), ("5k", 75.0)]


def test_the_files_are_written_and_the_picture_is_not_blank(tmp_path: Path) -> None:
    record(tmp_path, "i2t_lse", 0, [67.0, 88.0, 94.0], [44.0, 74.0, 82.0])
    for table in TABLES.values():
        write_results(table, tmp_path)
        pixels = imread(tmp_path / "results.png")
        assert pixels.shape[1] > 1000
        assert len({tuple(pixel) for pixel in pixels[::7, ::7].reshape(-1, 4)}) > 3
    names = {path.name for path in tmp_path.glob("*results*")}
    assert names == {"results.csv", "results.json", "results.md", "results.png"}
