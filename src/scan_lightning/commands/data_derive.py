"""`scan-lightning data convert | subset | merge`: stores made from stores."""

from __future__ import annotations

import argparse
from pathlib import Path

from scan_lightning.commands.data_parsers import Subparsers, add_out, print_written, subcommand
from scan_lightning.data.format import FEATURE_DTYPES, SPLITS


def configure(commands: Subparsers) -> None:
    """Declare the three subcommands."""
    parser = subcommand(
        commands,
        "convert",
        "write a store with its features as float16 or float32",
        "convert f30k.h5 --dtype float32 --out f30k_fp32.h5",
    )
    parser.add_argument("path", type=Path, metavar="FILE.h5", help="the store to read")
    parser.add_argument("--dtype", required=True, choices=FEATURE_DTYPES, help="how features are stored")
    add_out(parser)
    parser.set_defaults(data_command=_convert)

    parser = subcommand(
        commands,
        "subset",
        "write a part of a store: splits, the first images of each split, or images by id\n\n"
        "The choices add up: an image must pass all that are given. The lexicon is counted anew.",
        "subset f30k.h5 --splits val test --images 100 --out small.h5",
    )
    parser.add_argument("path", type=Path, metavar="FILE.h5", help="the store to read")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, help="only these splits")
    parser.add_argument("--images", type=_positive, metavar="N", help="only the first N images of each split")
    parser.add_argument("--ids", type=Path, metavar="FILE.txt", help="only the images named here, one a line")
    add_out(parser)
    parser.set_defaults(data_command=_subset)

    parser = subcommand(
        commands,
        "merge",
        "write several stores as one; each image keeps its split",
        "merge f30k.h5 f8k.h5 --out both.h5",
    )
    parser.add_argument("paths", type=Path, nargs="+", metavar="FILE.h5", help="the stores to read")
    add_out(parser)
    parser.set_defaults(data_command=_merge)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a number of images; expected 1 or more")
    return value


def _convert(args: argparse.Namespace) -> int:
    from scan_lightning.data.derive import convert
    from scan_lightning.data.store import Store

    convert(Store(args.path), args.out, args.dtype, overwrite=args.overwrite)
    return print_written(args.out)


def _subset(args: argparse.Namespace) -> int:
    from scan_lightning.data.derive import subset
    from scan_lightning.data.store import Store

    subset(
        Store(args.path),
        args.out,
        splits=args.splits,
        images=args.images,
        ids=args.ids,
        overwrite=args.overwrite,
    )
    return print_written(args.out)


def _merge(args: argparse.Namespace) -> int:
    from scan_lightning.data.derive import merge
    from scan_lightning.data.store import Store

    merge([Store(path) for path in args.paths], args.out, overwrite=args.overwrite)
    return print_written(args.out)
