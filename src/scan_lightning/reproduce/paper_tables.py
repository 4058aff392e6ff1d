"""The tables that can be reproduced, as data: rows, ensembles, protocols, expected figures, files needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scan_lightning.errors import ScanError
from scan_lightning.reproduce.published import COCO, FLICKR30K, Recalls

MAIN = ("t2i_lse", "t2i_mean", "i2t_lse", "i2t_mean")
KAGGLE = (
    "the features that SCAN's authors released, on Kaggle: kuanghueilee/scan-features "
    "(https://www.kaggle.com/datasets/kuanghueilee/scan-features)"
)


@dataclass(frozen=True)
class Table:
    """A published table, or one made in its image; an ensemble is two rows joined by `+`."""

    name: str  # its row ROW is the recipe conf/experiment/NAME_ROW.yaml
    title: str
    target: str  # of the Makefile
    rows: tuple[str, ...]
    ensembles: tuple[str, ...]
    folds: dict[str, int]  # protocol -> parts of the test images whose recalls are averaged
    expected: dict[tuple[str, str], Recalls]  # (protocol, row or ensemble) -> figures to compare with
    folder: str  # of the data set, inside the download
    splits: tuple[str, ...]  # needed, by their released names
    source: str  # where to get the data, and how large it is
    released: str | None = None  # title of the released data set that it must be; None: any will do
    reference: str = "paper"  # whose figures the expected ones are
    ablations: tuple[str, ...] = ()  # rows run only when asked for by name, or `all`
    tolerance: float = 6.0  # points of rsum that count as reproduced; two seeds differ by a few
    overrides: tuple[str, ...] = ()  # what every row is trained with besides its recipe
    dry: bool = False  # the data is generated, the figures say nothing

    @property
    def names(self) -> list[str]:
        """Rows, ablations and ensembles, in the table's order."""
        return [*self.rows, *self.ablations, *self.ensembles]

    @property
    def files(self) -> list[str]:
        """Names of the files needed."""
        return [f"{split}_{ending}" for split in self.splits for ending in ("ims.npy", "caps.txt")]

    def chosen(self, only: Sequence[str]) -> list[str]:
        """The rows and ensembles to run.

        Args:
            only: names, or `all`; empty: all but the ablations.

        Raises:
            ScanError: a name that the table does not have.
        """
        unknown = [name for name in only if name not in (*self.names, "all")]
        if unknown:
            raise ScanError(
                f"only: {self.name} has no row {', '.join(unknown)}; "
                f"expected all, or some of {', '.join(self.names)}"
            )
        wanted = only or [*self.rows, *self.ensembles]
        return [name for name in self.names if name in wanted or "all" in wanted]


FLICKR30K_TABLE = Table(
    name="flickr30k",
    title="Flickr30K, 1,000 test images",
    target="reproduce-flickr",
    rows=MAIN,
    ablations=(
        *("no_hard_negatives", "image_not_normalized", "i2t_sum", "i2t_max", "one_directional_gru"),
        *("t2i_summax", "i2t_summax"),
    ),
    ensembles=("t2i_mean+i2t_lse",),
    folds={"1k": 1},
    expected=FLICKR30K,
    folder="f30k_precomp",
    splits=("train", "dev", "test"),
    source=f"{KAGGLE}; 9.2 GB (train_ims.npy alone 8.55 GB), and 4.6 GB for the store made of it",
    released="Flickr30K",
)
COCO_TABLE = Table(
    name="coco",
    title="MS-COCO, 5,000 test images",
    target="reproduce-coco",
    rows=MAIN,
    ensembles=("t2i_lse+i2t_mean", "t2i_mean+i2t_lse"),
    folds={"1k": 5, "5k": 1},
    expected=COCO,
    folder="coco_precomp",
    splits=("train", "dev", "testall"),
    source=f"{KAGGLE}; 36.4 GB (train_ims.npy alone 33.41 GB), and 18.2 GB for the store made of it",
    released="MS-COCO",
)
FLICKR8K_TABLE = Table(
    name="flickr8k",
    title="Flickr8K, 1,000 test images, at a size that two CPU cores train",
    target="reproduce-flickr8k",
    rows=(*MAIN, "no_hard_negatives", "t2i_summax", "i2t_summax"),
    ensembles=("t2i_mean+i2t_lse", "t2i_lse+i2t_mean"),
    folds={"1k": 1},
    # The released recipe at this size, implemented independently and run on the same files.
    expected={("1k", "t2i_mean"): Recalls((21.3, 47.8, 59.5), (15.7, 38.3, 51.0))},
    reference="another implementation",
    tolerance=12.0,
    folder="f8k_precomp",
    splits=("train", "dev", "test"),
    source="SCAN's authors released no features of Flickr8K: those of any detector will do, written in their "
    "layout (docs/reproduce.md says how); 36 regions of 2,048 for 8,000 images are 2.4 GB",
)
TABLES = {table.name: table for table in (FLICKR30K_TABLE, COCO_TABLE, FLICKR8K_TABLE)}
