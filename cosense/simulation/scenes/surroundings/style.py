"""How a place is built up and furnished, from fields to an old town."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cosense.simulation.chance import draw


@dataclass(frozen=True)
class Style:
    """How a place is built up and furnished.

    Attributes:
        built_up: share of the frontage with houses, 0..1.
        set_back_m: smallest and largest distance between walkway and front of a house.
        floors: smallest and largest number of floors.
        shops: share of houses whose ground floor is a shop.
        halls: share of houses that are halls, garages or sheds.
        walls: share of plots that a wall, fence or hedge closes.
        barriers: kinds of barriers in this place (see barriers.py).
        plots: weights of what fills plots without a house (see plots.py).
        tree_gap_m: mean distance of trees along a walkway, 0 for no trees.
        furniture: things that stand on each metre of a walkway.
        strips: share of kerbs along which plants grow.
        plenty: how densely plots are filled, about 1.
        parapet: whether a low concrete wall, a rail or a railing follows the outer edges of the walkways.
        parked: share of the parking strips that is in use.
    """

    built_up: float
    set_back_m: tuple[float, float]
    floors: tuple[int, int]
    shops: float
    halls: float
    walls: float
    barriers: tuple[str, ...]
    plots: dict[str, float]
    tree_gap_m: float
    furniture: float
    strips: float
    plenty: float
    parapet: bool
    parked: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, density: float) -> Style:
        """Draw a style; `density` says whether it is rather rural (0), a suburb, or an old town (1)."""
        near = {name: float(np.exp(-(((density - _CENTRE[name]) / 0.22) ** 2))) for name in _PLACES}
        place = _PLACES[draw(near, rng)]
        kinds = rng.permutation(place.barriers)[: rng.integers(2, 5)]
        return replace(
            place,
            built_up=float(np.clip(place.built_up + rng.normal(0, 0.08), 0.0, 0.97)),
            set_back_m=(0.1, 0.2 + float(rng.uniform(0.3, 1.0)) * place.set_back_m[1]),
            floors=(place.floors[0], int(rng.integers(place.floors[0] + 1, place.floors[1] + 2))),
            walls=float(rng.uniform(0.3, 1.0)),
            barriers=tuple(str(kind) for kind in kinds),
            tree_gap_m=float(rng.uniform(0.5, 2.0)) * place.tree_gap_m if rng.random() < 0.8 else 0.0,
            furniture=place.furniture * float(rng.uniform(0.4, 2.4)),
            strips=place.strips * float(rng.uniform(0.0, 2.0)),
            plenty=float(rng.uniform(0.5, 1.7)),
            parapet=bool(rng.random() < 0.15),
            parked=float(rng.uniform(0.35, 0.9)),
        )


_GARDEN = ("hedge", "hedge", "wall", "bars", "picket", "wire", "planks", "gabion")
_TOWN = ("wall", "hedge", "bars", "hoarding", "railing")

_PLACES = {
    "fields": Style(
        built_up=0.08,
        set_back_m=(0.1, 12.0),
        floors=(1, 2),
        shops=0.0,
        halls=0.5,
        walls=0.5,
        barriers=("hedge", "planks", "wire", "guard_rail", "wall"),
        plots={"field": 5, "green": 2, "wood": 2, "yard": 0.5, "garden": 0.5},
        tree_gap_m=13.0,
        furniture=0.04,
        strips=0.35,
        plenty=1.0,
        parapet=False,
        parked=0.5,
    ),
    "park": Style(
        built_up=0.12,
        set_back_m=(0.1, 12.0),
        floors=(1, 3),
        shops=0.1,
        halls=0.2,
        walls=0.5,
        barriers=("hedge", "hedge", "bars", "wall", "railing", "wire"),
        plots={"green": 5, "play": 2, "wood": 2, "square": 1},
        tree_gap_m=7.0,
        furniture=0.12,
        strips=0.3,
        plenty=1.0,
        parapet=False,
        parked=0.5,
    ),
    "suburb": Style(
        built_up=0.55,
        set_back_m=(0.1, 9.0),
        floors=(1, 2),
        shops=0.05,
        halls=0.12,
        walls=0.8,
        barriers=_GARDEN,
        plots={"garden": 6, "green": 2, "play": 1, "site": 0.5, "field": 0.5},
        tree_gap_m=7.5,
        furniture=0.12,
        strips=0.2,
        plenty=1.0,
        parapet=False,
        parked=0.5,
    ),
    "works": Style(
        built_up=0.5,
        set_back_m=(0.1, 10.0),
        floors=(1, 3),
        shops=0.1,
        halls=0.8,
        walls=0.8,
        barriers=("wire", "bars", "wall", "hoarding", "jersey", "noise_wall", "guard_rail", "hedge"),
        plots={"yard": 5, "site": 2, "green": 2, "field": 1},
        tree_gap_m=13.0,
        furniture=0.3,
        strips=0.25,
        plenty=1.0,
        parapet=False,
        parked=0.5,
    ),
    "blocks": Style(
        built_up=0.72,
        set_back_m=(0.1, 6.0),
        floors=(2, 6),
        shops=0.2,
        halls=0.05,
        walls=0.7,
        barriers=("hedge", "hedge", "wall", "bars", "wire", "railing", "gabion"),
        plots={"garden": 3, "green": 3, "play": 2, "site": 1, "square": 1},
        tree_gap_m=7.0,
        furniture=0.3,
        strips=0.2,
        plenty=1.0,
        parapet=False,
        parked=0.5,
    ),
    "shopping": Style(
        built_up=0.78,
        set_back_m=(0.1, 3.5),
        floors=(1, 5),
        shops=0.85,
        halls=0.0,
        walls=0.5,
        barriers=_TOWN,
        plots={"square": 5, "site": 1, "green": 1},
        tree_gap_m=8.0,
        furniture=0.45,
        strips=0.08,
        plenty=1.0,
        parapet=False,
        parked=0.5,
    ),
    "old_town": Style(
        built_up=0.86,
        set_back_m=(0.1, 1.5),
        floors=(2, 5),
        shops=0.4,
        halls=0.02,
        walls=0.8,
        barriers=_TOWN,
        plots={"square": 3, "garden": 2, "site": 1, "green": 1},
        tree_gap_m=11.0,
        furniture=0.4,
        strips=0.05,
        plenty=1.0,
        parapet=False,
        parked=0.5,
    ),
}
# Where a kind of place lies between rural (0) and dense (1).
_CENTRE = {
    "fields": 0.1,
    "park": 0.3,
    "suburb": 0.45,
    "works": 0.5,
    "blocks": 0.72,
    "shopping": 0.85,
    "old_town": 1.0,
}
