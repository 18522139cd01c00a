from __future__ import annotations

import threading
import time

import pytest
import torch
from torch import nn

from cosense.detectors.forward_time import ForwardTime

SLEEP_S = 0.02


class Slow(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(SLEEP_S)
        return x


def test_parts_within_a_network_count_once_and_the_rest_of_the_program_not():
    network = nn.Sequential(Slow(), Slow())
    spent = ForwardTime([network])
    network(torch.zeros(1))
    time.sleep(5 * SLEEP_S)
    assert 2 * SLEEP_S * 1e3 <= spent.take_ms() < 4 * SLEEP_S * 1e3
    assert spent.take_ms() == 0


def test_a_part_that_is_called_alone_counts():
    network = nn.Sequential(Slow(), Slow())
    spent = ForwardTime([network])
    network[1](torch.zeros(1))
    assert SLEEP_S * 1e3 <= spent.take_ms() < 2 * SLEEP_S * 1e3


def test_threads_do_not_see_each_others_time():
    network = Slow()
    spent = ForwardTime([network])
    worker = threading.Thread(target=network, args=(torch.zeros(1),))
    worker.start()
    worker.join()
    assert spent.take_ms() == 0


def test_a_network_that_fails_leaves_the_clock_usable():
    class Picky(Slow):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.sum() > 0:
                raise ValueError("no")
            return super().forward(x)

    network = nn.Sequential(Picky())
    spent = ForwardTime([network])
    with pytest.raises(ValueError, match="no"):
        network(torch.ones(1))
    spent.take_ms()
    network(torch.zeros(1))
    assert spent.take_ms() >= SLEEP_S * 1e3
