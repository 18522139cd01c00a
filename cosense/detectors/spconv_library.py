"""spconv (sparse convolutions in 3D, github.com/traveller59/spconv), imported when it is needed and cured.

On a processor spconv (2.3.6 to 2.3.8, every wheel) is silently wrong with two or more threads: its
scatter-add shares a pointer to the current row between OpenMP threads, so that rows are lost or added
elsewhere, other ones in every call. Its wheel without CUDA cannot go backward at all ("not compiled with
CUDA"), and wheels with CUDA choose an algorithm for GPUs whatever the tensor lies on.

So for tensors on a processor the arithmetic of its layers is done here, with torch: for each offset of the
kernel the rows that it reads are gathered, multiplied and added to the rows that it writes. Which rows these
are is still found by spconv, whose search is right and fast. Tensors on a GPU take spconv's own way. The cure
is of the library, not of one network: every layer of spconv in the process has it, also those of others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from cosense.errors import CosenseError


@cache
def load_spconv() -> ModuleType:
    """Return `spconv.pytorch`, cured.

    Raises:
        CosenseError: it is not installed, or cannot be imported.
    """
    try:
        spconv = import_module("spconv.pytorch")
    except ModuleNotFoundError as error:
        if error.name not in ("spconv", "spconv.pytorch"):
            raise
        raise CosenseError(
            "sparse voxels need spconv, which is not installed: pip install 'cosense[spconv]', or for a GPU "
            "the wheel of its CUDA, e.g. spconv-cu126"
        ) from None
    except (ImportError, OSError) as error:
        raise CosenseError(
            f"spconv is installed but cannot be imported, install it again: {error}"
        ) from error
    _cure(spconv)
    return spconv


def _cure(spconv: ModuleType) -> None:
    """Let the layers of spconv compute with torch wherever a tensor is on a processor."""
    # Every tensor of spconv asks torch whether it is traced, by a name that torch warns of.
    logging.getLogger("torch.fx._symbolic_trace").addFilter(
        lambda record: "is_fx_tracing" not in record.getMessage()
    )
    functional = spconv.functional
    functional.indice_conv = _Replaced(functional.indice_conv, reads=0)
    functional.indice_inverse_conv = _Replaced(functional.indice_inverse_conv, reads=1)
    functional.indice_subm_conv = _Replaced(functional.indice_subm_conv, reads=0, keeps_sites=True)
    layer = import_module("spconv.pytorch.conv").SparseConvolutionBase
    forward, native = layer._conv_forward, spconv.ConvAlgo.Native

    def with_pairs_on_processors(self: Any, training: bool, x: Any, *given: Any, **named: Any) -> Any:
        chosen = self.algo
        self.algo = chosen if x.features.is_cuda else native
        try:
            return forward(self, training, x, *given, **named)
        finally:
            self.algo = chosen

    layer._conv_forward = with_pairs_on_processors


class _Replaced:
    """A function of `spconv.pytorch.functional`, with another one in its place on processors.

    Args:
        original: what GPUs go on with.
        reads: index of the input in a pair of rows; 1 for a convolution that goes back.
        keeps_sites: True for a submanifold convolution, which writes where it reads.
    """

    def __init__(self, original: Any, reads: int, keeps_sites: bool = False) -> None:
        self._original, self._reads, self._keeps_sites = original, reads, keeps_sites

    def __call__(
        self, features: Tensor, weight: Tensor, pairs: Tensor, counts: Tensor, rows: int, *more: Any
    ) -> Tensor:
        if features.is_cuda:
            result: Tensor = self._original(features, weight, pairs, counts, rows, *more)
            return result
        # (algorithm, timer, bias, …); in training a layer adds its bias itself and hands none over.
        bias = more[2] if len(more) > 2 else None
        ordered = pairs if self._reads == 0 else pairs.flip(0)
        made: Tensor = _SparseConvolution.apply(
            features, weight, ordered, tuple(counts.tolist()), rows, self._keeps_sites
        )
        return made if bias is None else made + bias


class _SparseConvolution(torch.autograd.Function):
    """Rows times the kernel's matrix of each offset, summed into the rows that this offset is paired with."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        pairs: Tensor,
        counts: tuple[int, ...],
        rows: int,
        keeps_sites: bool,
    ) -> Tensor:
        """Return (M,C_out).

        Args:
            features: (N,C_in).
            weight: (C_out,…,C_in), one matrix for each of K offsets.
            pairs: (2,K,L) int32, rows that each offset reads and writes; the first `counts` are filled.
            counts: K numbers of pairs.
            rows: M.
            keeps_sites: the offset in the middle, which has no pairs, reads and writes every row, and those
                behind it have as many pairs as their mirror images.
        """
        ctx.save_for_backward(features, weight, pairs)
        ctx.counts, ctx.keeps_sites = counts, keeps_sites
        matrices = _matrices(weight)
        if keeps_sites:
            out = features @ matrices[len(matrices) // 2].T
        else:
            out = features.new_zeros(rows, weight.shape[0])
        for offset, read, written in _each(pairs, counts, keeps_sites):
            out.index_add_(0, written, features.index_select(0, read) @ matrices[offset].T)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, pairs = ctx.saved_tensors
        (gradient,) = gradients
        matrices = _matrices(weight)
        of_features, of_matrices = torch.zeros_like(features), torch.zeros_like(matrices)
        if ctx.keeps_sites:
            middle = len(matrices) // 2
            of_features += gradient @ matrices[middle]
            of_matrices[middle] = gradient.T @ features
        for offset, read, written in _each(pairs, ctx.counts, ctx.keeps_sites):
            above = gradient.index_select(0, written)
            of_features.index_add_(0, read, above @ matrices[offset])
            of_matrices[offset] = above.T @ features.index_select(0, read)
        return of_features, of_matrices.transpose(0, 1).reshape(weight.shape), None, None, None, None


def _matrices(weight: Tensor) -> Tensor:
    """Return (K,C_out,C_in) of a kernel (C_out,…,C_in)."""
    return weight.reshape(weight.shape[0], -1, weight.shape[-1]).transpose(0, 1)


def _each(pairs: Tensor, counts: tuple[int, ...], keeps_sites: bool) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield each offset that connects rows, with those that it reads and writes; each is written once."""
    middle = len(counts) // 2
    for offset, count in enumerate(counts):
        if keeps_sites:
            count = 0 if offset == middle else counts[min(offset, len(counts) - 1 - offset)]
        if count:
            yield offset, pairs[0, offset, :count], pairs[1, offset, :count]
