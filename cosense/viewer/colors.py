"""The one palette: pictures, the HTML report and the RViz markers show the same thing in the same colour.

A colour has one meaning, wherever it is. All are made for a dark background, and those that meet can be
distinguished with the common colour-vision deficiencies (lightened from Okabe and Ito, 2008). In `OUTCOMES`
the line differs as well: what was missed is dashed, a false alarm is crossed out.
"""

from __future__ import annotations

from collections.abc import Iterable

from cosense.sensing.detections import Source

# The first is the ego's; if there are more agents than colours, the others are used in turn.
AGENTS = ("#56B4E9", "#D58BB8", "#E8DF5A", "#6FD0B4", "#B9A3F2", "#C9A27E")
SOURCES = {
    Source.EGO: "#56B4E9",
    Source.LATE: "#F5A02C",
    Source.FUSED: "#2FD08F",
    Source.UNCONFIRMED: "#FFC9B5",
}
SOURCE_NAMES = {
    Source.EGO: "detected by the ego",
    Source.LATE: "received as a box",
    Source.FUSED: "fused",
    Source.UNCONFIRMED: "not confirmed",
}
# Of an agent by itself, and of the words beside boxes.
ALONE, LABELS = "detected alone", "labels"
GROUND_TRUTH = "#FFFFFF"
AGREEMENT = SOURCES[Source.FUSED]  # what joins things that two agents have in common
OUTCOMES = {"found": "#A9BCCB", "added": "#B8F53D", "missed": "#FF5C4D", "false": "#F062E6"}
OUTCOME_NAMES = {
    "found": "found",
    "added": "found only together",
    "missed": "missed",
    "false": "false alarm",
}

BACKGROUND = "#0B0F14"
SEEN_BY_EGO = "#17263A"
SEEN_BY_OTHERS = "#3B2828"
SEEN_BY_NOBODY = "#0B0F14"
HATCH = "#1C242D"
FRAME = "#2B3640"
TEXT = "#DCE3EA"
MUTED = "#7F8C99"

ALL = (
    *(BACKGROUND, SEEN_BY_EGO, SEEN_BY_OTHERS, HATCH, FRAME, TEXT, MUTED, GROUND_TRUTH),
    *dict.fromkeys([*AGENTS, *SOURCES.values(), *OUTCOMES.values()]),
)


def agent_colors(agent_ids: Iterable[str]) -> dict[str, str]:
    """Return the colour of each agent; the ego is the first of `agent_ids`."""
    shared = AGENTS[1:]
    return {
        agent_id: AGENTS[0] if index == 0 else shared[(index - 1) % len(shared)]
        for index, agent_id in enumerate(agent_ids)
    }


def rgba(color: str, alpha: float = 1.0) -> tuple[float, float, float, float]:
    """Return "#RRGGBB" as four numbers in [0, 1], the form of matplotlib and std_msgs/ColorRGBA."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue, alpha
