"""Raw scores of chosen pairs and their gradient: the only two places where pairs meet the dimension D.

On the CPU the words of all captions paired with an image are multiplied by its regions at once, without
gathering a region or multiplying a padding word. Elsewhere a batched product of padded copies launches less.

Shape legend: P pairs, R regions, W words, D dimension, N packed word rows of all pairs.
"""

import torch
from torch import Tensor

from scan_lightning.similarity.inputs import real_positions, silence


class PairList:
    """Pairs sorted by image, and where their words lie when packed.

    Attributes:
        images, captions: (P,) int64 on the device.
        region_counts, word_counts: (P,) int64 on the CPU.
        real_PR, real_PW: bool masks on the device; None: no padding.
    """

    def __init__(
        self,
        images: Tensor,
        captions: Tensor,
        region_counts: Tensor,
        word_counts: Tensor,
        device: torch.device,
    ) -> None:
        self.region_counts, self.word_counts = region_counts[images], word_counts[captions]
        self.longest_R, self.longest_W = int(self.region_counts.max()), int(self.word_counts.max())
        self.real_PR = real_positions(self.region_counts, self.longest_R, device)
        self.real_PW = real_positions(self.word_counts, self.longest_W, device)
        self.images, self.captions = images.to(device), captions.to(device)
        self._device = device
        if device.type == "cpu":
            pair_N = torch.arange(len(images)).repeat_interleave(self.word_counts)
            ends = self.word_counts.cumsum(0)
            self._pair_N = pair_N
            self._position_N = torch.arange(len(pair_N)) - (ends - self.word_counts)[pair_N]
            self._caption_N = captions[pair_N]
            runs, first_pair = torch.unique_consecutive(images, return_inverse=True)
            rows = torch.zeros_like(runs).index_add_(0, first_pair, self.word_counts)
            self._runs = list(zip(runs.tolist(), region_counts[runs].tolist(), rows.tolist(), strict=True))

    def scores(self, regions: Tensor, words: Tensor, dtype: torch.dtype) -> Tensor:
        """Raw scores (P, W, R), zero at padding."""
        if self._device.type != "cpu":
            return self._words(words, dtype) @ self._regions(regions, dtype).mT
        words_ND = self._packed(words, dtype)
        scores_NR = words_ND.new_zeros(len(words_ND), self.longest_R)
        start = 0
        for image, count, rows in self._runs:
            regions_RD = regions[image, :count].to(dtype)
            torch.mm(
                words_ND[start : start + rows], regions_RD.T, out=scores_NR[start : start + rows, :count]
            )
            start += rows
        scores_PWR = words_ND.new_zeros(len(self.images), self.longest_W, self.longest_R)
        scores_PWR[self._pair_N, self._position_N] = scores_NR
        return scores_PWR

    def add_gradients(
        self, grad_PWR: Tensor, regions: Tensor, words: Tensor, grad_regions: Tensor, grad_words: Tensor
    ) -> None:
        """Add to the batch's gradients what flows back through the scores.

        Args:
            grad_PWR: gradient of the scores, in the dtype of computation; zero at padding.
            regions, words: the batch's embeddings.
            grad_regions, grad_words: gradients of the batch, changed in place.
        """
        dtype = grad_PWR.dtype
        if self._device.type != "cpu":
            part = grad_words[:, : self.longest_W]
            part.index_add_(0, self.captions, grad_PWR @ self._regions(regions, dtype))
            part = grad_regions[:, : self.longest_R]
            part.index_add_(0, self.images, grad_PWR.mT @ self._words(words, dtype))
            return
        words_ND = self._packed(words, dtype)
        grad_NR = grad_PWR[self._pair_N, self._position_N]
        grad_ND = torch.empty_like(words_ND)
        start = 0
        for image, count, rows in self._runs:
            here = slice(start, start + rows)
            torch.mm(grad_NR[here, :count], regions[image, :count].to(dtype), out=grad_ND[here])
            grad_regions[image, :count].addmm_(grad_NR[here, :count].T, words_ND[here])
            start += rows
        row_N = self._caption_N * grad_words.shape[1] + self._position_N
        grad_words.view(-1, grad_words.shape[2]).index_add_(0, row_N, grad_ND)

    def _packed(self, words: Tensor, dtype: torch.dtype) -> Tensor:
        row_N = self._caption_N * words.shape[1] + self._position_N
        return (
            words.flatten(0, 1).index_select(0, row_N).to(dtype)
        )  # much faster than words[caption, position]

    def _regions(self, regions: Tensor, dtype: torch.dtype) -> Tensor:
        return silence(regions[self.images, : self.longest_R], self.real_PR, dtype)

    def _words(self, words: Tensor, dtype: torch.dtype) -> Tensor:
        return silence(words[self.captions, : self.longest_W], self.real_PW, dtype)
