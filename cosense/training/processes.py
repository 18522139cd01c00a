"""Several training processes that `torchrun` has started, or one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from cosense.detectors.device import usable_device


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is, and the device that it computes on."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return a module that averages gradients over the processes."""
        if self.count == 1:
            return network
        return DistributedDataParallel(
            network, device_ids=[self.device] if self.device.type == "cuda" else None
        )

    def agree(self, value: float) -> float:
        """Return the first process's value in all of them: clocks differ, learning rates must not."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, src=0)
        return float(shared.item())

    def wait(self) -> None:
        """Return once every process has come here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun announces in the environment; alone where there is none."""
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if count == 1:
        yield Processes(0, 1, usable_device(device))
        return
    on_gpu = device.startswith("cuda")
    local = usable_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if on_gpu else device)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Processes(rank, count, local)
    finally:
        distributed.destroy_process_group()
