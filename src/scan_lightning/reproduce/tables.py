"""The tables that can be reproduced, as data: rows, ensembles, protocols, expected figures, files needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scan_lightning.errors import ScanError
from scan_lightning.reproduce.published import COCO, FLICKR30K, Recalls

# Six recalls, one point each. Two seeds of one recipe differ by a few points of rsum.
TOLERANCE = 6.0


@dataclass(frozen=True)
class Row:
    """One model: a recipe of `conf/experiment/`."""

    name: str
    experiment: str
    ablation: bool = False  # trained only when asked for by name (or `all`)


@dataclass(frozen=True)
class Ensemble:
    """Models trained apart whose similarities are averaged."""

    members: tuple[str, str]  # names of rows

    @property
    def name(self) -> str:
        """The members' names, joined."""
        return "+".join(self.members)


@dataclass(frozen=True)
class Protocol:
    """How the test split is scored."""

    name: str
    title: str
    folds: int = 1


@dataclass(frozen=True)
class Needs:
    """The data set in the released layout: where it comes from, which files, how much of each.

    Args:
        folder: the data set's folder inside the download.
        splits: released split name -> images in it, None when any number will do.
        width: of a region feature, None for any.
        source: one sentence on where to get it.
        size: of the files and of the store made of them, in words.
    """

    folder: str
    splits: dict[str, int | None]
    width: int | None
    source: str
    size: str


@dataclass(frozen=True)
class Table:
    """A published table, or one made in its image.

    Args:
        name: folder below `experiments/`.
        target: the Makefile's target.
        expected: (protocol, row) -> figures to compare with.
        reference: whose figures these are.
        tolerance: points of rsum that count as reproduced.
        overrides: what every row is trained with besides its recipe (a dry run shrinks it).
        dry: the data is generated, the figures say nothing.
    """

    name: str
    title: str
    target: str
    rows: tuple[Row, ...]
    ensembles: tuple[Ensemble, ...]
    protocols: tuple[Protocol, ...]
    expected: dict[tuple[str, str], Recalls]
    reference: str
    needs: Needs
    tolerance: float = TOLERANCE
    overrides: tuple[str, ...] = field(default=())
    dry: bool = False

    @property
    def names(self) -> list[str]:
        """Rows and ensembles, in the table's order."""
        return [row.name for row in self.rows] + [ensemble.name for ensemble in self.ensembles]


MAIN = ("t2i_lse", "t2i_mean", "i2t_lse", "i2t_mean")
KAGGLE = (
    "The features that SCAN's authors released are on Kaggle, data set kuanghueilee/scan-features "
    "(https://www.kaggle.com/datasets/kuanghueilee/scan-features)"
)


def _rows(prefix: str, *ablations: str) -> tuple[Row, ...]:
    main = [Row(name, f"{prefix}_{name}") for name in MAIN]
    return (*main, *(Row(name, f"{prefix}_{name}", ablation=True) for name in ablations))


FLICKR30K_TABLE = Table(
    name="flickr30k",
    title="Flickr30K, 1,000 test images",
    target="reproduce-flickr",
    rows=_rows(
        "flickr30k",
        "no_hard_negatives",
        "image_not_normalized",
        "i2t_sum",
        "i2t_max",
        "one_directional_gru",
        "t2i_summax",
        "i2t_summax",
    ),
    ensembles=(Ensemble(("t2i_mean", "i2t_lse")),),
    protocols=(Protocol("1k", "all 1,000 test images"),),
    expected=FLICKR30K,
    reference="paper",
    needs=Needs(
        folder="f30k_precomp",
        splits={"train": 29_000, "dev": 1_014, "test": 1_000},
        width=2048,
        source=f"{KAGGLE}, folder f30k_precomp",
        size="9.2 GB (train_ims.npy alone 8.55 GB); the store made of it takes 4.6 GB more",
    ),
)

COCO_TABLE = Table(
    name="coco",
    title="MS-COCO, 5,000 test images",
    target="reproduce-coco",
    rows=_rows("coco"),
    ensembles=(Ensemble(("t2i_lse", "i2t_mean")), Ensemble(("t2i_mean", "i2t_lse"))),
    protocols=(
        Protocol("1k", "mean over five folds of 1,000 test images", folds=5),
        Protocol("5k", "all 5,000 test images at once"),
    ),
    expected=COCO,
    reference="paper",
    needs=Needs(
        folder="coco_precomp",
        splits={"train": 113_287, "dev": 5_000, "testall": 5_000},
        width=2048,
        source=f"{KAGGLE}, folder coco_precomp",
        size="36.4 GB (train_ims.npy alone 33.41 GB); the store made of it takes 18.2 GB more",
    ),
)

FLICKR8K_TABLE = Table(
    name="flickr8k",
    title="Flickr8K, 1,000 test images, at a size that two CPU cores train",
    target="reproduce-flickr8k",
    rows=(
        *_rows("flickr8k"),
        Row("no_hard_negatives", "flickr8k_no_hard_negatives"),
        Row("t2i_summax", "flickr8k_t2i_summax"),
        Row("i2t_summax", "flickr8k_i2t_summax"),
    ),
    ensembles=(Ensemble(("t2i_mean", "i2t_lse")), Ensemble(("t2i_lse", "i2t_mean"))),
    protocols=(Protocol("1k", "all test images"),),
    # The released recipe at this size, implemented independently and run on the same files.
    expected={("1k", "t2i_mean"): Recalls((21.3, 47.8, 59.5), (15.7, 38.3, 51.0))},
    reference="another implementation",
    tolerance=12.0,
    needs=Needs(
        folder="f8k_precomp",
        splits={"train": None, "dev": None, "test": None},
        width=None,
        source="Flickr8K is not among the features that SCAN's authors released: any detector's will do, "
        "written in their layout (docs/reproduce.md says how)",
        size="36 regions of 2,048 for 8,000 images are 2.4 GB",
    ),
)

TABLES = {table.name: table for table in (FLICKR30K_TABLE, COCO_TABLE, FLICKR8K_TABLE)}


def chosen(table: Table, only: Sequence[str]) -> list[str]:
    """The rows and ensembles to run.

    Args:
        table: which has them.
        only: names, or `all`; empty: all but the ablations on request.

    Raises:
        ScanError: a name the table does not have.
    """
    optional = {row.name for row in table.rows if row.ablation}
    if not only:
        return [name for name in table.names if name not in optional]
    if list(only) == ["all"]:
        return table.names
    unknown = [name for name in only if name not in table.names]
    if unknown:
        raise ScanError(
            f"only: {table.name} has no row {', '.join(unknown)}; "
            f"expected all, or some of {', '.join(table.names)}"
        )
    return list(only)
