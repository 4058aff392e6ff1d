"""`scan-lightning data`: build, check, show stores, and make stores from stores."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from scan_lightning.data.format import FEATURE_DTYPES, SPLITS
from scan_lightning.data.layouts.sources import LAYOUTS
from scan_lightning.units import size_text

HELP = "build, check and show the store a data set is read from"
BUILD = """write a store from region features and captions

The store appears under its name only when it is complete and on the disk. Layouts:
  scan-release   {train,dev,test,testall}_ims.npy and _caps.txt, as released with SCAN
  bottom-up-tsv  *.tsv with base64 columns, one image a line
  npz-folder     one .npz or .npy an image
  hdf5-vqa       image_features, image_bb, pos_boxes in .hdf5, or a dataset or group an image
The last three take captions from the file beside them that holds some: Karpathy's or COCO's JSON, a list of
image and caption, a table with a header, Flickr8k.token.txt; or from {split}_ids.txt and _caps.txt."""
CHECK = """verify everything a store claims

Counts, offsets, finite features, owners of captions, ids, boxes, lexicon, every block checksum
and the whole-file digest. All faults are listed; the exit status is 2 when there is any.
With --layout a folder of features is checked instead, all values of all images. Files of scan-release are
compared with the sizes of the data set that SCAN's authors released, or with each other."""
SUBSET = """write a part of a store: splits, the first images of each split, or images by id

An image must pass all that are given. The lexicon is counted anew."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their options."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def subcommand(
        name: str,
        text: str,
        example: str,
        function: Callable[[argparse.Namespace], int],
        *,
        out: bool = False,
    ) -> Callable[..., argparse.Action]:
        """Add a subcommand, summarised by the first line of `text`; return its `add_argument`."""
        added = commands.add_parser(
            name,
            help=text.split("\n", maxsplit=1)[0],
            description=text,
            epilog=f"example:\n  scan-lightning data {name} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(data_command=function)
        if out:
            added.add_argument(
                "--out", required=True, type=Path, metavar="FILE.h5", help="the store to write"
            )
            added.add_argument("--overwrite", action="store_true", help="replace the file when it exists")
        return added.add_argument

    example = "--layout scan-release --root data/f30k_precomp --out f30k.h5"
    add = subcommand("build", BUILD, example, _build, out=True)
    add("--layout", required=True, choices=LAYOUTS, help="how the files are laid out")
    add("--root", required=True, type=Path, metavar="DIR", help="the folder with the files")
    add("--captions", type=Path, metavar="PATH", help="captions: a file, or the folder they are in")
    add(
        "--split",
        type=_shares,
        metavar="T/V/T",
        help="divide train/val/test where captions say no split: 80/10/10",
    )
    add("--splits", nargs="+", choices=SPLITS, help="only these splits")
    dtype = "how features are stored (default: float16)"
    add("--dtype", choices=FEATURE_DTYPES, default="float16", help=dtype)

    example = "f30k.h5\n  scan-lightning data check --layout scan-release data/f30k_precomp"
    add = subcommand("check", CHECK, example, _check)
    add("path", type=Path, metavar="PATH", help="the store; with --layout the folder")
    add("--layout", choices=LAYOUTS, help="check a folder of this layout")
    add("--captions", type=Path, metavar="PATH", help="captions of that folder, when they are elsewhere")

    add = subcommand("show", "print what a store holds, with sample captions", "f30k.h5 --samples 2", _show)
    add("path", type=Path, metavar="FILE.h5", help="the store")
    add("--samples", type=int, default=2, metavar="N", help="images shown a split (default: 2)")

    text = "write a store with its features as float16 or float32"
    add = subcommand("convert", text, "f30k.h5 --dtype float32 --out f30k_fp32.h5", _convert, out=True)
    add("path", type=Path, metavar="FILE.h5", help="the store to read")
    add("--dtype", required=True, choices=FEATURE_DTYPES, help="how features are stored")

    example = "f30k.h5 --splits val test --images 100 --out small.h5"
    add = subcommand("subset", SUBSET, example, _subset, out=True)
    add("path", type=Path, metavar="FILE.h5", help="the store to read")
    add("--splits", nargs="+", choices=SPLITS, help="only these splits")
    add("--images", type=_positive, metavar="N", help="only the first N images of each split")
    add("--ids", type=Path, metavar="FILE.txt", help="only the images named here, one a line")

    text = "write several stores as one; each image keeps its split"
    add = subcommand("merge", text, "f30k.h5 f8k.h5 --out both.h5", _merge, out=True)
    add("paths", type=Path, nargs="+", metavar="FILE.h5", help="the stores to read")


def run(args: argparse.Namespace) -> int:
    """Run the chosen subcommand; return the exit status."""
    status: int = args.data_command(args)
    return status


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a number of images; expected 1 or more")
    return value


def _shares(text: str) -> tuple[int, ...]:
    parts = text.split("/")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts) or not sum(map(int, parts)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not three shares of train, val and test, as in 80/10/10"
        )
    return tuple(map(int, parts))


def _build(args: argparse.Namespace) -> int:
    from scan_lightning.data.header import refuse_other_file
    from scan_lightning.data.layouts.sources import open_layout
    from scan_lightning.data.writer import write_store
    from scan_lightning.files import refuse_existing

    refuse_existing(args.out, args.overwrite)
    refuse_other_file(args.out)
    source = open_layout(args.layout, args.root, args.captions, args.split, args.splits)
    for note in source.notes:
        print(f"note: {note}")
    notes = write_store(
        args.out,
        source.records(),
        source=source.name,
        feature_dim=source.feature_dim,
        images=source.images,
        regions=source.regions,
        dtype=args.dtype,
        overwrite=args.overwrite,
    )
    for note in notes:
        print(f"note: {note}")
    return _print_written(args.out)


def _check(args: argparse.Namespace) -> int:
    from scan_lightning.data.check import check_store

    if args.layout == "scan-release":
        return _check_folder(args.path)
    start = time.monotonic()
    if args.layout:
        from scan_lightning.data.layouts.sources import check_layout, open_layout

        source = open_layout(args.layout, args.path, args.captions)
        for note in source.notes:
            print(f"note: {note}")
        problems = check_layout(source, args.path)
        advice, what = "Copy these files or make them again.", f"{source.images:,} images"
    else:
        problems = check_store(args.path)
        advice = "Build or copy the store again; what it holds cannot be trusted."
        what = size_text(args.path.stat().st_size)
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    if problems:
        print(f"error: {args.path}: {_count(len(problems))}. {advice}", file=sys.stderr)
        return 2
    print(f"{args.path}: no problem ({what} in {time.monotonic() - start:.1f} s)")
    return 0


def _check_folder(root: Path) -> int:
    from scan_lightning.data.layouts.scan_doctor import examine

    status = 0
    for report in examine(root):
        print(report.title)
        for finding in report.findings:
            print(f"  {finding.state:12} {finding.path}: {finding.detail}")
        for note in report.notes:
            print(f"  {'note':12} {note}")
        if report.problems:
            print(f"error: {root}: {_count(report.problems)}. {report.advice}", file=sys.stderr)
            status = 2
    return status


def _count(problems: int) -> str:
    return f"{problems} problem{'s' if problems > 1 else ''}"


def _show(args: argparse.Namespace) -> int:
    from rich.console import Console

    from scan_lightning.data.show import summary
    from scan_lightning.data.store import Store

    Console(soft_wrap=True, highlight=False).print(summary(Store(args.path), args.samples))
    return 0


def _convert(args: argparse.Namespace) -> int:
    from scan_lightning.data.derive import convert
    from scan_lightning.data.store import Store

    convert(Store(args.path), args.out, args.dtype, overwrite=args.overwrite)
    return _print_written(args.out)


def _subset(args: argparse.Namespace) -> int:
    from scan_lightning.data.derive import subset
    from scan_lightning.data.store import Store

    choice = {"splits": args.splits, "images": args.images, "ids": args.ids}
    subset(Store(args.path), args.out, **choice, overwrite=args.overwrite)
    return _print_written(args.out)


def _merge(args: argparse.Namespace) -> int:
    from scan_lightning.data.derive import merge
    from scan_lightning.data.store import Store

    merge([Store(path) for path in args.paths], args.out, overwrite=args.overwrite)
    return _print_written(args.out)


def _print_written(path: Path) -> int:
    """Print what a new store holds and what comes next; return the exit status."""
    from scan_lightning.data.store import Store

    store = Store(path)
    print(
        f"{path}: {store.image_count:,} images, {store.caption_count:,} captions, {store.region_count:,} "
        f"regions of {store.feature_dim} {store.feature_dtype}, {size_text(path.stat().st_size)}"
    )
    print(f"next: scan-lightning data check {path}")
    return 0
