"""`scan-lightning data`: build, check, show."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from scan_lightning.commands import data_derive
from scan_lightning.commands.data_parsers import Subparsers, add_out, print_written, subcommand
from scan_lightning.data.format import FEATURE_DTYPES
from scan_lightning.data.layouts.sources import LAYOUTS
from scan_lightning.units import size_text

HELP = "build, check and show the store a data set is read from"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their options."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _configure_build(commands)
    _configure_check(commands)
    _configure_show(commands)
    data_derive.configure(commands)


def run(args: argparse.Namespace) -> int:
    """Run the chosen subcommand; the exit status."""
    status: int = args.data_command(args)
    return status


def _configure_build(commands: Subparsers) -> None:
    parser = subcommand(
        commands,
        "build",
        "write a store from region features and captions\n\n"
        "The store appears under its name only when it is complete and on the disk. Layouts:\n"
        "  scan-release   {train,dev,test,testall}_ims.npy and _caps.txt, as released with SCAN\n"
        "  bottom-up-tsv  *.tsv with base64 columns, one image a line\n"
        "  npz-folder     one .npz an image\n"
        "  hdf5-vqa       image_features, image_bb, pos_boxes in .hdf5\n"
        "The last three take captions from Karpathy's dataset_*.json, or from {split}_ids.txt and _caps.txt.",
        "build --layout scan-release --root data/f30k_precomp --out f30k.h5",
    )
    parser.add_argument("--layout", required=True, choices=LAYOUTS, help="how the files are laid out")
    parser.add_argument("--root", required=True, type=Path, metavar="DIR", help="the folder with the files")
    parser.add_argument("--captions", type=Path, metavar="PATH", help="captions, when they are elsewhere")
    parser.add_argument(
        "--dtype",
        choices=FEATURE_DTYPES,
        default="float16",
        help="how features are stored (default: float16)",
    )
    add_out(parser)
    parser.set_defaults(data_command=_build)


def _build(args: argparse.Namespace) -> int:
    from scan_lightning.data.header import refuse_other_file
    from scan_lightning.data.layouts.sources import open_layout
    from scan_lightning.data.writer import write_store
    from scan_lightning.files import refuse_existing

    refuse_existing(args.out, args.overwrite)
    refuse_other_file(args.out)
    source = open_layout(args.layout, args.root, args.captions)
    for note in source.notes:
        print(f"note: {note}")
    write_store(
        args.out,
        source.records(),
        source=source.name,
        feature_dim=source.feature_dim,
        images=source.images,
        regions=source.regions,
        dtype=args.dtype,
        overwrite=args.overwrite,
    )
    return print_written(args.out)


def _configure_check(commands: Subparsers) -> None:
    parser = subcommand(
        commands,
        "check",
        "verify everything a store claims\n\n"
        "Counts, offsets, finite features, owners of captions, ids, boxes, lexicon, every block checksum\n"
        "and the whole-file digest. All problems are listed; the exit status is 2 when there is any.\n"
        "With --layout: the doctor for a folder of features. Every file is held against the numbers of the\n"
        "data set that SCAN's authors released, or if it is none against the others. Values are read too.",
        "check f30k.h5\n  scan-lightning data check --layout scan-release data/f30k_precomp",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="the store; with --layout the folder")
    parser.add_argument("--layout", choices=["scan-release"], help="examine a folder of this layout")
    parser.set_defaults(data_command=_check)


def _check(args: argparse.Namespace) -> int:
    from scan_lightning.data.check import check_store

    if args.layout:
        return _examine(args.path)
    start = time.monotonic()
    problems = check_store(args.path)
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    if problems:
        advice = "Build or copy the store again; what it holds cannot be trusted."
        print(f"error: {args.path}: {_count(len(problems))}. {advice}", file=sys.stderr)
        return 2
    size, seconds = args.path.stat().st_size, max(time.monotonic() - start, 1e-9)
    print(f"{args.path}: no problem ({size_text(size)} in {seconds:.1f} s, {size_text(size / seconds)}/s)")
    return 0


def _examine(root: Path) -> int:
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


def _configure_show(commands: Subparsers) -> None:
    parser = subcommand(
        commands, "show", "print what a store holds, with sample captions", "show f30k.h5 --samples 2"
    )
    parser.add_argument("path", type=Path, metavar="FILE.h5", help="the store")
    parser.add_argument(
        "--samples", type=int, default=2, metavar="N", help="images shown a split (default: 2)"
    )
    parser.set_defaults(data_command=_show)


def _show(args: argparse.Namespace) -> int:
    from rich.console import Console

    from scan_lightning.data.show import summary
    from scan_lightning.data.store import Store

    Console(soft_wrap=True, highlight=False).print(summary(Store(args.path), args.samples))
    return 0
