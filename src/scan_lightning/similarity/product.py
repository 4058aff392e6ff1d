"""The one large product behind the scores: by the faster of the two libraries that torch has on a CPU.

`@` goes to MKL on x86, which on processors of other makers leaves half of AVX-512 unused; oneDNN, to which
torch hands tensors made by `to_mkldnn`, uses all of it, at the price of copying one operand and the result.
"""

import torch
from torch import Tensor

WORTH_A_COPY = 2**26  # multiplications; below, the copies and a kernel made for a new shape cost what is won


def rows_times_rows(left_NK: Tensor, right_MK: Tensor) -> Tensor:
    """(N, M) inner products of all rows with all rows, in the operands' own precision. Differentiable.

    Args:
        left_NK: rows, floating.
        right_MK: rows of the same type on the same device.
    """
    if _by_onednn(left_NK, len(right_MK)):
        scores_NM: Tensor = torch.nn.functional.linear(left_NK.to_mkldnn(), right_MK).to_dense()
        return scores_NM
    return left_NK @ right_MK.T


def _by_onednn(left_NK: Tensor, columns: int) -> bool:
    return (
        left_NK.device.type == "cpu"
        and left_NK.dtype == torch.float32
        and left_NK.numel() * columns >= WORTH_A_COPY
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
    )
