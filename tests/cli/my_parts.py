"""What a user brings: copied as a module into the working directory of a test."""

import json
from pathlib import Path
from typing import Annotated

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger

import scan_lightning as scan
from scan_lightning.model.encoders import GRUEncoder, LinearEncoder
from scan_lightning.options import Range


class Chan(scan.Similarity):
    def __init__(self, scale: float = 10.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, scores, regions, words):
        best = scores.masked_fill(~regions.mask[..., None, :], -torch.inf).amax(-1)
        return torch.logsumexp((self.scale * best).masked_fill(~words.mask, -torch.inf), -1) / self.scale


class Data(scan.ScanDataModule):
    def __init__(self, path: str, batch_size: int = 28, word_threshold: int = 1, seed: int = 0) -> None:
        super().__init__(path, batch_size, word_threshold=word_threshold, seed=seed)


class Model(scan.ScanModel):
    pass


class Regions(LinearEncoder):
    def __init__(self, feature_dim: int, embed_size: int, twice: bool = False) -> None:
        super().__init__(feature_dim, embed_size)
        self.factor = 2.0 if twice else 1.0

    def forward(self, regions, counts):
        return self.factor * super().forward(regions, counts)


class Words(GRUEncoder):
    def __init__(self, vocabulary, embed_size: int, width: int = 8) -> None:
        super().__init__(vocabulary, width, embed_size, bidirectional=False)


class Loss(scan.TripletLoss):
    def __init__(self, margin: Annotated[float, Range(above=0)] = 0.3) -> None:
        super().__init__(margin)


class Optimizer(torch.optim.SGD):
    def __init__(self, params, lr: float = 0.1, momentum: float = 0.5) -> None:
        super().__init__(params, lr, momentum)


class Schedule(torch.optim.lr_scheduler.ExponentialLR):
    def __init__(self, optimizer, factor: float = 0.5) -> None:
        super().__init__(optimizer, gamma=factor)


class Note(pl.Callback):
    """Writes a file at the end of training."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.path.write_text(f"{trainer.global_step} {Path.cwd()}")


class Broken(pl.Callback):
    def __init__(self, size: int = 3) -> None:
        raise RuntimeError(f"no callback of size {size}")


class Lines(Logger):
    """One JSON line for each call."""

    def __init__(self, folder: str, prefix: str = "lines") -> None:
        super().__init__()
        self.path = Path(folder) / f"{prefix}.jsonl"

    name = version = "lines"

    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        pass

    def log_metrics(self, metrics, step=None) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")


class Trainer(pl.Trainer):
    def __init__(self, max_epochs: int = 1, gradient_clip_val: float = 1.0, **others: object) -> None:
        super().__init__(max_epochs=max_epochs, gradient_clip_val=gradient_clip_val, **others)
