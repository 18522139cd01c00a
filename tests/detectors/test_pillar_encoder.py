"""The pillar encoder gives the same numbers in every process."""

from __future__ import annotations

import numpy as np

from cosense.detectors.pillar_encoder import PillarEncoder


def test_logarithms_of_counts_are_exact_and_no_weights() -> None:
    encoder = PillarEncoder(8, 0.4)
    counts = np.array([1, 2, 3, 100, 4095])
    np.testing.assert_array_equal(encoder.log_of_count[counts].numpy(), np.log(counts).astype(np.float32))
    assert "log_of_count" not in encoder.state_dict()
