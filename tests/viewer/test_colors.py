from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest

from cosense.sensing.detections import Source
from cosense.viewer import colors


def test_rgba_reads_hexadecimal() -> None:
    assert colors.rgba("#FF0033", 0.5) == pytest.approx((1.0, 0.0, 0.2, 0.5))


def test_agents_have_different_colours_and_the_ego_keeps_its_own() -> None:
    chosen = colors.agent_colors(["b", "a", "c"])
    assert chosen["b"] == colors.AGENTS[0]
    assert len(set(chosen.values())) == 3
    many = colors.agent_colors(str(i) for i in range(20))
    assert len(many) == 20
    assert list(many.values()).count(colors.AGENTS[0]) == 1


def test_every_source_has_a_colour_and_a_name() -> None:
    assert set(colors.SOURCES) == set(colors.SOURCE_NAMES) == set(Source)


# Linear-RGB matrices of full dichromacy (Viénot, Brettel and Mollon, 1999; Machado et al., 2009, severity 1).
DICHROMATS = {
    "none": np.eye(3).tolist(),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
}


GROUPS = {
    "agents": colors.AGENTS[:3],
    "sources": [*colors.SOURCES.values(), colors.GROUND_TRUTH],
    "outcomes": [*colors.OUTCOMES.values(), colors.GROUND_TRUTH],
}
GROUND = (colors.SEEN_BY_EGO, colors.SEEN_BY_OTHERS, colors.SEEN_BY_NOBODY)


@pytest.mark.parametrize("kind", DICHROMATS)
@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_colours_that_stand_beside_each_other_can_be_told_apart(kind: str, group: Iterable[str]) -> None:
    assert least_difference(kind, group) > 0.12


@pytest.mark.parametrize("kind", DICHROMATS)
def test_ground_that_only_others_see_can_be_told_from_that_of_the_ego(kind: str) -> None:
    """Kind: the dark colours of areas, which differed in red and green alone."""
    assert least_difference(kind, GROUND) > 0.06


def least_difference(kind: str, group: Iterable[str]) -> float:
    matrix = np.array(DICHROMATS[kind])
    linear = [np.array(colors.rgba(color)[:3]) ** 2.2 for color in group]
    seen = [np.clip(matrix @ color, 0, 1) ** (1 / 2.2) for color in linear]
    return min(float(np.abs(one - other).max()) for one, other in itertools.combinations(seen, 2))


def test_a_colour_has_one_meaning() -> None:
    """Kind: orange was a box that was received, and a false alarm."""
    meanings = [*colors.AGENTS, *colors.OUTCOMES.values(), colors.GROUND_TRUTH]
    meanings += [color for source, color in colors.SOURCES.items() if source != Source.EGO]
    assert colors.SOURCES[Source.EGO] == colors.AGENTS[0], "the ego has the same colour in all it does"
    assert least_difference("none", meanings) > 0.12


def test_everything_drawn_stands_out_from_the_darkest_and_the_brightest_ground() -> None:
    def luminance(color: str) -> float:
        return float(np.array(colors.rgba(color)[:3]) ** 2.2 @ [0.2126, 0.7152, 0.0722])

    drawn = [*colors.AGENTS, *colors.SOURCES.values(), *colors.OUTCOMES.values(), colors.GROUND_TRUTH]
    for ground in GROUND:
        assert min((luminance(c) + 0.05) / (luminance(ground) + 0.05) for c in drawn) > 4.5, "WCAG contrast"
