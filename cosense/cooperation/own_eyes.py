"""The ego's own eyes have the last word: what others claim is held against what the ego sees itself.

No peer is asked for it and none is believed: a lie may be a well-formed message like any other, but it does
not change where the ego's rays went. In this order:

1. Claims, before anything is fused (`OwnEyes`). A box in whose core the ego sees nothing is dropped, and
   counts against its sender; so does one that is turned or sized otherwise than the box of the ego that it
   meets. What is like the ego's own speaks for its sender, as far as it is in the same place. By that a
   sender is *proven*, *doubted*, or a *stranger*, frame by frame and both ways. Where the ego has a box of
   its own nobody but a proven sender has a say, and not even that one says otherwise than a box of which the
   ego is sure. Where a proven sender has a box strangers have none, and where a stranger has one doubted
   senders have none. The features of a doubted one are not fused.
   What the frames say adds up to evidence (`cosense.trust.evidence`): who is *refused* by that is not used at
   all, until it is found honest again.
2. Candidates, after it (`held_back`). A box of the ego, however doubtful, or a second sender in another place
   confirm what is claimed. What nothing confirms stays believable, because that is what others are there
   for, but its score is capped and its source is UNCONFIRMED. Where the ego has looked and has found nothing,
   little of it is left.

That occupancy refutes fabricated boxes is from Zhang et al., "On Data Fabrication in Collaborative Vehicular
Perception" (USENIX Security 2024). There agents exchange maps of it; here the ego's own rays decide, so that
it takes no bytes and no second agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosense.cooperation.claims import DETECTED_M, Compared, are_alike, compare, look, meet, settled, strain
from cosense.cooperation.merge import IN_DOUBT_M
from cosense.errors import counted
from cosense.methods.base import Admitted
from cosense.sensing.detections import Detections, Source
from cosense.sensing.sight_lines import SightLines
from cosense.trust.evidence.base import Finding, Seen, SequentialTest
from cosense.trust.evidence.copies import are_copies

# From this score on the ego is sure of a box of its own.
SURE_SCORE = 0.8
# A claim counts for or against its sender from this score on.
_CLAIM_SCORE = 0.3
# With enough returns the ego's detector finds what there is, all but one time in so many.
_OVERLOOKED = 20.0
# So many boxes against a sender are no chance; a frame later they count less, by this factor.
_CHANCE, _FORGETTING = 2.0, 0.8
_FORGOTTEN = 0.05
# A proven sender has agreed with as much as one box of which the ego is sure, and as often as this for each
# box that speaks against it.
_PROOF, _PROVEN_RATIO = 0.5, 2.0
# Boxes of an honest sender are off by less than this on average: the first for many, the second more for one.
_OFF_M, _SCATTER_M = 0.3, 0.5
# Who stands less than this apart sees from one place.
_APART_M = 3.0
# A box in free space that is nearer to one of the ego's may be that one, in the wrong place.
_DISPLACED_M = 3.0
# What a sender says of its places counts as much as so many boxes that agree with the ego's.
_UNSEEN = 1.0
# The score of the surest box that nothing confirms. The ego's own boxes are mostly surer, so that who agrees
# wherever the ego looks, and lies where it does not, takes little from it. Of a proven sender it is less the
# more of its boxes are in free space, each of which counts as much as so many that agree.
_CAPS: dict[Standing, float] = {"proven": 0.95, "stranger": 0.4, "doubted": 0.1}
_AGREED_PER_REFUTED = 5.0

# Number of the sums in a record.
_SUMS = 7

Standing = Literal["proven", "stranger", "doubted"]
_RANKS: dict[Standing, int] = {"doubted": 0, "stranger": 1, "proven": 2}
_REFUSED = -1


class Record(NamedTuple):
    """What the ego's own eyes say of the claims of one sender, recent ones above all.

    Attributes:
        agreed: boxes like the ego's own, each as much as the ego is sure of its own.
        unlike: boxes that are turned or sized otherwise than those of the ego, likewise.
        refuted: boxes where the ego sees that there is nothing.
        off_x_m, off_y_m: sum of what the boxes that agreed are off by, weighted likewise.
        along, across: sum of the squares of what they are off by along their heading and across it, in what
            was to be expected, weighted likewise.
        finding: what all evidence of the last seconds says.
    """

    agreed: float = 0.0
    unlike: float = 0.0
    refuted: float = 0.0
    off_x_m: float = 0.0
    off_y_m: float = 0.0
    along: float = 0.0
    across: float = 0.0
    finding: Finding = Finding()

    @property
    def off_m(self) -> float:
        """By how much the boxes that agreed are off on average."""
        return float(np.hypot(self.off_x_m, self.off_y_m) / max(self.agreed, _FORGOTTEN))

    @property
    def standing(self) -> Standing:
        """What the sender is to the ego."""
        against = self.unlike + self.refuted
        in_place_m = _OFF_M + _SCATTER_M / np.sqrt(max(self.agreed, 1.0))
        if self.finding.verdict in ("doubted", "refused"):
            return "doubted"
        if (against >= _CHANCE and against > self.agreed) or (
            self.agreed >= _CHANCE and self.off_m > in_place_m
        ):
            return "doubted"
        is_proven = self.agreed >= max(_PROOF, _PROVEN_RATIO * against) and self.off_m <= in_place_m
        return "proven" if is_proven else "stranger"

    @property
    def rank(self) -> int:
        """Whose word counts where two claim the same object."""
        return _REFUSED if self.finding.verdict == "refused" else _RANKS[self.standing]

    def learned(self, spreads_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return spreads (M,2) as they are by experience: at least what the sender says of them."""
        strain = (_UNSEEN + np.array([self.along, self.across])) / (_UNSEEN + self.agreed)
        unsaid = np.maximum(strain - 1, 0.0) * (spreads_m**2 + DETECTED_M**2)
        return np.sqrt(spreads_m**2 + unsaid)

    @property
    def cap(self) -> float:
        """The score of the surest box of the sender that nothing confirms."""
        standing = self.standing
        if standing != "proven":
            return _CAPS[standing]
        return _CAPS[standing] * self.agreed / (self.agreed + _AGREED_PER_REFUTED * self.refuted)

    @property
    def doubt(self) -> str:
        """Why the sender is doubted, "" where it is not."""
        figures = (
            f"the ego sees otherwise: {counted(round(self.refuted), 'box')} in free space, "
            f"{round(self.unlike)} unlike its own, {round(self.agreed)} like its own, "
            f"{self.off_m:.1f} m off on average"
        )
        return "; ".join(
            part for part in (self.finding.reason, figures) if self.standing == "doubted" and part
        )


class Examined(NamedTuple):
    """Claims of one frame, held against what the ego sees.

    Attributes:
        claims: what the senders claim that are not refused, in the order given.
        fusible: what may be fused of it, in the same order.
        records: of these senders, likewise.
        apart: (S,S) bool, which of them see for themselves, each from another place.
        doubts: why senders are doubted or refused, by name.
        findings: what the evidence says of all senders, by name.
    """

    claims: Sequence[Admitted]
    fusible: list[Admitted]
    records: list[Record]
    apart: NDArray[np.bool_]
    doubts: dict[str, str]
    findings: dict[str, Finding]


def unexamined(admitted: Sequence[Admitted]) -> Examined:
    """Return claims that are held against nothing."""
    return Examined(admitted, list(admitted), [], np.zeros((0, 0), dtype=bool), {}, {})


class OwnEyes:
    """Holds what others claim against what the ego sees, and remembers how it was; one object a sequence."""

    def __init__(self, *, evidence: bool = True) -> None:
        """Start; without `evidence` over time nobody is refused, to compare with."""
        self._has_evidence = evidence
        # Names and sums of all who are remembered, a row each as in `Record`.
        self._names: list[str] = []
        self._sums = np.zeros((0, _SUMS))
        self._test = SequentialTest()

    def examined(
        self, admitted: Sequence[Admitted], own: Detections, lines: SightLines | None, stamp_ns: int = 0
    ) -> Examined:
        """Hold the claims of one frame against what the ego sees.

        Args:
            admitted: what the senders claim, at most one message of each.
            own: the ego's boxes.
            lines: the ego's rays, None where only its boxes are known.
            stamp_ns: when the ego has measured.
        """
        claims, number = _together(admitted)
        # What may lie anywhere, or was put onto a box of the ego for that reason, says nothing of its sender.
        in_place = np.concatenate([np.zeros(0), *(other.errors_m for other in admitted)]) <= IN_DOUBT_M
        spreads_m = np.concatenate([np.zeros((0, 2)), *(other.spreads_m for other in admitted)])
        judged = _judge(
            claims, spreads_m, np.where(in_place, number, len(admitted)), len(admitted), own, lines
        )
        names = [other.sender for other in admitted]
        seen = _seen(admitted, claims, np.where(in_place, number, len(admitted)), judged, own, stamp_ns)
        found = self._test.update(seen) if self._has_evidence else [Finding()] * len(names)
        findings = dict(zip(names, found, strict=True))
        records = [
            record._replace(finding=findings[name])
            for name, record in zip(names, self._remember(names, judged.sums), strict=True)
        ]
        claims = judged.weighed(claims)
        for record, of in zip(records, _slices(admitted), strict=True):
            spreads_m[of] = record.learned(spreads_m[of])
        claims, spreads_m = settled(claims, spreads_m, own, judged.compared)
        outranked = _are_outranked(claims, np.array([record.rank for record in records])[number])
        left = [
            _left(other, record, claims[of], spreads_m[of], ~(judged.dropped(record) | outranked)[of])
            for other, record, of in zip(admitted, records, _slices(admitted), strict=True)
        ]
        used = [index for index, record in enumerate(records) if record.rank > _REFUSED]
        copies = are_copies(seen)
        return Examined(
            [admitted[index] for index in used],
            [left[index] for index in used],
            [records[index] for index in used],
            (_apart(admitted) & ~copies & ~copies.T)[np.ix_(used, used)],
            {name: record.doubt for name, record in zip(names, records, strict=True) if record.doubt},
            findings,
        )

    def _remember(self, senders: list[str], sums: NDArray[np.float64]) -> list[Record]:
        """Take the sums (S,7) of a frame for granted; return what is known of its senders by now."""
        earlier = _FORGETTING * self._sums
        row_of = {name: row for row, name in enumerate(self._names)}
        known = [row_of[name] for name in senders if name in row_of]
        is_there = np.array([name in row_of for name in senders], dtype=bool)
        now = sums.copy()
        now[is_there] += earlier[known]
        left = np.asarray((earlier[:, :3] >= _FORGOTTEN).any(axis=1))
        left[known] = False
        self._names = [*(self._names[row] for row in np.flatnonzero(left)), *senders]
        self._sums = np.concatenate([earlier[left], now])
        return [Record(*row) for row in now.tolist()]


def held_back(
    candidates: Detections, own: Detections, examined: Examined, lines: SightLines | None
) -> Detections:
    """Return candidates with what nothing confirms capped and marked UNCONFIRMED, best first.

    Args:
        candidates: boxes of all sources in the ego frame.
        own: the ego's boxes.
        examined: what the senders claim.
        lines: the ego's rays, None where only its boxes are known.
    """
    mine = candidates.sources == Source.EGO
    claimed = candidates[~mine]
    if not len(claimed):
        return candidates
    # What is fused of the features of several is a claim of all of them together.
    is_fused = claimed.sources == Source.FUSED
    fused, others = claimed[is_fused], claimed[~is_fused]
    joint = _judge(fused, np.zeros((len(fused), 2)), np.zeros(len(fused), dtype=np.int64), 1, own, lines)
    record = Record(*joint.sums[0].tolist())
    kept = ~joint.dropped(record)
    claimed = Detections.concatenate([joint.weighed(fused)[kept], others])
    says = np.column_stack([_who_says(claimed, examined.claims), claimed.sources == Source.FUSED])
    records = [*examined.records, record]
    standings = np.array([each.standing for each in records])
    is_proven = standings == "proven"
    apart = np.pad(examined.apart, (0, 1))
    by_two = (says & (standings != "doubted") & (says[:, is_proven] @ apart[is_proven])).any(axis=1)
    by_own = compare(claimed, own).agrees
    caps = (says * np.array([each.cap for each in records])).max(axis=1)
    confirmed = by_own | by_two
    judged = replace(
        claimed,
        scores=np.where(confirmed, claimed.scores, _capped(claimed.scores, caps)).astype(np.float32),
        sources=np.where(confirmed, claimed.sources, Source.UNCONFIRMED).astype(np.uint8),
    )
    return Detections.concatenate([candidates[mine], judged])


class _Judged(NamedTuple):
    """What the ego's eyes say of M claims of S senders.

    Attributes:
        compared: the claims beside the ego's own boxes.
        sums: (S,7) of this frame alone, a row as in `Record` for each sender.
        refuted: (M,) which claims are in free space; what meets a box of the ego is not.
        meets: (M,) which meet a box of the ego.
        contradicts: (M,) which say otherwise than a box of which the ego is sure.
        is_overlooked: (M,) where the ego has many returns and no box.
        strain: (M,2) squares of what they are off by, along and across, in what was to be expected.
    """

    compared: Compared
    sums: NDArray[np.float64]
    refuted: NDArray[np.bool_]
    meets: NDArray[np.bool_]
    contradicts: NDArray[np.bool_]
    is_overlooked: NDArray[np.bool_]
    strain: NDArray[np.float64]

    def dropped(self, record: Record) -> NDArray[np.bool_]:
        """Return (M,): which claims of a sender with a record are not fused."""
        return self.refuted | (self.contradicts if record.standing == "proven" else self.meets)

    def weighed(self, claims: Detections) -> Detections:
        """Return the claims, less likely where the ego's detector would have found something as a rule."""
        odds = claims.scores / (1 - np.minimum(claims.scores, 0.999))
        scores = np.where(self.is_overlooked, odds / (_OVERLOOKED + odds), claims.scores)
        return replace(claims, scores=scores.astype(np.float32))


def _judge(
    claims: Detections,
    spreads_m: NDArray[np.float64],
    number: NDArray[np.int64],
    senders: int,
    own: Detections,
    lines: SightLines | None,
) -> _Judged:
    """Hold claims, each with its spread and the number of its sender, against what the ego sees.

    Those with a number that is no sender's count neither for nor against anybody.
    """
    compared = compare(claims, own)
    score, agrees, off_m = compared.scores, compared.agrees, compared.off_m
    meets = score > 0
    refuted, is_overlooked = look(claims.boxes, ~meets, lines)
    counts = claims.scores >= _CLAIM_SCORE
    agreed = score * agrees * counts
    by_axis = strain(claims.boxes, off_m, spreads_m)
    columns = [
        agreed,
        score * ~agrees * counts,
        refuted & counts,
        agreed * off_m[:, 0],
        agreed * off_m[:, 1],
        *(agreed[:, None] * by_axis).T,
    ]
    # Counting nothing counts in whole numbers.
    sums = np.zeros((senders, len(columns)))
    for index, column in enumerate(columns):
        sums[:, index] = np.bincount(number, column, senders + 1)[:senders]
    return _Judged(compared, sums, refuted, meets, (score >= SURE_SCORE) & ~agrees, is_overlooked, by_axis)


def _seen(
    admitted: Sequence[Admitted],
    claims: Detections,
    number: NDArray[np.int64],
    judged: _Judged,
    own: Detections,
    stamp_ns: int,
) -> Seen:
    """Return the claims of one frame and what the ego sees there, as evidence."""
    compared = judged.compared
    displaced = np.zeros(len(claims), dtype=bool)
    if len(own):
        refuted = np.flatnonzero(judged.refuted)
        away_m = np.linalg.norm(claims.boxes[refuted, None, :2] - own.boxes[None, :, :2], axis=2)
        displaced[refuted] = away_m.min(axis=1) < _DISPLACED_M
    return Seen(
        senders=[other.sender for other in admitted],
        places=np.array([other.T_ego_sender[:2, 3] for other in admitted]).reshape(-1, 2),
        contents=[
            (other.sent.detections.boxes.tobytes(), stamp_ns / 1e9 - other.age_s) for other in admitted
        ],
        own_content=own.boxes.tobytes(),
        boxes=claims.boxes,
        number=np.where(claims.scores >= _CLAIM_SCORE, number, len(admitted)),
        refuted=judged.refuted,
        own_scores=compared.scores,
        agrees=compared.agrees,
        strain=judged.strain,
        sure=own.boxes[own.scores >= SURE_SCORE],
        displaced=displaced,
    )


def _are_outranked(claims: Detections, ranks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (M,): which claims meet one of a sender of higher rank."""
    outranked = np.zeros(len(claims), dtype=bool)
    for rank in np.unique(ranks)[:-1]:
        lower, higher = np.flatnonzero(ranks == rank), np.flatnonzero(ranks > rank)
        outranked[lower] = meet(claims[lower], claims[higher]).any(axis=1)
    return outranked


def _together(admitted: Sequence[Admitted]) -> tuple[Detections, NDArray[np.int64]]:
    """Return the boxes of all senders in their order, and the number of the sender of each."""
    lengths = np.array([len(other.boxes) for other in admitted], dtype=np.int64)
    number = np.repeat(np.arange(len(admitted)), lengths)
    parts = [Detections.empty(), *(other.boxes for other in admitted)]
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.sources for part in parts]),
    ), number


def _slices(admitted: Sequence[Admitted]) -> list[slice]:
    """Return where the boxes of each sender are among those of all."""
    ends = np.cumsum([0, *(len(other.boxes) for other in admitted)]).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]


def _who_says(boxes: Detections, claims: Sequence[Admitted]) -> NDArray[np.bool_]:
    """Return (M,S): which of S senders claim the objects of M boxes."""
    theirs, number = _together(claims)
    says = np.zeros((len(boxes), len(claims)), dtype=bool)
    row, column = np.nonzero(meet(boxes, theirs))
    alike = are_alike(boxes.boxes[row], theirs.boxes[column])
    says[row[alike], number[column[alike]]] = True
    return says


def _apart(claims: Sequence[Admitted]) -> NDArray[np.bool_]:
    """Return (S,S): which of S senders are in different places."""
    place = np.array([other.T_ego_sender[:2, 3] for other in claims]).reshape(-1, 2)
    return np.asarray(np.linalg.norm(place[:, None] - place, axis=2) > _APART_M)


def _left(
    other: Admitted,
    record: Record,
    boxes: Detections,
    spreads_m: NDArray[np.float64],
    kept: NDArray[np.bool_],
) -> Admitted:
    """Return what may be fused of the claims of one sender, given what is left of them."""
    left = replace(other, boxes=boxes, spreads_m=spreads_m).chosen(kept)
    return left if record.standing != "doubted" else replace(left, use="boxes", is_precise=False, layers=())


def _capped(scores: NDArray, limits: NDArray[np.float64]) -> NDArray:
    """Return scores of at most the limits, in the order in which they were; low ones stay."""
    start = np.maximum(limits / 2, 2 * limits - 1)
    squeezed = start + (scores - start) * (limits - start) / np.maximum(1 - start, 1e-9)
    return np.where(scores > start, squeezed, scores)
