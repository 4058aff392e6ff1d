"""What the paper reports (Lee et al., ECCV 2018, Tables 1 to 4): recall at 1, 5 and 10 in percent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recalls:
    """Six recalls in percent."""

    i2t: tuple[float, float, float]  # R@1, R@5, R@10 of image-to-text
    t2i: tuple[float, float, float]

    @property
    def rsum(self) -> float:
        """The six recalls added."""
        return sum(self.i2t) + sum(self.t2i)


def _figures(text: str) -> Recalls:
    i2t, t2i = (tuple(float(word) for word in half.split()) for half in text.split("|"))
    return Recalls((i2t[0], i2t[1], i2t[2]), (t2i[0], t2i[1], t2i[2]))


# Keys: protocol, row. An ensemble is named after its two models.
FLICKR30K = {
    ("1k", "t2i_lse"): _figures("61.1 85.4 91.5 | 43.3 71.9 80.9"),
    ("1k", "t2i_mean"): _figures("61.8 87.5 93.7 | 45.8 74.4 83.0"),
    ("1k", "i2t_lse"): _figures("67.7 88.9 94.0 | 44.0 74.2 82.6"),
    ("1k", "i2t_mean"): _figures("67.9 89.0 94.4 | 43.9 74.2 82.8"),
    ("1k", "t2i_mean+i2t_lse"): _figures("67.4 90.3 95.8 | 48.6 77.7 85.2"),
    ("1k", "no_hard_negatives"): _figures("45.8 77.8 86.2 | 33.9 63.7 73.4"),
    ("1k", "image_not_normalized"): _figures("67.8 89.3 94.6 | 43.3 73.7 82.7"),
    ("1k", "i2t_sum"): _figures("63.9 89.0 93.9 | 45.0 73.1 82.0"),
    ("1k", "i2t_max"): _figures("59.7 83.9 90.8 | 43.3 72.0 80.9"),
    ("1k", "one_directional_gru"): _figures("63.6 87.7 93.7 | 43.2 73.1 82.3"),
    ("1k", "t2i_summax"): _figures("59.6 85.2 92.9 | 44.1 70.0 79.0"),
    ("1k", "i2t_summax"): _figures("56.7 83.5 89.7 | 36.8 65.6 74.9"),
}
COCO = {
    ("1k", "t2i_lse"): _figures("67.5 92.9 97.6 | 53.0 85.4 92.9"),
    ("1k", "t2i_mean"): _figures("70.9 94.5 97.8 | 56.4 87.0 93.9"),
    ("1k", "i2t_lse"): _figures("68.4 93.9 98.0 | 54.8 86.1 93.3"),
    ("1k", "i2t_mean"): _figures("69.2 93.2 97.5 | 54.4 86.0 93.6"),
    ("1k", "t2i_lse+i2t_mean"): _figures("72.7 94.8 98.4 | 58.8 88.4 94.8"),
    ("5k", "i2t_lse"): _figures("46.4 77.4 87.2 | 34.4 63.7 75.7"),
    ("5k", "t2i_mean+i2t_lse"): _figures("50.4 82.2 90.0 | 38.6 69.3 80.4"),
}
