"""The wandb workspace as code: which sections and panels the dashboard of a project has.

Panels name the series that `logger=wandb` logs; a test compares the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from scan_lightning.errors import ScanError

NAME = "SCAN: recall, training, attention, sweep"
SWEPT = ("direction", "aggregation", "raw_norm", "smoothing", "lse_scale")
LOSS_SWEPT = ("loss.margin", "optimizer.lr")


@dataclass(frozen=True)
class Lines:
    """A line plot.

    Attributes:
        title: shown above it.
        series: what it draws.
        x: the axis, a series or one of wandb's own.
        pattern: draw every series that matches this regular expression instead.
        log: logarithmic y axis.
    """

    title: str
    series: tuple[str, ...] = ()
    x: str = "Step"
    pattern: str | None = None
    log: bool = False


def _recalls(direction: str) -> tuple[str, ...]:
    return tuple(f"val/{direction}/{name}" for name in ("r1", "r5", "r10"))


RECALL = (
    Lines("Sum of recalls", ("val/rsum",), x="epoch"),
    Lines("Image to text: recall at 1, 5, 10", _recalls("i2t"), x="epoch"),
    Lines("Text to image: recall at 1, 5, 10", _recalls("t2i"), x="epoch"),
    Lines("Median rank", ("val/i2t/medr", "val/t2i/medr"), x="epoch", log=True),
    Lines("Mean rank", ("val/i2t/meanr", "val/t2i/meanr"), x="epoch", log=True),
)
TRAINING = (
    Lines("Loss (sum over the batch)", ("train/loss",)),
    Lines("Learning rate", ("train/lr",), log=True),
    Lines("Gradient norm before clipping", ("train/grad_norm",), log=True),
    Lines("Pairs a step (effective batch)", ("train/pairs",)),
    Lines("Pairs a second", ("train/pairs_per_second",)),
    Lines("Memory (GiB)", ("train/memory_gib",)),
)
SINCE_START = "RelativeTime(Process)"
SYSTEM = (
    Lines("GPU in use (%)", pattern=r"system/gpu\.[0-9]+\.gpu$", x=SINCE_START),
    Lines("GPU memory in use (%)", pattern=r"system/gpu\.[0-9]+\.memoryAllocated$", x=SINCE_START),
    Lines("CPU in use (%)", ("system/cpu",), x=SINCE_START),
    Lines("Memory of the process (MB)", ("system/proc.memory.rssMB",), x=SINCE_START),
)
PICTURES = tuple(f"panel/attention/{number}" for number in range(4))
HARDEST = "panel/hardest"


def build_workspace(entity: str, project: str) -> Any:
    """Return the workspace of a project, not saved yet. Needs no login.

    Args:
        entity: wandb team or account.
        project: wandb project, `logger.wandb.project` of the runs.

    Raises:
        ScanError: wandb-workspaces is not installed.
    """
    if find_spec("wandb_workspaces") is None:
        raise ScanError(
            "dashboard: wandb-workspaces is not installed; "
            "install it with: pip install 'scan-lightning[workspaces]'"
        )
    panels = _panels()
    sections = [
        _section(
            "Recall",
            [*map(_line_plot, RECALL), panels.BarPlot(title="Best sum of recalls", metrics=["best/rsum"])],
        ),
        _section("Training", map(_line_plot, TRAINING)),
        _section(
            "Attention",
            [
                panels.MediaBrowser(
                    title="What each word looked at", media_keys=list(PICTURES), num_columns=2
                ),
                panels.WeavePanelSummaryTable(table_name=HARDEST),
            ],
            columns=1,
        ),
        _section("Sweep", _sweep_panels(), columns=1),
        _section("System", map(_line_plot, SYSTEM), is_open=False),
    ]
    workspace = _workspaces().Workspace(entity=entity, project=project, name=NAME, sections=sections)
    workspace._internal_runset_id = "scan-runs"
    return workspace


def workspace_json(entity: str, project: str) -> dict[str, Any]:
    """Return the workspace as wandb's app stores it, plain values, the same every time.

    Raises:
        ScanError: wandb-workspaces is not installed.
    """
    # There is no public way to see a workspace without saving it; this is the only place that looks inside.
    model = build_workspace(entity, project)._to_model()
    content: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return content


def save_workspace(entity: str, project: str) -> str:
    """Create the workspace in wandb and return its address.

    Raises:
        ScanError: wandb-workspaces is not installed, or wandb refuses, as without a login.
    """
    workspace = build_workspace(entity, project)
    try:
        workspace.save()
    except Exception as error:  # wandb raises whatever its transport does
        raise ScanError(
            f"dashboard: the workspace of {entity}/{project} could not be saved ({error}); log in with "
            "`wandb login`, check that the project exists, or see the content with --dry-run"
        ) from error
    return str(workspace.url)


def _section(name: str, content: Any, *, columns: int = 3, is_open: bool = True) -> Any:
    """A section whose panels have names of their own instead of wandb's random ones."""
    panels = list(content)
    for panel in panels:
        title = getattr(panel, "title", None) or type(panel).__name__
        panel._id = re.sub(r"[^a-z0-9]+", "-", f"scan {name} {title}".lower()).strip("-")
    rows = -(-len(panels) // columns)
    layout = _workspaces().SectionLayoutSettings(columns=columns, rows=rows)
    return _workspaces().Section(name=name, panels=panels, is_open=is_open, layout_settings=layout)


def _line_plot(lines: Lines) -> Any:
    return _panels().LinePlot(
        title=lines.title,
        x=lines.x,
        y=list(lines.series),
        metric_regex=lines.pattern,
        log_y=True if lines.log else None,
    )


def _sweep_panels() -> list[Any]:
    panels = _panels()
    column = panels.ParallelCoordinatesPlotColumn
    settings = [f"attention.{name}" for name in SWEPT] + list(LOSS_SWEPT)
    columns = [column(metric=panels.Config(name), display_name=name) for name in settings]
    columns.append(column(metric=panels.SummaryMetric("best/rsum"), display_name="best rsum"))
    return [
        panels.ParallelCoordinatesPlot(title="Settings and the best sum of recalls", columns=columns),
        panels.ParameterImportancePlot(with_respect_to="best/rsum"),
    ]


def _panels() -> Any:
    # Imported when used: an optional package, whose names the type check does not see.
    return import_module("wandb_workspaces.reports.v2")


def _workspaces() -> Any:
    return import_module("wandb_workspaces.workspaces")
