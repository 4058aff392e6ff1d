"""The console command: finds the subcommand, runs it, and turns what went wrong into a status.

0 done, 2 a user's fault (one message, no traceback unless `--debug`), 130 interrupted, 1 our fault.
Nothing heavy is imported before a subcommand runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version

from scan_lightning import threads
from scan_lightning.errors import ScanError, plain_warnings
from scan_lightning.quiet import quietened

# One line each, the same as HELP of commands/<name>.py; repeated here so that help imports none of them.
HYDRA_COMMANDS = {
    "train": "train a model, or a sweep of models with -m",
    "evaluate": "recall of a trained model on a split of a store",
    "ensemble": "recall of several models, their similarities averaged",
}
PLAIN_COMMANDS = {
    "data": "build, check and show the store a data set is read from",
    "attention": "draw what each word of a sentence looks at in an image",
    "report": "one HTML page of runs: recall, curves, sweep, ranks, and attention to explore",
    "compare": "two evaluated runs, query by query: differences with intervals, what changed most",
    "dashboard": "create the wandb workspace of a project: recall, training, attention, sweep",
    "import-checkpoint": "turn a checkpoint of the released SCAN code into one of this program",
    "demo": "train on built-in pictures, evaluate and draw what each word looked at",
}
EXAMPLES = """examples:
  scan-lightning demo
  scan-lightning data build --layout scan-release --root f30k_precomp --out flickr30k.h5
  scan-lightning train data.path=flickr30k.h5 attention=i2t_lse
  scan-lightning train -m data.path=flickr30k.h5 attention=t2i_mean,i2t_mean attention.smoothing=4,9
  scan-lightning evaluate checkpoint=outputs/train/RUN/checkpoints/best.ckpt data.path=flickr30k.h5 split=test
  scan-lightning ensemble checkpoints=[A/checkpoints/best.ckpt,B/checkpoints/best.ckpt] data.path=flickr30k.h5
  scan-lightning attention RUN/checkpoints/best.ckpt --data flickr30k.h5 --image ID --sentence 'a dog' --out o
  scan-lightning report outputs/evaluate/A outputs/evaluate/B --out report.html --images flickr30k-images
  scan-lightning compare outputs/evaluate/A outputs/evaluate/B
  scan-lightning import-checkpoint model_best.pth.tar --vocab f30k_precomp_vocab.json --out model.ckpt
  scan-lightning dashboard --entity TEAM --project scan-lightning
"""


def main(argv: list[str] | None = None) -> int:
    """Run `scan-lightning ARGV` and return its status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    threads.prepare(count="hydra/launcher=joblib" not in arguments)
    debug, less = "--debug" in arguments, "--quiet" in arguments
    arguments = [argument for argument in arguments if argument not in ("--debug", "--quiet")]
    try:
        with plain_warnings(), quietened(less):
            status = _dispatch(arguments)
            sys.stdout.flush()
            return status
    except ScanError as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return 2
    except PermissionError as error:  # of a file or folder that nobody asked about before
        if debug:
            traceback.print_exc()
        print(
            f"error: {error.filename}: permission denied. Ask for permission, or give another place.",
            file=sys.stderr,
        )
        return 2
    except BrokenPipeError:  # who read the output has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        print("interrupted", file=sys.stderr)
        return 130
    except SystemExit as stop:  # argparse ends this way after help (0) and for wrong options (2)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception:
        traceback.print_exc()
        print(
            "error: this is a fault of scan-lightning, not of your input; please report it", file=sys.stderr
        )
        return 1


def _dispatch(arguments: list[str]) -> int:
    # Hydra commands take everything after their name, `key=value` and `-m` alike: argparse is kept out of it.
    if arguments and arguments[0] in HYDRA_COMMANDS:
        return int(_module(arguments[0]).run(arguments[1:]))
    parser, subparsers = _parser(arguments[0] if arguments else None)
    if not arguments:
        parser.print_help()
        return 0
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:  # told by the subcommand, whose usage says what exists
        subparsers[parsed.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    return int(_module(parsed.command).run(parsed))


def _parser(command: str | None) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of plain commands and those of each; only the module of `command` is imported."""
    parser = argparse.ArgumentParser(
        prog="scan-lightning",
        description="Train, evaluate and explain stacked cross attention for image-text retrieval.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"scan-lightning {version('scan-lightning')}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a user's fault too")
    parser.add_argument("--quiet", action="store_true", help="show results, warnings and errors, no progress")
    names = {**HYDRA_COMMANDS, **PLAIN_COMMANDS}
    if command is not None and not command.startswith("-") and command not in names:
        near = get_close_matches(command, names, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ScanError(f"unknown command '{command}'{hint} (there are: {', '.join(names)})")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in names.items():
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=_examples(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == command:
            _module(name).configure(subparser)
    return parser, subparsers.choices


def _examples(command: str) -> str:
    lines = [line for line in EXAMPLES.splitlines() if line.startswith(f"  scan-lightning {command}")]
    return "\n".join(["examples:", *lines]) if lines else ""


def _module(command: str):  # type: ignore[no-untyped-def]
    return import_module(f"scan_lightning.commands.{command.replace('-', '_')}")
