"""Reads back what an offline wandb run wrote (the file's format is LevelDB's log format)."""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

FILE_HEADER, BLOCK, RECORD_HEADER = 7, 32768, 7


@dataclass
class OfflineRun:
    """The content of one `.wandb` file."""

    id: str = ""
    group: str = ""
    job_type: str = ""
    name: str = ""
    project: str = ""
    entity: str = ""
    resume: bool = False
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    axes: dict[str, str] = field(default_factory=dict)  # series or pattern -> its step series
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[str]] = field(default_factory=dict)  # name -> files
    exit_code: int | None = None

    def series(self, key: str) -> list[Any]:
        return [row[key] for row in self.rows if key in row]


def read(path: Path) -> OfflineRun:
    run = OfflineRun()
    for record in _records(path.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            item = record.run
            run.id, run.group, run.job_type = item.run_id, item.run_group, item.job_type
            run.name, run.project, run.entity = item.display_name, item.project, item.entity
            run.tags = list(item.tags)
            run.config.update({u.key: json.loads(u.value_json) for u in item.config.update})
        elif kind == "config":
            run.config.update({u.key: json.loads(u.value_json) for u in record.config.update})
        elif kind == "history":
            row: dict[str, Any] = {}
            for item in record.history.item:
                _put(row, item)
            run.rows.append(row)
        elif kind == "summary":
            for item in record.summary.update:
                _put(run.summary, item)
        elif kind == "metric":
            run.axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif kind == "artifact":
            files = [entry.path for entry in record.artifact.manifest.contents]
            run.artifacts[record.artifact.name] = files
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def read_all(run_dir: Path) -> list[OfflineRun]:
    """Every part of the run in `run_dir`, oldest first.

    wandb writes from a process of its own, which may still be at it when the run has been finished.
    """
    deadline = time.monotonic() + 60
    while True:
        parts = [read(path) for path in sorted((run_dir / "wandb").glob("offline-run-*/*.wandb"))]
        if time.monotonic() > deadline or all(part.exit_code is not None for part in parts):
            return parts
        time.sleep(0.1)


def _put(target: dict[str, Any], item: Any) -> None:
    """Media come as one item for each of their fields: nested_key (series, field)."""
    *outer, last = [item.key] if item.key else item.nested_key
    for key in outer:
        target = target.setdefault(key, {})
    target[last] = json.loads(item.value_json)


def _records(data: bytes) -> Iterator[Record]:
    assert data[:4] in (b":W&B", b"")
    position, pending = FILE_HEADER, b""
    while position + RECORD_HEADER <= len(data):
        room = BLOCK - position % BLOCK
        if room < RECORD_HEADER:
            position += room
            continue
        checksum, length, kind = struct.unpack_from("<IHB", data, position)
        if position + RECORD_HEADER + length > len(data):
            return
        piece = data[position + RECORD_HEADER : position + RECORD_HEADER + length]
        assert checksum == zlib.crc32(bytes([kind]) + piece)
        position += RECORD_HEADER + length
        pending += piece
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(pending)
            yield record
            pending = b""
