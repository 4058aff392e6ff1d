"""300 stores changed at random: each works or is one ScanError, without a hang or much memory."""

import contextlib
import io
import os
import random
import resource
import signal
import traceback
from pathlib import Path

import h5py
import numpy as np
import pytest
from rich.console import Console
from store_help import make_records, write

from scan_lightning.data.check import check_store
from scan_lightning.data.format import ATTRIBUTES, DATASETS
from scan_lightning.data.show import summary
from scan_lightning.data.store import Store
from scan_lightning.errors import ScanError

CASES, SECONDS, MEMORY = 300, 20, 1 << 30
ODD = [0, 1, 255, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]
SHAPES = [(), (0,), (3,), (30,), (31,), (82,), (83,), (30, 2), (1 << 40,), (1 << 30, 1 << 30)]
TYPES = [
    "i1",
    "i4",
    "i8",
    ">i8",
    "f2",
    "f4",
    "f8",
    "S4",
    h5py.string_dtype(),
    h5py.ref_dtype,
    "V3",
    "?",
    "c8",
]


def _use(path: Path) -> None:
    """What every command does with a store."""
    store = Store(path)
    for split in store.splits:
        store.read_regions(store.image_rows(split))
        rows = store.caption_rows(split)
        store.caption_text(rows)
        store.caption_words(rows)
    store.boxes(0), store.gold_links, store.image_size(0), store.find_image(store.image_id(0))
    Console(file=io.StringIO()).print(summary(store))
    check_store(path, progress=False)


def _change_bytes(path: Path, generator: random.Random) -> str:
    raw = bytearray(path.read_bytes())
    kind, at = (
        generator.choice(["bits", "number", "zeros", "copy", "cut", "insert"]),
        generator.randrange(len(raw)),
    )
    if generator.random() < 0.5:  # among what is no feature and no padding
        at = generator.choice([index for index in range(4096, len(raw), 4) if any(raw[index : index + 4])])
    size = generator.choice([1, 4, 16, 200])
    if kind == "bits":
        for _ in range(size):
            raw[generator.randrange(len(raw))] ^= 1 << generator.randrange(8)
    elif kind == "number":
        raw[at : at + 8] = generator.choice(ODD).to_bytes(8, "little")
    elif kind == "zeros":
        raw[at : at + size] = bytes(size)
    elif kind == "copy":
        start = generator.randrange(len(raw))
        raw[at : at + size] = raw[start : start + size]
    elif kind == "cut":
        del raw[at:]
    else:
        raw[at:at] = generator.randbytes(size)
    path.write_bytes(raw)
    return f"{kind} of {size} at {at}"


def _change_structure(path: Path, generator: random.Random) -> str:
    name = generator.choice([*DATASETS, *ATTRIBUTES, *(f"checksum/{name}" for name in DATASETS)])
    shape, dtype, value = (generator.choice(options) for options in (SHAPES, TYPES, ODD))
    with h5py.File(path, "r+") as file:
        kind = generator.choice(["dataset", "values", "group", "link"])
        if name in ATTRIBUTES:
            one = generator.choice([value & 255, float("nan"), "x" * 10_000])
            file.attrs[name] = (
                one
                if value % 2
                else np.array([one] * 3, dtype=h5py.string_dtype() if isinstance(one, str) else None)
            )
        elif kind == "values" and file[name].dtype.kind in "if":
            rows = file[name][:]
            rows.reshape(-1)[generator.randrange(rows.size or 1) : generator.randrange(rows.size + 1)] = (
                value % 128
            )
            file[name][:] = rows
        else:
            del file[name]
            if kind == "dataset":
                file.create_dataset(name, shape, dtype)
            elif kind == "group":
                file.create_group(name)
            else:
                file[name] = generator.choice(
                    [h5py.SoftLink("/image/size"), h5py.ExternalLink(str(path), "/")]
                )
    return f"{kind} {name} {shape} {dtype} {value}"


def _result(path: Path) -> str:
    """How a store is used in a process of its own: "" or what went wrong."""
    here, there = os.pipe()
    child = os.fork()
    if not child:
        try:
            signal.alarm(SECONDS)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
            with contextlib.suppress(ScanError):
                _use(path)
        except BaseException:
            os.write(there, traceback.format_exc()[-3000:].encode())
        finally:
            os._exit(0)
    os.close(there)
    with os.fdopen(here) as pipe:
        text = pipe.read()
    status = os.waitpid(child, 0)[1]
    return text or (f"ended by signal {status}" if status else "")


@pytest.mark.slow
@pytest.mark.fault("300 stores changed at random", "each works or is refused in one message")
def test_a_store_changed_at_random_works_or_is_one_message(tmp_path: Path) -> None:
    records = make_records()
    records[0] = type(records[0])(
        **vars(records[0]) | {"links": [(0, records[0].captions[0].index("word"), 0)]}
    )
    original, path = write(tmp_path / "original.h5", records), tmp_path / "s.h5"
    wrong = []
    for seed in range(CASES):
        generator = random.Random(seed)
        path.write_bytes(original.read_bytes())
        change = _change_structure if seed % 3 == 0 else _change_bytes
        what = change(path, generator)
        if result := _result(path):
            wrong.append(f"seed {seed}, {what}: {result}")
    assert not wrong, f"{len(wrong)} of {CASES}:\n" + "\n".join(wrong[:9])
