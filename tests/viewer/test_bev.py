"""Pixels of the pictures: what is drawn must be where it belongs, in the colour that the legend gives it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from numpy.typing import NDArray
from PIL import Image

from cosense.data.dataset import CooperativeFrame, Provenance
from cosense.evaluation.protocol import load_protocol
from cosense.geometry.boxes import Boxes
from cosense.sensing.detections import Detections, Source
from cosense.sensing.objects import Objects
from cosense.viewer import bev, colors
from cosense.viewer.annotations import Extent, extent_around, fitting_extent
from tests.viewer.scenes import detections_of, false_alarm, found, street

FRAME = street()
PROTOCOL = load_protocol("simulated")


class Picture:
    """A PNG that can be asked in metres."""

    def __init__(
        self, path: Path, panels: tuple[str, ...] = ("",), panel: int = 0, extent_m: Extent | None = None
    ) -> None:
        self.rgb = imread(path)[..., :3]
        figure, axes = bev.layout(list(panels), extent_m or fitting_extent(FRAME))
        self.to_pixel = axes[panel].transData
        assert self.rgb.shape[:2] == tuple(reversed(figure.canvas.get_width_height()))

    def around(self, x: float, y: float, radius: int = 2) -> NDArray:
        """Return the pixels (K,3) near a place."""
        column, row = self.to_pixel.transform((x, y))
        row, column = round(self.rgb.shape[0] - row), round(column)
        patch = self.rgb[row - radius : row + radius + 1, column - radius : column + radius + 1]
        return patch.reshape(-1, 3)

    def has(self, color: str, x: float, y: float, radius: int = 2) -> bool:
        """Return whether the colour is within a few pixels of a place."""
        return bool((np.abs(self.around(x, y, radius) - colors.rgba(color)[:3]).max(1) < 0.12).any())


def cars_at(*places: tuple[float, float, float]) -> Boxes:
    """Return boxes of 6 x 3 m at x, y with a yaw."""
    return np.array([[x, y, 0.0, 6.0, 3.0, 1.5, yaw] for x, y, yaw in places])


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Provenance("cosense", ("opv2v",)), "simulated by cosense (layout of opv2v): run, frame"),
        (Provenance(layouts=("dair-v2x-c",)), "dair-v2x-c: run, frame"),
        (Provenance(), "run, frame"),
    ],
)
def test_a_picture_is_titled_by_what_made_its_frame(
    made: Provenance, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kind: a screenshot of simulated data that reads as a result on recorded data."""
    titles = []

    def layout(captions: list[str], extent_m: tuple, title: str, legend_rows: int) -> tuple:
        titles.append(title)
        raise InterruptedError

    monkeypatch.setattr(bev, "layout", layout)
    frame, nothing = dataclasses.replace(FRAME, provenance=made), Detections.empty()
    with pytest.raises(InterruptedError):
        bev.draw_bev(frame, nothing, tmp_path / "bev.png", title="run, frame")
    with pytest.raises(InterruptedError):
        bev.draw_comparison(frame, {"": nothing}, tmp_path / "bev.png", PROTOCOL, title="run, frame")
    assert titles == [expected] * 2


def test_a_box_on_a_participant_without_a_label_is_no_false_alarm_in_a_picture(tmp_path: Path) -> None:
    """Kind: the box that shows a sender: drawn as one, dotted, and not crossed out."""
    T_world_ego = FRAME.ego.T_world_agent
    away = T_world_ego.copy()
    away[:3, 3] += T_world_ego[:3, :3] @ np.array([-50.0, 30.0, 0.0])
    frame = dataclasses.replace(FRAME, absent={"other": away})
    detections = detections_of(cars_at((-50, 30, 0)))
    places = FRAME.ground_truth.boxes[:, :2]
    around = extent_around(FRAME, np.vstack([places, detections.boxes[:, :2]]))
    extents = {"opencood_participants": fitting_extent(FRAME), "opencood": around}
    for name, color in ("opencood_participants", colors.TEXT), ("opencood", colors.OUTCOMES["false"]):
        extent_m = extents[name]
        path = tmp_path / f"{name}.png"
        bev.draw_comparison(frame, {"": detections}, path, load_protocol(name))
        corner = Picture(path, panels=("",), extent_m=extent_m).has(color, -53, 30, radius=6)
        assert corner, name


def test_boxes_have_the_colour_of_their_source_and_a_tick_at_the_front(tmp_path: Path) -> None:
    boxes = cars_at((-50, 30, 0), (-30, 30, np.pi), (70, -30, 0), (50, -30, 0))
    detections = dataclasses.replace(detections_of(boxes, list(Source)), scores=np.ones(4, np.float32))
    bev.draw_bev(FRAME, detections, tmp_path / "new" / "bev.png")
    picture = Picture(tmp_path / "new" / "bev.png")
    for (x, y, *_), source in zip(boxes, Source, strict=True):
        assert picture.has(colors.SOURCES[source], x, y + 1.5), "side"
        assert picture.has(colors.SOURCES[source], x + 3, y - 1), "end"
        assert not picture.has(colors.SOURCES[source], x, y + 4)
    assert picture.has(colors.SOURCES[Source.EGO], -50 + 3.5, 30, 1), "heads along +x"
    assert not picture.has(colors.SOURCES[Source.EGO], -50 - 3.5, 30, 1)
    assert picture.has(colors.SOURCES[Source.LATE], -30 - 3.5, 30, 1), "heads along -x"


@pytest.mark.parametrize("number", [2, 4, 12])
def test_the_legend_stays_within_the_picture_and_can_be_read_whatever_the_names(number: int) -> None:
    """Kind: long names, and many of them."""
    names = [f"a roadside unit with a very long name {index}" for index in range(number)]
    agents = {name: dataclasses.replace(FRAME.ego, agent_id=name) for name in names}
    frame = dataclasses.replace(FRAME, ego_id=names[0], agents=agents)
    figure, (axes,) = bev.layout([""], fitting_extent(frame), legend_rows=bev.legend_rows(frame))
    bev.draw_legend(figure, frame, [])
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert 0 <= box.y0 < box.y1 < axes.get_window_extent().y0
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(set(texts[:number])) == number, "shortened names differ"
    assert min(text.get_fontsize() for text in legend.get_texts()) > 6


def test_an_ego_whose_name_says_so_is_named_once() -> None:
    """Kind: a name and a role that are one word, as in clouds by themselves: "ego (ego)"."""
    for name, shown in (("ego", "ego"), ("car", "car (ego)")):
        frame = dataclasses.replace(FRAME, ego_id=name, agents={name: FRAME.ego})
        figure, _ = bev.layout([""], fitting_extent(frame), legend_rows=bev.legend_rows(frame))
        bev.draw_legend(figure, frame, [])
        assert figure.legends[0].get_texts()[0].get_text() == shown


def test_a_doubtful_box_is_fainter_and_a_worthless_one_is_left_out(tmp_path: Path) -> None:
    boxes = cars_at((-50, 30, 0), (-40, 30, 0), (-30, 30, 0))
    detections = dataclasses.replace(detections_of(boxes), scores=np.array([1.0, 0.35, 0.1], np.float32))
    bev.draw_bev(FRAME, detections, tmp_path / "bev.png")
    picture = Picture(tmp_path / "bev.png")
    sure, doubtful, worthless = (picture.around(x, 31.5).max() for x in boxes[:, 0])
    assert sure > doubtful + 0.1 > worthless + 0.2


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Picture:
    """A frame without detections."""
    path = tmp_path_factory.mktemp("pictures") / "bev.png"
    bev.draw_bev(FRAME, Detections.empty(), path)
    return Picture(path)


def test_ground_truth_clouds_and_agents(picture: Picture) -> None:
    truck = FRAME.ground_truth.boxes[7]
    assert picture.has(colors.GROUND_TRUTH, truck[0], truck[1] + truck[4] / 2)
    assert picture.has(colors.AGENTS[0], 0.0, 0.0, 4), "the ego"
    assert picture.has(colors.AGENTS[1], *FRAME.T_ego_agent("mast")[:2, 3], 4), "the mast"
    wall = np.array([24.0, -27.0])  # west side of the southern street, in the ego frame
    assert np.abs(picture.around(*wall, 4) - colors.rgba(colors.AGENTS[1])[:3]).max(1).min() < 0.35


def test_ground_is_shaded_by_who_sees_it(picture: Picture) -> None:
    def is_ground(color: str, x: float, y: float) -> bool:
        nearest = np.abs(picture.around(x, y, 6) - colors.rgba(color)[:3]).max(1)
        return bool(np.median(nearest) < 0.03)

    assert is_ground(colors.SEEN_BY_EGO, -45, 3)
    assert is_ground(colors.SEEN_BY_OTHERS, 45, -32)
    nobody = picture.around(8, 30, 20)
    assert np.abs(nobody - colors.rgba(colors.SEEN_BY_NOBODY)[:3]).max(1).min() < 0.02
    assert np.abs(nobody - colors.rgba(colors.HATCH)[:3]).max(1).min() < 0.02


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ego alone, with a false alarm, and together with a unit that sees car 6 in the side street."""
    path = tmp_path_factory.mktemp("pictures") / "comparison.png"
    alone = Detections.concatenate([found(FRAME, [0, 1]), false_alarm()])
    together = found(FRAME, [0, 1, 6], Source.LATE)
    bev.draw_comparison(FRAME, dict(zip(PANELS, (alone, together), strict=True)), path, PROTOCOL)
    return path


PANELS = ("Ego alone", "With a roadside unit")


def test_comparison_tells_found_added_missed_and_false(comparison: Path) -> None:
    above, below = (Picture(comparison, PANELS, panel) for panel in (0, 1))
    side_street = FRAME.ground_truth.boxes[6]
    end = side_street[0], side_street[1] - side_street[3] / 2  # it heads along +y
    ahead = FRAME.ground_truth.boxes[0]
    side = ahead[0], ahead[1] + ahead[4] / 2
    assert above.has(colors.OUTCOMES["missed"], *end, 4)
    assert below.has(colors.OUTCOMES["added"], *end, 4), "found only together"
    for picture in (above, below):
        assert picture.has(colors.OUTCOMES["found"], *side, 4)
        assert not picture.has(colors.OUTCOMES["added"], *side, 4), "the ego found it by itself"
    assert above.has(colors.OUTCOMES["false"], 8, 7.5)
    assert above.has(colors.OUTCOMES["false"], 8, 6), "crossed out"
    assert not below.has(colors.OUTCOMES["false"], 8, 7.5)
    assert below.has(colors.AGENTS[1], *FRAME.T_ego_agent("mast")[:2, 3], 4)
    assert not above.has(colors.AGENTS[1], *FRAME.T_ego_agent("mast")[:2, 3], 4), "the ego is alone there"


def test_what_is_counted_is_in_the_picture(tmp_path: Path) -> None:
    """Kind: a count that nobody can find in the picture."""
    far = detections_of(cars_at((-95, 30, 0)))
    bev.draw_comparison(FRAME, {"alone": far}, tmp_path / "c.png", PROTOCOL)
    places = np.vstack([FRAME.ground_truth.boxes[:, :2], far.boxes[:, :2]])
    picture = Picture(tmp_path / "c.png", ("alone",), extent_m=extent_around(FRAME, places))
    assert picture.has(colors.OUTCOMES["false"], -95, 31.5)


def test_each_colour_of_the_palette_is_in_the_file_as_it_is(comparison: Path) -> None:
    """Kind: colours that mean different things become one on the way into the file."""
    picture = np.array(Image.open(comparison).convert("RGB"))
    there = {f"#{code:06X}" for code in np.unique(picture @ np.array([1 << 16, 1 << 8, 1]))}
    meant = [*colors.OUTCOMES.values(), *colors.AGENTS[:2], colors.TEXT, colors.BACKGROUND]
    meant += [colors.SEEN_BY_EGO, colors.SEEN_BY_OTHERS, colors.SEEN_BY_NOBODY, colors.HATCH]
    assert [color for color in meant if color not in there] == []
    below = Picture(comparison, PANELS, 1)
    for color, place in ((colors.SEEN_BY_EGO, (-45, 3)), (colors.SEEN_BY_OTHERS, (45, -32))):
        ground = np.round(below.around(*place, 6) * 255)
        assert (ground == eight_bits(color)).all(axis=1).mean() > 0.5


def test_a_palette_of_256_colours_holds_ours_whatever_else_is_in_the_picture() -> None:
    """Kind: many shades crowd a colour out that few pixels have."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    for row, color in enumerate(colors.ALL):
        picture[row, :2] = eight_bits(color)
    file = np.array(bev.reduced(picture).convert("RGB"))
    for row, color in enumerate(colors.ALL):
        assert file[row, 0].tolist() == list(eight_bits(color)), color
    error = np.abs(file.astype(int) - picture)
    assert error.mean() < 20, "the other colours cover the rest"


def eight_bits(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def test_counts_are_those_of_the_protocol(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Kind: a picture counts what nobody can see, and what the protocol beside it leaves out."""
    titles: list[str] = []
    monkeypatch.setattr(bev, "_plain", lambda text: titles.append(text) or text)
    hidden = dataclasses.replace(FRAME, agents={"vehicle": FRAME.ego})
    alone = Detections.concatenate([found(hidden, [0, 1]), false_alarm()])
    bev.draw_comparison(hidden, {"alone": alone}, tmp_path / "c.png", PROTOCOL)
    counted = np.flatnonzero(bev.most_points_of_one_agent(hidden) >= 5)
    assert 2 < len(counted) < len(FRAME.ground_truth), "the corner hides some of them"
    assert f"2 of {len(counted)} found, 1 false alarm" in titles


def _without_points(frame: CooperativeFrame) -> CooperativeFrame:
    nothing = np.zeros((0, 4), np.float32)
    agents = {name: dataclasses.replace(agent, points=nothing) for name, agent in frame.agents.items()}
    return dataclasses.replace(frame, agents=agents)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(street(objects=False), id="no ground truth"),
        pytest.param(street(unit=False), id="one agent"),
        pytest.param(dataclasses.replace(_without_points(FRAME), ground_truth=Objects.empty()), id="nothing"),
    ],
)
def test_what_is_missing_is_not_drawn(frame: CooperativeFrame, tmp_path: Path) -> None:
    bev.draw_bev(frame, Detections.empty(), tmp_path / "bev.png")
    panels = {"one": found(FRAME, [0])}
    bev.draw_comparison(frame, panels, tmp_path / "comparison.png", PROTOCOL)
    assert Picture(tmp_path / "bev.png", extent_m=fitting_extent(frame)).has(colors.AGENTS[0], 0, 0, 4)


def test_text_is_drawn_as_it_is(tmp_path: Path) -> None:
    """Between two dollar signs stands a formula, and these ones are none."""
    renamed = {f"${name}_$": agent for name, agent in FRAME.agents.items()}
    agents = {name: dataclasses.replace(agent, agent_id=name) for name, agent in renamed.items()}
    frame = dataclasses.replace(FRAME, agents=agents, ego_id="$vehicle_$")
    bev.draw_bev(frame, Detections.empty(), tmp_path / "bev.png", title=r"$\frac{$")
    assert (tmp_path / "bev.png").stat().st_size > 10_000


def test_a_picture_is_small(comparison: Path) -> None:
    assert comparison.stat().st_size < 250_000


def test_no_display_and_no_global_state() -> None:
    """Importing must not choose a backend: the notebook or the tool that imports us has one."""
    code = "import cosense.viewer.bev, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
