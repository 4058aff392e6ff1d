"""What each Hydra command takes at the top of its configuration.

Sections are nodes: mappings whose `_target_` names a class, the home of the section's options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from scan_lightning.options import Range

Node = Mapping[str, Any]
Threads = Annotated[int, Range(at_least=1)]


@dataclass
class Checkpointing:
    """When the state is saved besides the end of each epoch.

    Args:
        every_steps: also save last.ckpt every so many optimizer steps; 0: at the end of each epoch only
        keep: how many of the latest saves stay; best.ckpt stays anyway
    """

    every_steps: Annotated[int, Range(at_least=0)] = 0
    keep: Annotated[int, Range(at_least=1)] = 1


@dataclass
class EvaluationData:
    """The store that a model is evaluated on.

    Args:
        path: the store, made by `scan-lightning data build`
        workers: processes that read ahead, for each process of the run; 0: it reads by itself
    """

    path: str
    workers: Annotated[int, Range(at_least=0)] = 0


@dataclass
class TrainConfig:
    """Options of the run.

    Args:
        data: the store and its batches
        attention: the similarity of an image and a caption
        model: the encoders
        loss: of a batch
        optimizer: of the weights
        scheduler: of the learning rate
        trainer: Lightning's Trainer
        callbacks: more of Lightning's callbacks, each under a name
        logger: where the series go besides metrics.csv, each under a name
        checkpointing: when the state is saved
        run_dir: the run's folder; under -m the parent of one subfolder a job
        seed: of the first weights and the order of pairs
        resume: the checkpoint to resume from, or auto: run_dir's last.ckpt, from nothing where there is none
        init_from: a checkpoint whose weights the run starts with, for fine-tuning
        test_after: evaluate best.ckpt on the test split too, into run_dir/test
        threads: CPU threads of each process; null: the cores it may use
        trust: packages besides scan_lightning whose classes init_from may name
    """

    data: Node
    attention: Node
    model: Node
    loss: Node
    optimizer: Node
    scheduler: Node | None
    trainer: Node
    run_dir: str
    callbacks: Node = field(default_factory=dict)
    logger: Node = field(default_factory=dict)
    checkpointing: Checkpointing = field(default_factory=Checkpointing)
    seed: Annotated[int, Range(at_least=0, at_most=2**32 - 1)] = 0
    resume: str | None = None
    init_from: str | None = None
    test_after: bool = False
    threads: Threads | None = None
    trust: list[str] = field(default_factory=list)


@dataclass
class EvaluateConfig:
    """Options of the evaluation.

    Args:
        checkpoint: the model, with its own settings and text encoder
        data: the store
        trainer: Lightning's Trainer, of which the devices count
        run_dir: where results.json, results.csv and ranks.npz go; under -m one subfolder a job
        split: which part of the store
        folds: consecutive equal parts of the split's images, ranked apart and averaged; 5 for COCO 1K
        threads: CPU threads of each process; null: the cores it may use
        trust: packages besides scan_lightning whose classes the checkpoint may name
    """

    checkpoint: str
    data: EvaluationData
    trainer: Node
    run_dir: str
    split: Literal["train", "val", "test"] = "test"
    folds: Annotated[int, Range(at_least=1)] = 1
    threads: Threads | None = None
    trust: list[str] = field(default_factory=list)


@dataclass
class EnsembleConfig:
    """Options of the evaluation.

    Args:
        checkpoints: the models, each with its own settings and text encoder
        data: the store
        trainer: Lightning's Trainer, of which the devices count
        run_dir: where results.json, results.csv and ranks.npz go; under -m one subfolder a job
        weights: of each model in the average; []: all alike
        split: which part of the store
        folds: consecutive equal parts of the split's images, ranked apart and averaged; 5 for COCO 1K
        threads: CPU threads of each process; null: the cores it may use
        trust: packages besides scan_lightning whose classes the checkpoints may name
    """

    checkpoints: list[str]
    data: EvaluationData
    trainer: Node
    run_dir: str
    weights: list[Annotated[float, Range(above=0)]] = field(default_factory=list)
    split: Literal["train", "val", "test"] = "test"
    folds: Annotated[int, Range(at_least=1)] = 1
    threads: Threads | None = None
    trust: list[str] = field(default_factory=list)


def plain(config: TrainConfig | EvaluateConfig | EnsembleConfig) -> dict[str, Any]:
    """A config as nested plain values, for YAML, JSON and checkpoints."""
    return asdict(config)
