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

from cosense.data.dataset import CooperativeFrame
from cosense.geometry.boxes import Boxes
from cosense.sensing.detections import Detections, Source
from cosense.sensing.objects import Objects
from cosense.viewer import bev, colors
from cosense.viewer.annotations import fitting_extent
from tests.viewer.scenes import detections_of, found, street

FRAME = street()


class Picture:
    """A PNG that can be asked in metres."""

    def __init__(
        self, path: Path, panels: tuple[str, ...] = ("",), panel: int = 0, frame: CooperativeFrame = FRAME
    ) -> None:
        self.rgb = imread(path)[..., :3]
        figure, axes = bev.layout(list(panels), fitting_extent(frame))
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


def test_boxes_have_the_colour_of_their_source_and_a_tick_at_the_front(tmp_path: Path) -> None:
    boxes = cars_at((-50, 30, 0), (-30, 30, np.pi), (70, -30, 0))
    detections = dataclasses.replace(
        detections_of(boxes, [Source.EGO, Source.LATE, Source.FUSED]), scores=np.ones(3, np.float32)
    )
    bev.draw_bev(FRAME, detections, tmp_path / "new" / "bev.png")
    picture = Picture(tmp_path / "new" / "bev.png")
    for (x, y, *_), source in zip(boxes, Source, strict=True):
        assert picture.has(colors.SOURCES[source], x, y + 1.5), "side"
        assert picture.has(colors.SOURCES[source], x + 3, y - 1), "end"
        assert not picture.has(colors.SOURCES[source], x, y + 4)
    assert picture.has(colors.SOURCES[Source.EGO], -50 + 3.5, 30, 1), "heads along +x"
    assert not picture.has(colors.SOURCES[Source.EGO], -50 - 3.5, 30, 1)
    assert picture.has(colors.SOURCES[Source.LATE], -30 - 3.5, 30, 1), "heads along -x"


def test_the_legend_stays_within_the_picture_whatever_the_names(tmp_path: Path) -> None:
    names = [f"a roadside unit with a long name {number}" for number in range(4)]
    agent = FRAME.ego
    agents = {name: dataclasses.replace(agent, agent_id=name) for name in names}
    frame = dataclasses.replace(FRAME, ego_id=names[0], agents=agents)
    figure, _ = bev.layout([""], fitting_extent(frame))
    bev.draw_legend(figure, frame, [])
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    left, right = legend.get_window_extent().intervalx
    assert 0 <= left < right <= figure.bbox.width
    assert right - left > 0.9 * figure.bbox.width


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


def test_comparison_tells_found_missed_and_false(tmp_path: Path) -> None:
    false_alarm = detections_of(cars_at((-45, 10, 0)))
    alone = Detections.concatenate([found(FRAME, [0, 1]), false_alarm])
    together = found(FRAME, [0, 1, 6], Source.LATE)
    panels = {"Ego alone": alone, "With a roadside unit": together}
    bev.draw_comparison(FRAME, panels, tmp_path / "c.png", notes=["0 bytes", "412 bytes"])
    above = Picture(tmp_path / "c.png", tuple(panels), panel=0)
    below = Picture(tmp_path / "c.png", tuple(panels), panel=1)
    side_street = FRAME.ground_truth.boxes[6]
    end = side_street[0], side_street[1] - side_street[3] / 2  # it heads along +y
    assert above.has(colors.OUTCOMES["missed"], *end, 4)
    assert below.has(colors.OUTCOMES["found"], *end, 4)
    assert above.has(colors.OUTCOMES["false"], -45, 11.5)
    assert not below.has(colors.OUTCOMES["false"], -45, 11.5)
    assert below.has(colors.AGENTS[1], *FRAME.T_ego_agent("mast")[:2, 3], 4)
    assert not above.has(colors.AGENTS[1], *FRAME.T_ego_agent("mast")[:2, 3], 4), "the ego is alone there"


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
    bev.draw_comparison(frame, panels, tmp_path / "comparison.png")
    assert Picture(tmp_path / "bev.png", frame=frame).has(colors.AGENTS[0], 0, 0, 4)


def test_text_is_drawn_as_it_is(tmp_path: Path) -> None:
    """Between two dollar signs stands a formula, and these ones are none."""
    renamed = {f"${name}_$": agent for name, agent in FRAME.agents.items()}
    agents = {name: dataclasses.replace(agent, agent_id=name) for name, agent in renamed.items()}
    frame = dataclasses.replace(FRAME, agents=agents, ego_id="$vehicle_$")
    bev.draw_bev(frame, Detections.empty(), tmp_path / "bev.png", title=r"$\frac{$")
    assert (tmp_path / "bev.png").stat().st_size > 10_000


def test_a_picture_is_small(tmp_path: Path) -> None:
    bev.draw_comparison(FRAME, {"one": found(FRAME, [0]), "two": Detections.empty()}, tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size < 250_000


def test_no_display_and_no_global_state() -> None:
    """Importing must not choose a backend: the notebook or the tool that imports us has one."""
    code = "import cosense.viewer.bev, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
