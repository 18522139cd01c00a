"""Sparse convolutions on a processor are those of torch on a dense grid, with any number of threads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from cosense.detectors.spconv_library import load_spconv
from cosense.errors import CosenseError

SHAPE, CLOUDS, SITES = (9, 24, 20), 2, 1500
LAYERS = {
    "submanifold": ("SubMConv3d", {"kernel_size": 3, "padding": 1}),
    "half": ("SparseConv3d", {"kernel_size": 3, "stride": 2, "padding": 1}),
    "upwards": ("SparseConv3d", {"kernel_size": (3, 1, 1), "stride": (2, 1, 1)}),
}


@pytest.fixture(scope="module")
def spconv() -> Any:
    pytest.importorskip("spconv", reason="spconv is not installed: pip install 'cosense[spconv]'")
    return load_spconv()


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def sites(channels: int) -> tuple[Tensor, Tensor]:
    """Return indices (SITES,4) of two clouds, and features."""
    rng = torch.Generator().manual_seed(0)
    z, y, x = SHAPE
    flat = torch.randperm(CLOUDS * z * y * x, generator=rng)[:SITES]
    places = torch.stack([flat // (z * y * x), flat // (y * x) % z, flat // x % y, flat % x], dim=1)
    return places.int(), torch.randn(SITES, channels, generator=rng)


def dense(indices: Tensor, features: Tensor) -> Tensor:
    """Return (CLOUDS,C,z,y,x) that is zero where there is no site."""
    grid = torch.zeros(CLOUDS, *SHAPE, features.shape[1])
    return grid.index_put(tuple(indices.long().T), features).permute(0, 4, 1, 2, 3)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", LAYERS)
def test_they_are_dense_convolutions_forward_and_backward(
    spconv: Any, kind: str, bias: bool, training: bool
) -> None:
    name, settings = LAYERS[kind]
    torch.manual_seed(1)
    layer = getattr(spconv, name)(8, 12, bias=bias, **settings).train(training)
    indices, features = sites(8)
    mine, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    made = layer(spconv.SparseConvTensor(mine, indices, list(SHAPE), CLOUDS))
    weight = layer.weight.detach().permute(0, 4, 1, 2, 3).requires_grad_()
    geometry = {key: value for key, value in settings.items() if key != "kernel_size"}
    whole = torch.nn.functional.conv3d(dense(indices, theirs), weight, layer.bias, **geometry)
    wanted = whole.permute(0, 2, 3, 4, 1)[tuple(made.indices.long().T)]
    torch.testing.assert_close(made.features, wanted, rtol=1e-4, atol=1e-4)
    slope = torch.randn(wanted.shape)
    made.features.backward(slope)
    wanted.backward(slope)
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(layer.weight.grad.permute(0, 4, 1, 2, 3), weight.grad, rtol=1e-3, atol=1e-3)


def test_a_convolution_back_meets_its_sites_again(spconv: Any) -> None:
    torch.manual_seed(1)
    down = spconv.SparseConv3d(4, 4, 3, stride=2, padding=1, bias=False, indice_key="down")
    back = spconv.SparseInverseConv3d(4, 4, 3, indice_key="down", bias=False)
    indices, features = sites(4)
    x = spconv.SparseConvTensor(features, indices, list(SHAPE), CLOUDS)
    made = back(down(x))
    assert torch.equal(made.indices, indices)
    # The transposed matrix: (back, down) are adjoint where they have the same weights.
    back.weight.data = down.weight.data.transpose(0, 4).contiguous()
    with torch.no_grad():
        below = down(x)
        other = torch.randn(below.features.shape)
        lifted = back(below.replace_feature(other))
    left, right = (below.features * other).sum(), (features * lifted.features).sum()
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spconv.pytorch", None)
    with pytest.raises(CosenseError, match=r"sparse voxels need spconv.*cosense\[spconv\]"):
        load_spconv.__wrapped__()
