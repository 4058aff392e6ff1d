"""`scan-lightning dashboard`: create the wandb workspace of a project."""

from __future__ import annotations

import argparse
import json

HELP = "create the wandb workspace of a project: recall, training, attention, sweep"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--entity", required=True, help="wandb team or account that owns the project")
    add("--project", required=True, help="wandb project, logger.wandb.project of the runs")
    dry_run = "print the workspace as JSON, without a login, and create nothing"
    add("--dry-run", action="store_true", help=dry_run)


def run(args: argparse.Namespace) -> int:
    """Create the workspace, or print it."""
    from scan_lightning.report.workspace import save_workspace, workspace_json

    if args.dry_run:
        print(json.dumps(workspace_json(args.entity, args.project), indent=2))
    else:
        print(save_workspace(args.entity, args.project))
    return 0
