"""`scan-lightning attention`: what an image and a sentence attend to in each other, drawn."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "draw what each word of a sentence looks at in an image"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CHECKPOINT", help="such as RUN/checkpoints/best.ckpt")
    add("--data", required=True, type=Path, metavar="FILE.h5", help="the store with the image")
    add("--image", required=True, metavar="ID", help="the image's id in the store")
    add("--sentence", required=True, metavar="TEXT", help="any sentence")
    add("--images", type=Path, metavar="DIR", help="folder of the pictures; without it the canvas is empty")
    add("--out", required=True, type=Path, metavar="DIR", help="folder for the PDF and PNG")
    trust = "packages whose classes the checkpoint may name; their code is run"
    add("--trust", nargs="+", default=[], metavar="PACKAGE", help=trust)


def run(args: argparse.Namespace) -> int:
    """Draw, write a PDF and a PNG, print their names."""
    from scan_lightning.data.store import Store
    from scan_lightning.model.checkpoint import load
    from scan_lightning.places import require_folder
    from scan_lightning.report.explanation import draw_attention, file_stem
    from scan_lightning.report.figure_files import save_figure

    require_folder(args.out, "--out")
    model, store = load(args.checkpoint, args.trust), Store(args.data)
    image = store.find_image(args.image)
    figure = draw_attention(model, store, image, args.sentence, images_dir=args.images)
    for path in save_figure(figure, args.out / file_stem(args.image, args.sentence)):
        print(path)
    return 0
