"""`scan-lightning import-checkpoint`: a released SCAN model as a checkpoint of this program."""

from __future__ import annotations

import argparse
from pathlib import Path

from scan_lightning.errors import ScanError

HELP = "turn a checkpoint of the released SCAN code into one of this program"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    add("checkpoint", type=Path, help="the released file, such as model_best.pth.tar")
    add("--vocab", type=Path, required=True, metavar="FILE", help="its vocabulary, f30k_precomp_vocab.json")
    add("--out", type=Path, required=True, metavar="FILE", help="the checkpoint to write")


def run(args: argparse.Namespace) -> int:
    """Read, convert, write, and print what it is."""
    import torch

    from scan_lightning.files import write_file
    from scan_lightning.model.checkpoint import load
    from scan_lightning.model.released import read_released
    from scan_lightning.places import require_file

    require_file(args.out, "--out")
    for source in (args.checkpoint, args.vocab):
        if args.out.exists() and source.exists() and args.out.samefile(source):
            raise ScanError(f"--out: {args.out} is what is read; give another name")
    released = read_released(args.checkpoint, args.vocab)
    write_file(args.out, lambda file: torch.save(released.checkpoint(), file))
    model = load(args.out)
    words = len(released.state["text_encoder.embed.weight"])
    print(f"{args.out}: {model.rule}")
    print(f"features {model.feature_dim} wide, {words:,} words")
    print("Captions of one sentence are split exactly as by the released code; in others, a full stop that")
    print("touches the last word of an inner sentence stays with it.")
    print(f"next: scan-lightning evaluate checkpoint={args.out} data.path=STORE.h5 split=test")
    return 0
