"""`scan-lightning demo`: from nothing to a trained model, its recall table and pictures of its attention."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scan_lightning.errors import ScanError

if TYPE_CHECKING:
    from scan_lightning.config.schema import EvaluateConfig, TrainConfig

HELP = "train on built-in pictures, evaluate and draw what each word looked at"
MARKER = ".scan-lightning-demo"  # says that a folder may be replaced
ATTENTION_PICTURES = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("outputs/demo"),
        metavar="DIR",
        help="folder for everything it makes; an earlier demo in it is replaced (default: outputs/demo)",
    )


def run(args: argparse.Namespace) -> int:
    """Build scenes, train, evaluate, measure grounding, draw."""
    out: Path = args.out
    start = time.monotonic()
    _prepare(out)
    _say("1 of 4: drawing 1,900 scenes and describing their regions")
    from scan_lightning.data.scenes.build import build_scenes

    build_scenes(out / "scenes.h5", images_dir=out / "images")
    _say("2 of 4: training")
    training, testing = _configs(out)
    from scan_lightning.training.evaluate import evaluate
    from scan_lightning.training.train import train

    with contextlib.redirect_stdout(io.StringIO()):  # their own tables; the demo ends with one of all
        try:
            train(training, out / "train")
        except (KeyboardInterrupt, SystemExit):
            _say("the demo itself starts over when it is run again")
            raise
        _say("3 of 4: searching the test pictures by caption, and the captions by picture")
        evaluate(testing, out / "test")
    _say("4 of 4: measuring grounding accuracy, drawing pictures")
    results = _finish(out, training.loss["warmup_steps"])
    _report(out, results, time.monotonic() - start)
    return 0


def _prepare(out: Path) -> None:
    """Empty the folder of an earlier demo; refuse one that is something else."""
    try:
        if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).exists())):
            raise ScanError(
                f"--out {out}: exists and is not the folder of an earlier demo, so it is not replaced. "
                "Give a new or an empty folder."
            )
        out.mkdir(parents=True, exist_ok=True)
        (out / MARKER).touch()
        for path in out.iterdir():
            if path.name != MARKER:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise ScanError(
            f"--out {out}: cannot be written to ({error.strerror}). Give a folder that you may write to."
        ) from error


def _configs(out: Path) -> tuple[TrainConfig, EvaluateConfig]:
    """What `train experiment=demo_scenes` and `evaluate` would run on this folder's store."""
    from scan_lightning.config.compose import compose_config
    from scan_lightning.config.schema import EvaluateConfig, TrainConfig

    common = ["trainer=cpu", f"data.path='{out / 'scenes.h5'}'"]
    best = out / "train" / "checkpoints" / "best.ckpt"
    training = compose_config(
        TrainConfig, "config", [*common, "experiment=demo_scenes", f"run_dir='{out / 'train'}'"]
    )
    testing = compose_config(
        EvaluateConfig, "evaluate", [*common, f"checkpoint='{best}'", f"run_dir='{out / 'test'}'"]
    )
    return training, testing


def _finish(out: Path, warmup_steps: int) -> dict[str, Any]:
    """Draw the pictures and, last, write results.json; return its content."""
    from scan_lightning.data.store import Store
    from scan_lightning.files import write_json
    from scan_lightning.model.checkpoint import load
    from scan_lightning.report.figure_files import save_figure
    from scan_lightning.report.gallery import attention_gallery, retrieval_gallery
    from scan_lightning.report.training_curve import training_curve
    from scan_lightning.retrieval.grounding import grounding
    from scan_lightning.retrieval.queries import read_queries
    from scan_lightning.retrieval.statistics import chance_recall

    store, model = Store(out / "scenes.h5"), load(out / "train" / "checkpoints" / "best.ckpt")
    queries = read_queries(out / "test")
    results: dict[str, Any] = json.loads((out / "test" / "results.json").read_text(encoding="utf-8"))
    results["chance"] = {
        side: {name: round(value, 2) for name, value in recalls.items()}
        for side, recalls in chance_recall(queries.ranks.t2i_images, queries.ranks.image_count).items()
    }
    found = grounding(model, store, "test")
    assert found is not None  # scenes are linked, and the recipe attends
    measured = {"accuracy": round(found.accuracy, 2), "chance": round(found.chance, 2)}
    results["grounding"] = {**measured, "words": found.words}
    curve = training_curve(out / "train" / "metrics.csv", warmup_steps=warmup_steps)
    save_figure(curve, out / "training_curve", kinds=("png",))
    attention_gallery(model, store, "test", out / "images", out, count=ATTENTION_PICTURES)
    retrieval_gallery(queries, out / "images", out)
    write_json(out / "results.json", results)
    return results


def _report(out: Path, results: dict[str, Any], seconds: float) -> None:
    from rich.console import Console

    from scan_lightning.report.tables import DIRECTIONS, RECALLS, text_table

    rows = []
    for key, name in DIRECTIONS:
        own, chance = results[key], results["chance"][key]
        cells = [f"{own[recall]:.1f} ({chance[recall]:.1f})" for recall, _ in RECALLS]
        rows.append([name, *cells, f"{own['medr']:.0f}"])
    title = f"test: {results['images']} pictures, {results['captions']:,} captions; in brackets by chance"
    headings = ["", *(heading for _, heading in RECALLS), "median rank"]
    console = Console(highlight=False, soft_wrap=True)
    console.print(text_table(headings, rows, title=title))
    grounded = results["grounding"]
    console.print(
        f"grounding: {grounded['accuracy']:.1f} % of {grounded['words']:,} colour and shape words attend "
        f"most to a region of the object they name; by chance it would be {grounded['chance']:.1f} %"
    )
    console.print(f"\n{out}/ ({seconds:.0f} s)")
    for name, meaning in (
        (f"attention_1.png ... {ATTENTION_PICTURES}.png", "what each word of a caption attends to"),
        ("retrieval_1.png ... 3.png", "captions and the pictures retrieved for them"),
        ("training_curve.png", "loss and recall against steps"),
        ("results.json", "the figures above"),
        ("scenes.h5, images/, train/, test/", "the data, the training run, the evaluation"),
    ):
        console.print(f"  {name:<36}{meaning}")
    folder, sentence = shlex.quote(str(out)), "'a red star next to a blue circle'"
    console.print(
        f"try next: scan-lightning attention {folder}/train/checkpoints/best.ckpt --data {folder}/scenes.h5 "
        f"--images {folder}/images --image scene-test-00007.png --sentence {sentence} --out {folder}/mine"
    )


def _say(line: str) -> None:
    from scan_lightning.quiet import quiet

    if not quiet():
        print(line, file=sys.stderr, flush=True)
