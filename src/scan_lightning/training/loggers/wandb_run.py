"""A run in Weights & Biases: one run a folder, resumed into itself, offline when there is no account.

Lightning's own WandbLogger is not used: it passes wandb a parameter that wandb has withdrawn (`anonymous`),
defines a step axis of its own, refuses checkpoints offline, and never closes the run.
"""

from __future__ import annotations

import netrc
import os
import shlex
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger

from scan_lightning.errors import ScanError
from scan_lightning.quiet import quiet

if TYPE_CHECKING:
    from wandb import Run

ID_FILE = "wandb-id.txt"
OFFLINE = ("offline", "dryrun")


class WandbRun(Logger):
    """Sends what Lightning logs to one wandb run.

    The run opens on first use and closes when training ends, however it ends. Rows carry the optimizer step;
    what is measured once an epoch (`val/...`, `panel/...`) is drawn against `epoch`.

    Args:
        run_dir: wandb's files go below it, the run's id into its wandb-id.txt
        project: wandb project; null: WANDB_PROJECT, or scan-lightning
        entity: wandb team; null: WANDB_ENTITY, or the account's own
        name: shown name of the run; null: WANDB_NAME, or that of the folder
        group: what wandb groups runs by; null: WANDB_RUN_GROUP, or the sweep
        tags: labels
        log_checkpoints: upload best.ckpt and last.ckpt as an artifact when training ends
        config: the resolved configuration; `train` gives it
        resumed: go on in the run whose id the folder keeps; `train` gives it
    """

    def __init__(
        self,
        run_dir: str | Path,
        *,
        project: str | None = None,
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        log_checkpoints: bool = False,
        config: Mapping[str, Any] | None = None,
        resumed: bool = False,
    ) -> None:
        super().__init__()
        self._folder = Path(run_dir).absolute()
        self._project = project or os.environ.get("WANDB_PROJECT") or "scan-lightning"
        self._entity, self._tags = entity, tags
        self._name = name or os.environ.get("WANDB_NAME") or self._folder.name
        self.group = group or os.environ.get("WANDB_RUN_GROUP")
        self.config, self.resumed = dict(config or {}), resumed
        self._log_checkpoints = log_checkpoints
        self._run: Run | None = None
        self._checkpoints: dict[str, ModelCheckpoint] = {}

    @property
    def name(self) -> str:
        """The project's name; Lightning calls it so."""
        return self._project

    @property
    def version(self) -> str | None:
        """The wandb run's id, once there is one."""
        file = self._folder / ID_FILE
        return file.read_text().strip() if file.exists() else None

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self._folder)

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The open wandb run; on other ranks something that ignores every call."""
        if self._run is None:
            self._run = self._open()
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Log the module's hyperparameters, where the run was opened without a resolved configuration."""
        if not self.config and isinstance(params, Mapping):
            self.experiment.config.update(dict(params), allow_val_change=True)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log a row.

        Args:
            metrics: series, or wandb media.
            step: the optimizer step, as the module logs it. Rows before the run's own are left out: a run
                resumed from an older checkpoint repeats them exactly.
        """
        run = self.experiment
        if step is None:
            run.log(dict(metrics))
        elif step >= run.step:
            run.log({**metrics, "step": step}, step=step)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Note the best validation, and what to upload: the files go once, when training ends."""
        self._checkpoints[checkpoint_callback.state_key] = checkpoint_callback
        if self._run is not None and checkpoint_callback.best_model_score is not None:
            self._run.summary["best/rsum"] = float(checkpoint_callback.best_model_score)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the run; Lightning calls this when training ends, is interrupted or fails."""
        if self._run is None:
            return
        run, self._run = self._run, None
        try:
            if self._log_checkpoints and self._checkpoints:
                self._upload(run)
        finally:
            run.finish(exit_code=0 if status == "success" else 1)
        if run.settings.mode in OFFLINE:
            print(f"to upload this run to Weights & Biases: {self.upload_command()}", flush=True)

    def upload_command(self) -> str:
        """Return the command that uploads what was logged offline, all parts of a resumed run in order."""
        parts = sorted((self._folder / "wandb").glob(f"offline-run-*-{self.version}*"))
        return shlex.join(["wandb", "sync", *map(_short, parts)])

    def _open(self) -> Run:
        import wandb

        self._folder.mkdir(parents=True, exist_ok=True)
        identity = self._run_id()
        try:
            run = wandb.init(
                dir=self._folder,
                project=self._project,
                entity=self._entity,
                name=self._name,
                group=self.group,
                tags=self._tags or None,
                job_type="train",
                config=self.config,
                id=identity,
                resume="allow",
                mode=_mode(),
                # Captured console output would be mostly redrawn progress bars.
                settings=wandb.Settings(console="off", quiet=True, silent=quiet()),
            )
        except wandb.Error as error:
            raise ScanError(
                f"logger=wandb: the run could not be opened ({error}); log in with `wandb login`, "
                "or set WANDB_MODE=offline and upload later"
            ) from error
        (self._folder / ID_FILE).write_text(f"{identity}\n")
        self.resumed = True  # opened again, by whoever logs after training, it is the same run
        run.define_metric("epoch")
        run.define_metric("step")
        run.define_metric("train/*", step_metric="step")
        run.define_metric("val/*", step_metric="epoch")
        run.define_metric("panel/*", step_metric="epoch")
        return run

    def _run_id(self) -> str:
        file = self._folder / ID_FILE
        if self.resumed and file.exists():
            return file.read_text().strip()
        return uuid.uuid4().hex[:8]

    def _upload(self, run: Run) -> None:
        import wandb

        callbacks = self._checkpoints.values()
        scores = [float(c.best_model_score) for c in callbacks if c.best_model_score is not None]
        artifact = wandb.Artifact(
            f"model-{run.id}", type="model", metadata={"val/rsum": max(scores, default=None)}
        )
        for path in sorted({path for c in callbacks for path in (c.best_model_path, c.last_model_path)}):
            if path and Path(path).exists():
                artifact.add_file(path, name=Path(path).name)
        run.log_artifact(artifact)


def _mode() -> Literal["offline"] | None:
    """Return wandb's mode: the user's choice, else offline where no credentials are found."""
    import wandb

    settings = wandb.setup().settings
    chosen = "WANDB_MODE" in os.environ or settings.mode != "online"
    return None if chosen or _has_credentials(settings.base_url) else "offline"


def _has_credentials(base_url: str) -> bool:
    """Whether wandb would find a key without asking; asking would stop a run that nobody watches.

    `wandb.login(prompt=False)` answers the same question, but calls the server, which may be out of reach.
    """
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        logins = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return False
    # The service has changed its address; wandb takes keys stored under the old one for the default server.
    hosts = {urlsplit(base_url).netloc} | (set() if "WANDB_BASE_URL" in os.environ else {"api.wandb.ai"})
    return any(logins.authenticators(host) is not None for host in hosts)


def _short(path: Path) -> str:
    """The path as seen from the current folder, when it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def sweep_name() -> str | None:
    """Return the name of this job's sweep, that of its parent folder, or None for a single run."""
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        return Path(HydraConfig.get().sweep.dir).name
    return None
