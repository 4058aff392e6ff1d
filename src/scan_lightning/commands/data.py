"""`scan-lightning data`: build, check, show."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from scan_lightning.data.format import FEATURE_DTYPES

HELP = "build stores from foreign layouts, check them, look into them"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their options."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _configure_build(commands)


def run(args: argparse.Namespace) -> int:
    """Run the chosen subcommand; the exit status."""
    status: int = args.data_command(args)
    return status


def _subcommand(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, example: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text.split("\n", maxsplit=1)[0],
        description=text,
        epilog=f"example:\n  scan-lightning data {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _configure_build(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _subcommand(
        commands,
        "build",
        "write a store from region features and captions\n\n"
        "The store appears under its name only when it is complete and on the disk.",
        "build --layout scan-release --root data/f30k_precomp --out f30k.h5",
    )
    parser.add_argument(
        "--layout", required=True, choices=["scan-release"], help="how the files are laid out"
    )
    parser.add_argument("--root", required=True, type=Path, metavar="DIR", help="the folder with the files")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.h5", help="the store to write")
    parser.add_argument(
        "--dtype",
        choices=FEATURE_DTYPES,
        default="float16",
        help="how features are stored (default: float16)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.h5 when it exists")
    parser.set_defaults(data_command=_build)


def _build(args: argparse.Namespace) -> int:
    from scan_lightning.data.atomic import refuse_existing
    from scan_lightning.data.layouts.scan_release import open_scan_release
    from scan_lightning.data.store import Store
    from scan_lightning.data.writer import write_store

    start = time.monotonic()
    refuse_existing(args.out, args.overwrite)
    source = open_scan_release(args.root)
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
    store = Store(args.out)
    print(
        f"{args.out}: {store.image_count:,} images, {store.caption_count:,} captions, {store.region_count:,} "
        f"regions of {store.feature_dim} {store.feature_dtype}, {args.out.stat().st_size / 1e9:.2f} GB, "
        f"{time.monotonic() - start:.0f} s"
    )
    print(f"next: scan-lightning data check {args.out}")
    return 0
