"""`scan-lightning attention`: what an image and a sentence look at in each other, drawn."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "draw what each word of a sentence looks at in an image"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="such as RUN/checkpoints/best.ckpt"
    )
    parser.add_argument(
        "--data", required=True, type=Path, metavar="FILE.h5", help="the store with the image"
    )
    parser.add_argument("--image", required=True, metavar="ID", help="the image's id in the store")
    parser.add_argument("--sentence", required=True, metavar="TEXT", help="any sentence")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the pictures; without it the canvas is empty"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the PDF and PNG")


def run(args: argparse.Namespace) -> int:
    """Draw, write a PDF and a PNG, say where."""
    from scan_lightning.data.store import Store
    from scan_lightning.model.checkpoint import load
    from scan_lightning.places import require_folder
    from scan_lightning.report.attention import draw_attention, file_stem
    from scan_lightning.report.figure_files import save_figure

    require_folder(args.out, "--out")
    model, store = load(args.checkpoint), Store(args.data)
    image = store.find_image(args.image)
    figure = draw_attention(model, store, image, args.sentence, images_dir=args.images)
    stem = args.out / file_stem(args.image, args.sentence)
    for path in save_figure(figure, stem):
        print(path)
    return 0
