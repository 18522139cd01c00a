"""The curves of `cosense sweep`: which settings each of them compares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, get_args

from cosense.cooperation.kinds import (
    CORRECTED_KINDS,
    FEATURE_KINDS,
    FusionKind,
    check_fusion,
    default_registration,
)
from cosense.cooperation.offline import STAMP_TOLERANCE_NS
from cosense.errors import CosenseError, counted, nearest
from cosense.evaluation.attacks import ATTACKS, AttackName
from cosense.evaluation.runs.pose_noise import POSE_ERRORS, PoseErrorName
from cosense.evaluation.sweep.lockstep import Survey
from cosense.evaluation.sweep.point import Defence, Point
from cosense.methods.model import Model
from cosense.scene_graph.registrations import SCENE_GRAPH

Curve = Literal[
    "budget",
    "pose-noise",
    "pose-error",
    "delay",
    "loss",
    "burst",
    "rate",
    "range",
    "agents",
    "attack",
    "grid",
]
CURVES: tuple[Curve, ...] = get_args(Curve)
# The field of a point that a curve varies.
AXES: Mapping[Curve, str] = {
    "budget": "budget_bytes",
    "pose-noise": "pose_noise",
    "pose-error": "pose_error",
    "delay": "delay_ms",
    "loss": "loss",
    "burst": "burst",
    "rate": "rate_bytes_per_s",
    "range": "range_m",
    "agents": "agents",
    "attack": "attackers",
}
GRID_AXES = ("pose_noise", "delay_ms", "loss")
DEFAULT_BUDGET_BYTES = 2000
# The fraction of the messages that bursts take, however long they are.
BURST_LOSS = 0.3
USUAL_FUSIONS: Mapping[Curve, tuple[FusionKind, ...]] = {
    "budget": ("late", "intermediate", "hybrid"),
    "grid": ("hybrid",),
}

Value = float | int | str | None
_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")


@dataclass(frozen=True)
class Axis:
    """Values of one field of a point.

    Attributes:
        values: values where the user asks for no others.
        is_whole: whether only whole numbers make sense.
        low, high: least and largest value.
        may_be_none: whether "none" is a value too.
    """

    values: tuple[Value, ...]
    is_whole: bool = False
    low: float = 0.0
    high: float = float("inf")
    may_be_none: bool = False

    def read(self, text: str) -> Value:
        """Return the value that a user has written.

        Raises:
            ValueError: it is not a value; says what is expected.
        """
        if text == "none" and self.may_be_none:
            return None
        value = float(text) if _NUMBER.fullmatch(text) else float("nan")
        if not self.low <= value <= self.high or (self.is_whole and value != int(value)):
            kind = "whole numbers" if self.is_whole else "numbers"
            limits = (
                f"from {self.low:g} on" if self.high == float("inf") else f"{self.low:g} to {self.high:g}"
            )
            raise ValueError(f"expected {kind} {limits}" + (" or none" if self.may_be_none else ""))
        return int(value) if self.is_whole else value


@dataclass(frozen=True)
class Names:
    """Values of a field of a point that are names, or None.

    Attributes:
        values: all of them.
    """

    values: tuple[Value, ...]

    def read(self, text: str) -> Value:
        """Return the value that a user has written.

        Raises:
            ValueError: it is not a value; names the nearest.
        """
        known = {value or "none": value for value in self.values}
        if text not in known:
            raise ValueError(nearest(text, map(str, known)))
        return known[text]


FIELDS: Mapping[str, Axis | Names] = {
    "budget_bytes": Axis((300, 500, 1000, 2000, 5000, 10000, 20000, None), True, 1, may_be_none=True),
    "pose_noise": Axis((0.0, 0.2, 0.4, 0.6, 1.0)),
    "pose_error": Names((None, *POSE_ERRORS)),
    "delay_ms": Axis((0.0, 100.0, 200.0, 300.0, 500.0, 1000.0)),
    "loss": Axis((0.0, 0.1, 0.5, 0.9, 1.0), high=1.0),
    "burst": Axis((1.0, 2.0, 5.0, 10.0, 20.0), low=1.0),
    "rate_bytes_per_s": Axis((2000, 5000, 10000, 20000, 50000, 200000, 500000), True, 1),
    "range_m": Axis((10.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0), low=1.0),
    "agents": Axis((), True, 1),
    "attackers": Axis((), True),
}


def check_curve(name: str) -> Curve:
    """Return the curve with a name.

    Raises:
        CosenseError: there is no such curve; names the nearest.
    """
    for curve in CURVES:
        if curve == name:
            return curve
    raise CosenseError(f"unknown curve '{name}', {nearest(name, CURVES)}")


def read_values(curve: Curve, text: str | None, num_agents: int) -> dict[str, tuple[Value, ...]]:
    """Return the values of each field that a curve varies.

    Args:
        curve: name of the curve.
        text: values as "0,0.3" or "0 0.3", three such lists with "/" between them for "grid"; None for the
            usual ones.
        num_agents: largest number of agents in any frame.

    Raises:
        CosenseError: something that is no value of this field.
    """
    names = GRID_AXES if curve == "grid" else (AXES[curve],)
    if text is None:
        usual = {name: FIELDS[name].values for name in names}
        if curve == "agents":
            return {"agents": tuple(range(1, num_agents + 1))}
        return {"attackers": tuple(range(min(num_agents, 5)))} if curve == "attack" else usual
    lists = text.split("/")
    if len(lists) != len(names):
        raise CosenseError(
            f"--values '{text}': '{curve}' takes {len(names)} lists, of {', '.join(names)}"
            + (", as 0,0.2/0,100/0,0.5" if len(names) > 1 else "")
        )
    return {
        name: tuple(_read(part, name, text) for part in re.split(r"\s*,\s*|\s+", values.strip()))
        for name, values in zip(names, lists, strict=True)
    }


def points_of(
    curve: Curve,
    models: Mapping[str, Model],
    values: Mapping[str, Sequence[Value]],
    *,
    fusions: Sequence[FusionKind] = (),
    selections: Sequence[str] = (),
    registrations: Sequence[str] = (),
    budget_bytes: int | None = None,
    is_announced: bool = True,
    pose_error: PoseErrorName | None = None,
    attacks: Sequence[AttackName] = (),
    defences: Sequence[Defence] = (),
) -> list[Point]:
    """Return the settings of a curve, beginning with the ego alone for each model.

    Boxes alone and points have no budget: they are drawn at their own bytes.

    Args:
        curve: which one.
        models: models by name.
        values: of the fields that it varies, see `read_values`.
        fusions: kinds of fusion, each for the models that can do it; empty for those that are usual.
        selections: rules by which cells are chosen; empty for that of the model's method.
        registrations: how poses are corrected, each for the kinds of fusion that can use it; empty for the
            usual one.
        budget_bytes: limit of messages with features or with scene graphs beside them, where the curve does
            not vary it.
        is_announced: whether the covariances of poses include their noise.
        pose_error: error of the poses with a name, where the curve does not vary it.
        attacks: how those lie who do, for the curve "attack"; empty for all ways.
        defences: what the ego does about it; empty for what it does as a rule.

    Raises:
        CosenseError: a kind of fusion that none of the models is made for, or a rule or registration that
            none of the kinds of fusion has a use for.
    """
    for fusion in fusions:
        if not any(_can_do(fusion, model) for model in models.values()):
            check_fusion(fusion, next(iter(models.values())))
    lies = (attacks or ATTACKS) if curve == "attack" else (None,)
    points = []
    for name, model in models.items():
        points.append(Point(name, "none"))
        for fusion in fusions or USUAL_FUSIONS.get(curve, ("late", "hybrid")):
            if fusion == "none" or not _can_do(fusion, model):
                continue
            chosen = registrations if fusion in CORRECTED_KINDS else ()
            for registration in chosen or (default_registration(fusion),):
                start = Point(
                    name,
                    fusion,
                    loss=BURST_LOSS if curve == "burst" else 0.0,
                    registration=registration,
                    is_announced=is_announced,
                    pose_error=pose_error,
                )
                for attack, defence in product(lies, defences or (start.defence,)):
                    lied_to = replace(start, attack=attack, defence=defence)
                    points += _points(lied_to, curve, values, selections, budget_bytes)
    if selections and not any(point.selection for point in points):
        raise CosenseError(
            f"selection {', '.join(selections)}: nobody sends features in these settings; leave it out, or "
            f"add --fusion {' or '.join(FEATURE_KINDS)}"
        )
    corrected = [name for name in registrations if name != "none"]
    if corrected and not any(point.registration in corrected for point in points):
        raise CosenseError(
            f"registration {', '.join(corrected)}: no poses are corrected in these settings; leave it out, "
            f"or add --fusion {' or '.join(CORRECTED_KINDS)}"
        )
    return list(dict.fromkeys(points))


def applied(points: Sequence[Point], seen: Survey) -> list[str]:
    """Return a line for each value that is not applied as it was given."""
    notes = []
    period_ms = (seen.period_ns or 0) / 1e6
    for delay_ms in sorted({point.total_delay_ms for point in points}):
        age_ms = seen.applied_delay_ms(delay_ms)
        if abs(age_ms - delay_ms) > STAMP_TOLERANCE_NS / 1e6:
            notes.append(
                f"delay of {delay_ms:g} ms: a frame comes every {period_ms:g} ms, so messages are "
                f"{age_ms:g} ms old when they are fused"
            )
    most = max(seen.num_agents)
    for attackers in sorted({point.attackers for point in points if point.attackers >= most}):
        notes.append(f"attackers {attackers}: no frame has more than {counted(most - 1, 'sender')}, all lie")
    for agents in sorted({point.agents for point in points if point.agents and point.agents > most}):
        notes.append(f"agents {agents}: no frame has more than {most}, so all of them take part")
    return notes


def _points(
    point: Point,
    curve: Curve,
    values: Mapping[str, Sequence[Value]],
    selections: Sequence[str],
    budget_bytes: int | None,
) -> list[Point]:
    """Return all points of one model and kind of fusion."""
    fixed = None if curve == "budget" else budget_bytes
    # Boxes alone need no limit; with graphs beside them they get that of the others.
    starts = [replace(point, budget_bytes=fixed) if point.registration == SCENE_GRAPH else point]
    if point.fusion in FEATURE_KINDS:
        starts = [
            replace(point, selection=selection, budget_bytes=fixed) for selection in selections or (None,)
        ]
    elif curve == "budget":
        return starts
    settings = [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]
    points = [replace(start, **setting) for start in starts for setting in settings]  # type: ignore[arg-type]
    # Where nobody lies it is the same however they would.
    return [point if point.attackers else replace(point, attack=None) for point in points]


def _can_do(fusion: FusionKind, model: Model) -> bool:
    return fusion not in FEATURE_KINDS or model.method is not None


def _read(text: str, name: str, all_values: str) -> Value:
    try:
        return FIELDS[name].read(text)
    except ValueError as error:
        raise CosenseError(f"--values '{all_values}': '{text}' is no {name}: {error}") from None


def line_of(point: Point, several_models: bool) -> str:
    """Return the name of the line that a point is on."""
    parts = [point.model] if several_models else []
    parts.append("ego alone" if point.fusion == "none" else point.fusion)
    parts += [] if point.selection is None else [point.selection]
    parts += [] if point.registration == "none" else [point.registration]
    parts += [] if point.attack is None else [point.attack]
    parts += [] if point.defence == Point.defence else [f"defence {point.defence}"]
    return ", ".join(parts)
