"""What the subcommands of `scan-lightning data` have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from scan_lightning.units import size_text

# argparse has no public name for what add_subparsers returns.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def subcommand(commands: Subparsers, name: str, text: str, example: str) -> argparse.ArgumentParser:
    """Add a subcommand; the first line of `text` is its summary, and its help ends with an example."""
    return commands.add_parser(
        name,
        help=text.split("\n", maxsplit=1)[0],
        description=text,
        epilog=f"example:\n  scan-lightning data {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add `--out` and `--overwrite`."""
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.h5", help="the store to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the file when it exists")


def print_written(path: Path) -> int:
    """Say what a store that was just written holds and what comes next; the exit status."""
    from scan_lightning.data.store import Store

    store = Store(path)
    print(
        f"{path}: {store.image_count:,} images, {store.caption_count:,} captions, {store.region_count:,} "
        f"regions of {store.feature_dim} {store.feature_dtype}, {size_text(path.stat().st_size)}"
    )
    print(f"next: scan-lightning data check {path}")
    return 0
