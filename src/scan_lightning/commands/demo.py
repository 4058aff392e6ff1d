"""`scan-lightning demo`: from nothing to a trained model, its recalls and pictures of what it looks at."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scan_lightning.errors import ScanError

if TYPE_CHECKING:
    from scan_lightning.data.store import Store
    from scan_lightning.model.trained import TrainedModel

HELP = "train on built-in pictures, evaluate and draw what each word looked at"
EXAMPLE = "scan-lightning demo --out outputs/demo"
MARKER = ".scan-lightning-demo"  # says that a folder may be replaced
ATTENTION_PICTURES, SHEETS, SHOWN = 6, 3, 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/demo"), metavar="DIR", help="folder (default: outputs/demo)"
    )


def run(args: argparse.Namespace) -> int:
    """Build scenes, train, evaluate, measure grounding, draw."""
    from scan_lightning.commands import evaluate, train
    from scan_lightning.data.scenes.build import build_scenes
    from scan_lightning.data.store import Store
    from scan_lightning.model.checkpoint import load

    out: Path = args.out
    _prepare(out)
    store_path, best = out / "scenes.h5", out / "train" / "checkpoints" / "best.ckpt"
    build_scenes(store_path, images_dir=out / "images")
    data = f"data.path={store_path}"
    for status in (
        train.run(["experiment=demo_scenes", data, f"run_dir={out / 'train'}", "trainer=cpu"]),
        evaluate.run([f"checkpoint={best}", data, "split=test", f"run_dir={out / 'test'}", "trainer=cpu"]),
    ):
        if status:
            return status
    store, model = Store(store_path), load(best)
    results = _results(out, model, store)
    pictures = [*_draw_curve(out), *_draw_attention(out, model, store), *_draw_sheets(out, store)]
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    _say(out, results, len(pictures))
    return 0


def _prepare(out: Path) -> None:
    """Empty the folder of an earlier demo; refuse one that is something else."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).exists())):
        raise ScanError(
            f"{out}: exists and is not the folder of an earlier demo, so it is not replaced. "
            "Give another --out."
        )
    try:
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
        (out / MARKER).touch()
    except OSError as error:
        raise ScanError(f"{out}: cannot be written ({error.strerror}). Give another --out.") from error


def _results(out: Path, model: TrainedModel, store: Store) -> dict[str, Any]:
    """The evaluation's results with what only this data set can tell."""
    from scan_lightning.retrieval.grounding import grounding

    results: dict[str, Any] = json.loads((out / "test" / "results.json").read_text(encoding="utf-8"))
    images, captions = results["images"], results["captions"]
    results["chance"] = {"i2t_r1": 100 * (captions / images) / captions, "t2i_r1": 100 / images}
    found = grounding(model, store, "test")
    assert found is not None
    results["grounding"] = {"accuracy": found.accuracy, "chance": found.chance, "words": found.words}
    return results


def _draw_curve(out: Path) -> list[Path]:
    from scan_lightning.report.figures import training_curve
    from scan_lightning.report.overlay import save_figure

    return save_figure(training_curve(out / "train" / "metrics.csv"), out / "training_curve", kinds=("png",))


def _draw_attention(out: Path, model: TrainedModel, store: Store) -> list[Path]:
    """A caption of every so many test images."""
    from scan_lightning.report.attention import draw_attention
    from scan_lightning.report.overlay import save_figure

    captions = store.caption_rows("test")
    paths = []
    for number in range(ATTENTION_PICTURES):
        caption = captions[len(captions) * number // ATTENTION_PICTURES :][:1]
        (sentence,) = store.caption_text(caption)
        image = int(store.caption_image[caption[0]])
        figure = draw_attention(model, store, image, sentence, images_dir=out / "images")
        paths += save_figure(figure, out / f"attention_{number + 1}", kinds=("png",))
    return paths


def _draw_sheets(out: Path, store: Store) -> list[Path]:
    """The pictures found for a few test captions, the first of which are spread over the split."""
    from PIL import Image

    from scan_lightning.report.overlay import save_figure
    from scan_lightning.report.sheets import Found, retrieval_sheet
    from scan_lightning.retrieval.queries import read_queries

    queries = read_queries(out / "test")
    top = queries.ranks.top
    assert top is not None
    paths = []
    for number in range(SHEETS):
        caption = len(queries.captions) * (2 * number + 1) // (2 * SHEETS)
        gold = int(queries.ranks.t2i_images[caption])
        found = [
            Found(Image.open(out / "images" / queries.image_ids[image]), float(score), image == gold)
            for image, score in zip(
                top.t2i[caption, :SHOWN].tolist(), top.t2i_scores[caption, :SHOWN], strict=True
            )
        ]
        figure = retrieval_sheet(queries.captions[caption], found, int(queries.ranks.t2i[caption]) + 1)
        paths += save_figure(figure, out / f"retrieval_{number + 1}", kinds=("png",))
    return paths


def _say(out: Path, results: dict[str, Any], pictures: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="against chance, on the 200 test scenes", title_justify="left")
    for heading in ("", "model", "chance"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = (
        ("image to text R@1", results["i2t"]["r1"], results["chance"]["i2t_r1"]),
        ("text to image R@1", results["t2i"]["r1"], results["chance"]["t2i_r1"]),
        ("grounding accuracy", results["grounding"]["accuracy"], results["grounding"]["chance"]),
    )
    for name, value, chance in rows:
        table.add_row(name, f"{value:.1f} %", f"{chance:.1f} %")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(f"{out}: results.json and {pictures} pictures, such as attention_1.png and retrieval_1.png")
    console.print(
        f"try next: scan-lightning train -m experiment=demo_scenes data.path={out / 'scenes.h5'} "
        "attention=t2i_mean,i2t_mean"
    )
