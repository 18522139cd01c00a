from __future__ import annotations

import pytest

from cosense.errors import counted


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [
        (1, "frame", "1 frame"),
        (2, "frame", "2 frames"),
        (0, "box", "0 boxes"),
        (2, "match", "2 matches"),
        (3, "entry", "3 entries"),
        (2, "way", "2 ways"),
        (1, "listed pair", "1 listed pair"),
        (2, "listed pair", "2 listed pairs"),
    ],
)
def test_one_is_singular_and_everything_else_plural(number, noun, expected):
    """Kind: "1 frames could not be read"."""
    assert counted(number, noun) == expected
