"""Several training processes that `torchrun` has started, or one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

from cosense.detectors.device import usable_device

# The others wait this long for the first process to fill the cache.
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is, and the device that it computes on."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the mean of all their gradients; a parameter without one counts as zero."""
        if self.count == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        # One message: the networks are small, what costs is the number of messages.
        flat = torch.cat([gradient.flatten() for gradient in gradients]) / self.count
        distributed.all_reduce(flat)
        for parameter, gradient, part in zip(
            trained, gradients, flat.split([p.numel() for p in trained]), strict=True
        ):
            parameter.grad = gradient.copy_(part.view_as(gradient))

    def agree(self, value: float) -> float:
        """Return the first process's value in all of them: clocks differ, learning rates must not."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(shared, src=0)
        return float(shared.item())

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Let the first process through the block before the others: it fills the cache for all of them."""
        if not self.is_first:
            self.agree(0.0)
        yield
        if self.is_first:
            self.agree(0.0)


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun announces in the environment; alone where there is none."""
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if count == 1:
        yield Processes(0, 1, usable_device(device))
        return
    on_gpu = device.startswith("cuda")
    local = usable_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if on_gpu else device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(rank, count, local)
    finally:
        distributed.destroy_process_group()
