"""Three dimensions: what there is to see is where it is, in the picture it is where the eye sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosense.cooperation.offline import Cooperation
from cosense.errors import CosenseError
from cosense.geometry.transforms import transform_from_planar, transform_points
from cosense.messages.envelope import PayloadKind, decode
from cosense.messages.features import decode_features
from cosense.messages.scene_graph import NodeClass, SceneGraph
from cosense.sensing.frame import Camera
from cosense.sensing.grid import BevGrid
from cosense.viewer import colors
from cosense.viewer.in_space import window
from cosense.viewer.in_space.contents import (
    IMAGE_DISTANCE_M,
    Cloud,
    Contents,
    Tiles,
    Wires,
    box_lines,
    cell_corners,
    contents_of,
    node_lines,
)
from cosense.viewer.in_space.picture import SIZE, Eye, draw_in_space, rendered
from cosense.viewer.pack import ReportFrame
from tests.evaluation.cooperators import drive, tiny_model
from tests.evaluation.scenes import box

# At the origin, looking along x: 900 pixels of focal length, the middle of the picture straight ahead.
AHEAD = Eye((0.0, 0.0, 0.0), (1.0, 0.0, 0.0))
GROUND = tuple(round(255 * value) for value in colors.rgba(colors.BACKGROUND)[:3])


@pytest.fixture(scope="module")
def page() -> ReportFrame:
    """A frame after which everything has been sent: features with boxes, a graph, a request."""
    model, (first, second) = tiny_model(), drive(2)
    agents = Cooperation(model, "hybrid", registration="scene_graph")
    agents.step(list(first.agents.values()), 0)
    exchange = agents.step(list(second.agents.values()), 1)
    image = np.full((40, 60, 3), 90, dtype=np.uint8)
    K = np.array([[50.0, 0, 30], [0, 50, 20], [0, 0, 1]])
    T_camera_agent = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    camera = Camera("front", image, K, T_camera_agent, 0)
    object.__setattr__(second.ego, "cameras", (camera,))
    return ReportFrame(second, exchange.result, messages=exchange.messages)


def test_clouds_boxes_and_images_are_in_the_frame_of_the_ego(page: ReportFrame) -> None:
    contents = contents_of(page, tiny_model())
    frame = page.frame
    assert [cloud.name for cloud in contents.clouds] == ["ego", "near"]
    for cloud, agent in zip(contents.clouds, frame.agents.values(), strict=True):
        in_world = transform_points(frame.ego.T_world_agent, cloud.points)
        expected = transform_points(agent.T_world_agent, agent.points[:, :3].astype(np.float64))
        np.testing.assert_allclose(in_world, expected, atol=1e-6)
    lines = {wires.name: wires.lines for wires in contents.wires}
    np.testing.assert_array_equal(lines["ground truth"], box_lines(frame.ground_truth.boxes))
    found = page.result.detections
    assert sum(len(lines[name]) for name in colors.SOURCE_NAMES.values() if name in lines) == 13 * len(found)
    (picture,) = contents.pictures
    # The image is 60 x 40 pixels with the focal length 50: at 2.5 m it is 3 m wide and 2 m high, left is +y.
    np.testing.assert_allclose(picture.corners[0], [IMAGE_DISTANCE_M, 1.5, 1.0], atol=1e-9)
    np.testing.assert_allclose(picture.corners[2], [IMAGE_DISTANCE_M, -1.5, -1.0], atol=1e-9)


def test_cells_are_those_of_the_messages(page: ReportFrame) -> None:
    model = tiny_model()
    contents = contents_of(page, model)
    tiles = {each.name: each.corners for each in contents.tiles}
    messages = [decode(data) for data in page.messages]
    assert {message.kind for message in messages} == {
        PayloadKind.FEATURES,
        PayloadKind.SCENE_GRAPH,
        PayloadKind.DEMAND,
    }
    for message in messages:
        if message.kind == PayloadKind.FEATURES:
            layers = decode_features(message.payload).layers(model.method.specs, model.detector.grid.shape)
            assert len(tiles["sent by near"]) == len(layers[0].cells)
    assert len(tiles["asked for by ego"])
    assert not contents_of(ReportFrame(page.frame)).tiles


def test_nodes_of_a_graph_stand_upright_and_lie_along_their_heading() -> None:
    """A pole of 5 m, and a wall of 4 m that runs along y, seen from an ego one metre behind the sender."""
    graph = SceneGraph(
        agent_id="near",
        stamp_ns=0,
        T_world_agent=np.eye(4),
        pose_covariance=np.zeros((3, 3)),
        ids=np.arange(2),
        classes=np.array([NodeClass.POLE, NodeClass.WALL], dtype=np.int64),
        positions=np.array([[3.0, 1.0, -2.0], [5.0, 0.0, -2.0]]),
        sizes=np.array([[0.2, 0.2, 5.0], [4.0, 0.2, 2.0]]),
        yaws=np.array([np.nan, np.pi / 2]),
        velocities=np.zeros((2, 2)),
        sigmas_m=np.full(2, 0.1),
        scores=np.ones(2),
    )
    lines = node_lines(graph, transform_from_planar(1.0, 0.0, 0.0))
    expected = [[[4, 1, -2], [4, 1, 3]], [[6, 0, -2], [6, 0, 0]], [[6, -2, -2], [6, 2, -2]]]
    np.testing.assert_allclose(lines, expected, atol=1e-12)


def test_a_cell_is_the_square_of_its_row_and_column() -> None:
    grid = BevGrid((-2.0, -1.0, 0.0, 2.0, 1.0, 1.0), 1.0)
    # Row 1, column 2 of 2 x 4, seen from an ego one metre behind it that looks to the left.
    T_ego_sender = transform_from_planar(1.0, 0.0, np.pi / 2)
    (corners,) = cell_corners(np.array([6]), grid, -1.5, T_ego_sender)
    np.testing.assert_allclose(corners, [[1, 0, -1.5], [1, 1, -1.5], [0, 1, -1.5], [0, 0, -1.5]], atol=1e-12)


def test_a_point_is_drawn_where_the_eye_sees_it_and_hides_what_is_behind() -> None:
    near, far, behind = [10.0, 1.0, 0.5], [20.0, 2.0, 1.0], [-10.0, 0.0, 0.0]
    contents = Contents(
        [Cloud("a", "#00FF00", np.array([far, behind])), Cloud("b", "#FF0000", np.array([near]))], [], [], []
    )
    image = rendered(contents, AHEAD)
    row, column = SIZE[1] // 2 - 45, SIZE[0] // 2 - 90
    drawn = np.argwhere((image != GROUND).any(axis=2))
    np.testing.assert_array_equal(drawn, [[row, column]])
    assert image[row, column, 0] > 200
    assert image[row, column, 1] == 0


def test_lines_end_at_the_eye_and_cells_are_seen_through() -> None:
    line = np.array([[[-5.0, -2.0, 0.0], [15.0, -2.0, 0.0]]])
    tile = np.array([[[10.0, 1, -1], [12.0, 1, -1], [12.0, 3, -1], [10.0, 3, -1]]])
    image = rendered(Contents([], [Wires("w", "#FFFFFF", line)], [Tiles("t", "#FF0000", tile)], []), AHEAD)
    # Beside the eye it leaves the picture on the right, at 15 m it is 120 pixels from the middle.
    half = SIZE[1] // 2
    columns = np.flatnonzero((image[half] != GROUND).any(axis=1))
    assert columns.min() == pytest.approx(SIZE[0] // 2 + 120, abs=2)
    assert columns.max() == SIZE[0] - 1
    red = image[half + 80, SIZE[0] // 2 - 160]
    assert GROUND[0] + 60 < red[0] < 200


def test_a_picture_is_written_without_a_display(page: ReportFrame, tmp_path: Path) -> None:
    draw_in_space(contents_of(page, tiny_model()), tmp_path / "deep" / "picture.png", title="here")
    assert (tmp_path / "deep" / "picture.png").stat().st_size > 20_000


def test_a_window_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "open3d", None)
    with pytest.raises(CosenseError, match=r"a window needs Open3D .*--3d --out picture.png"):
        window.import_open3d()


def test_the_window_shows_the_same(page: ReportFrame) -> None:
    try:
        import open3d
    except ImportError as error:
        pytest.skip(f"Open3D cannot be used here: {error}")
    contents = contents_of(page, tiny_model())
    made = window.geometries(contents, open3d)
    clouds, wires = made[: len(contents.clouds)], made[len(contents.clouds) :][: len(contents.wires)]
    for geometry, cloud in zip(clouds, contents.clouds, strict=True):
        np.testing.assert_allclose(np.asarray(geometry.points), cloud.points)
    for geometry, each in zip(wires, contents.wires, strict=True):
        ends = np.asarray(geometry.points)[np.asarray(geometry.lines)]
        np.testing.assert_allclose(ends, each.lines)
    assert len(made) == sum(map(len, (contents.clouds, contents.wires, contents.tiles, contents.pictures)))


def test_the_nose_of_a_box_points_ahead() -> None:
    lines = box_lines(np.array([box(10.0, 2.0, yaw=np.pi / 2)]))
    np.testing.assert_allclose(lines[12], [[10, 2, -1], [10, 2 + 4.5 / 2, -1]], atol=1e-12)
