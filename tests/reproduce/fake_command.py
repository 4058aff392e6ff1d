"""Stands in for the console command: writes what `train`, `evaluate` and `ensemble` would, at once.

FAKE_FAIL: a row whose training fails. FAKE_HANG: a row whose training never ends by itself.
"""

import json
import os
import sys
import time
from pathlib import Path

RECALLS = {"r1": 10.0, "r5": 20.0, "r10": 30.0, "medr": 5.0, "meanr": 9.0}


def value(words: list[str], key: str) -> str:
    return next(word for word in words if word.startswith(f"{key}=")).partition("=")[2].strip('"')


def write_results(folder: Path, split: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    results = {"split": split, "images": 25, "captions": 125, "i2t": RECALLS, "t2i": RECALLS, "rsum": 120.0}
    (folder / "results.json").write_text(json.dumps(results))


def train(words: list[str]) -> int:
    from hydra import compose, initialize_config_dir  # not at the top: an evaluation shall take no time
    from omegaconf import OmegaConf

    from scan_lightning.conf_dir import conf_dir

    folder = Path(value(words, "run_dir"))
    folder.mkdir(parents=True, exist_ok=True)
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        OmegaConf.save(compose("config", overrides=words), folder / "config.yaml", resolve=True)
    resumed = (folder / "metrics.csv").exists()
    with (folder / "metrics.csv").open("a") as file:
        file.write("" if resumed else "step,epoch,train/loss,val/rsum\n")
        file.write("2,0,7.0,\n3,0,,120.0\n" if resumed else "1,0,9.0,\n")
    if folder.name.startswith(os.environ.get("FAKE_FAIL", "none")):
        print("Traceback\nerror: the loss is not a number")
        return 1
    while folder.name.startswith(os.environ.get("FAKE_HANG", "none")):
        time.sleep(0.1)
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "best.ckpt").touch()
    (folder / "run.json").write_text(
        json.dumps({"config_hash": "abc", "commit": "def", "where": str(Path.cwd())})
    )
    write_results(folder, "val")
    return 0


command, *words = sys.argv[1:]
with Path("commands.txt").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\n")
if command == "data":
    from scan_lightning.cli import main

    sys.exit(main(sys.argv[1:]))
if command == "train":
    sys.exit(train(words))
write_results(Path(value(words, "run_dir")), value(words, "split"))
