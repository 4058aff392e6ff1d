"""The wandb workspace of a project, built from workspace.yaml.

Panels name the series that `logger=wandb` logs; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import yaml

from scan_lightning.errors import ScanError


def workspace_json(entity: str, project: str) -> dict[str, Any]:
    """Return the workspace as wandb's app stores it, plain values, the same every time; needs no login.

    Raises:
        ScanError: wandb-workspaces is not installed.
    """
    # There is no public way to see a workspace without saving it; this is the only use of a private name.
    model = _workspace(entity, project)._to_model()
    content: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return content


def save_workspace(entity: str, project: str) -> str:
    """Create the workspace in wandb and return its address.

    Raises:
        ScanError: wandb-workspaces is not installed, or wandb refuses, as without a login.
    """
    workspace = _workspace(entity, project)
    try:
        workspace.save()
    except Exception as error:  # wandb raises whatever its transport does
        raise ScanError(
            f"dashboard: the workspace of {entity}/{project} could not be saved ({error}); log in with "
            "`wandb login`, check that the project exists, or see the content with --dry-run"
        ) from error
    return str(workspace.url)


def _workspace(entity: str, project: str) -> Any:
    if find_spec("wandb_workspaces") is None:
        raise ScanError(
            "dashboard: wandb-workspaces is not installed; "
            "install it with: pip install 'scan-lightning[workspaces]'"
        )
    content = yaml.safe_load((files("scan_lightning.report") / "workspace.yaml").read_text(encoding="utf-8"))
    workspaces = import_module("wandb_workspaces.workspaces")
    sections = []
    for section in content["sections"]:
        name, columns = section["name"], section.get("columns", 3)
        panels = [_panel(name, panel) for panel in section["panels"]]
        layout = workspaces.SectionLayoutSettings(columns=columns, rows=-(-len(panels) // columns))
        settings = {"is_open": section.get("open", True), "layout_settings": layout}
        sections.append(workspaces.Section(name=name, panels=panels, **settings))
    workspace = workspaces.Workspace(entity=entity, project=project, name=content["name"], sections=sections)
    workspace._internal_runset_id = "scan-runs"
    return workspace


def _panel(section: str, options: Mapping[str, Any]) -> Any:
    reports = import_module("wandb_workspaces.reports.v2")
    arguments = dict(options)
    kind = arguments.pop("panel", "LinePlot")
    if kind == "LinePlot":
        arguments = {"y": [], "x": "Step", **arguments}
        arguments["metric_regex"] = arguments.pop("regex", None)
    if kind == "ParallelCoordinatesPlot":
        metrics = {name: reports.Config(name) for name in arguments.pop("config")}
        metrics |= {name: reports.SummaryMetric(key) for key, name in arguments.pop("summary").items()}
        column = reports.ParallelCoordinatesPlotColumn
        arguments["columns"] = [column(metric=metric, display_name=name) for name, metric in metrics.items()]
    panel = getattr(reports, kind)(**arguments)
    # A name of its own instead of wandb's random one.
    title = getattr(panel, "title", None) or kind
    panel._id = re.sub(r"[^a-z0-9]+", "-", f"scan {section} {title}".lower()).strip("-")
    return panel
