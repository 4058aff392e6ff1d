"""Arithmetic that is chosen and never inherited from a global switch or from autocast."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from scan_lightning.similarity.product import rows_times_rows

PRODUCTS = ("fp32", "tf32", "bf16")


def check_product(product: str) -> None:
    """Refuse an unknown precision of the product.

    Raises:
        ValueError: not one of `PRODUCTS`.
    """
    if product not in PRODUCTS:
        raise ValueError(f"product must be one of {', '.join(PRODUCTS)}, not {product!r}")


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Norms, softmax, Gram matrices and pooling in the operands' own precision: no autocast, no TF32."""
    with torch.autocast(device_type=device.type, enabled=False), _fp32_products(tf32=False):
        yield


def scores_of(words_ND: Tensor, regions_XD: Tensor, product: str) -> Tensor:
    """Raw scores (N, X) of packed words and region rows.

    Args:
        words_ND: float32 or float64.
        regions_XD: the same type.
        product: `"fp32"`; `"tf32"`: NVIDIA tensor cores, 10 bits of mantissa (elsewhere as `"fp32"`);
            `"bf16"`: operands rounded to bfloat16, sums in float32. float64 is never rounded.

    Returns:
        Scores in the operands' type.
    """
    if product == "bf16" and words_ND.dtype == torch.float32:
        words_ND, regions_XD = words_ND.bfloat16(), regions_XD.bfloat16()
        if words_ND.is_cuda and hasattr(torch.ops.aten.mm, "dtype"):  # torch 2.8: sums kept in float32
            return torch.mm(words_ND, regions_XD.T, out_dtype=torch.float32)
        words_ND, regions_XD = words_ND.float(), regions_XD.float()  # the same numbers by a wider product
    with _fp32_products(tf32=product == "tf32"):
        return rows_times_rows(words_ND, regions_XD)


@contextmanager
def _fp32_products(tf32: bool) -> Iterator[None]:
    """float32 products of all libraries in TF32 or in full; the program's own setting comes back."""
    cuda: Any = torch.backends.cuda.matmul
    cpu: Any = getattr(torch.backends.mkldnn, "matmul", None)
    if not (hasattr(cuda, "fp32_precision") and hasattr(cpu, "fp32_precision")):  # torch < 2.9
        legacy = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(legacy)
        return
    before = cuda.fp32_precision, cpu.fp32_precision
    try:
        cuda.fp32_precision = "tf32" if tf32 else "ieee"
        cpu.fp32_precision = "ieee"
        yield
    finally:
        cuda.fp32_precision, cpu.fp32_precision = before
