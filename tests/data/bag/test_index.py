"""Poses and time as others record them: between clouds, twice, late, of another clock, of another frame."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from cosense.data import Dataset, open_dataset
from cosense.data.bag import BagOptions
from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, transform_from_planar
from tests.data.bag.bags import (
    MS,
    START_NS,
    Row,
    T_base_lidar,
    T_map_base,
    T_map_rsu,
    cloud,
    in_order,
    mount,
    odometry,
    pose_stamped,
    rsu,
    transform,
    write_rows,
)

FRAMES = 8
CLOUDS = [START_NS + 100 * MS * n for n in range(FRAMES)]
POSES = [START_NS + 100 * MS * n - 30 * MS for n in range(FRAMES + 1)]


def opened(tmp_path: Path, rows: Iterable[Row], **options: object) -> Dataset:
    return open_dataset(write_rows(tmp_path / "bag", in_order([mount(), *rows])), bag=BagOptions(**options))


def clouds(stamps_ns: Sequence[int] = CLOUDS) -> list[Row]:
    return [cloud(stamp_ns, "os_sensor") for stamp_ns in stamps_ns]


def drive(stamps_ns: Sequence[int] = POSES) -> list[Row]:
    return [odometry(stamp_ns, T_map_base(stamp_ns)) for stamp_ns in stamps_ns]


def errors_m(bag: Dataset) -> list[float]:
    """How far each frame is from where the car was, which drives straight on."""
    truth = [T_map_base(frame.ego.stamp_ns) @ T_base_lidar for frame in bag]
    return [
        float(np.linalg.norm(frame.ego.T_world_agent[:3, 3] - T[:3, 3]))
        for frame, T in zip(bag, truth, strict=True)
    ]


@pytest.mark.parametrize("hertz", [1, 2, 5, 10])
@pytest.mark.parametrize("offset_ms", [0, 33, 60])
def test_every_cloud_between_two_poses_gets_the_pose_of_its_own_moment(tmp_path, hertz, offset_ms):
    """Poses beside the clouds: interpolated, neither the nearest pose nor half of the frames."""
    step_ns = 1_000 * MS // hertz
    times = range(START_NS + offset_ms * MS - step_ns, START_NS + 800 * MS + step_ns, step_ns)
    bag = opened(tmp_path, [*clouds(), *drive(times)])
    assert [frame.ego.stamp_ns for frame in bag] == CLOUDS
    assert max(errors_m(bag)) < 1e-6
    coarse = "poses of 'ego' are {} ms apart: between two of them it is taken to go straight on"
    assert bag.info().notes == [coarse.format(1000 // hertz)] * (hertz < 4)


def test_poses_too_far_apart_are_refused_with_both_stamps(tmp_path, caplog):
    """A gap in the poses: no place in it is known, however near to a cloud one end of it is."""
    kept = [stamp_ns for stamp_ns in POSES if not START_NS + 200 * MS < stamp_ns < START_NS + 600 * MS]
    rows = [*clouds(), *drive(kept)]
    with caplog.at_level(logging.WARNING):
        bag = opened(tmp_path, rows, pose_gap_ms=400.0)
    assert [frame.ego.stamp_ns for frame in bag] == [*CLOUDS[:2], *CLOUDS[7:]]
    assert max(errors_m(bag)) < 1e-6
    (note,) = bag.info().notes
    assert note == (
        "not used: 5 of 8 clouds of 'ego' without a pose, the first of 1700000000.200 s: '/odom' has nothing "
        "between 1700000000.170 s and 1700000000.670 s, 500 ms, more than pose_gap_ms 400"
    )
    # Whoever opens the bag reads it, not only `cosense info`.
    assert note in caplog.text
    assert len(open_dataset(bag.path)) == FRAMES


def test_nothing_is_said_of_moments_before_the_first_pose_and_after_the_last(tmp_path):
    """Poses that end before the clouds do: a place is never carried on, not even for 20 ms."""
    bag = opened(tmp_path, [*clouds(), *drive([stamp_ns + 50 * MS for stamp_ns in POSES[:-2]])])
    assert [frame.ego.stamp_ns for frame in bag] == CLOUDS[1:-1]
    assert bag.info().notes == [
        "not used: 2 of 8 clouds of 'ego' without a pose, the first of 1700000000.000 s: '/odom' begins at "
        "1700000000.020 s"
    ]


def test_the_clouds_of_two_agents_have_a_tolerance_of_their_own(tmp_path):
    """Two settings: what pairs clouds does not decide which poses are near enough, and the reverse."""
    seconds = [START_NS, START_NS + 1_000 * MS]
    rows = [*clouds(), *drive(seconds), *rsu(FRAMES, late_ns=20 * MS)]
    bag = opened(tmp_path, rows, tolerance_ms=19.0)
    assert [list(frame.agents) for frame in bag] == [["ego"]] * FRAMES
    assert max(errors_m(bag)) < 1e-6
    both = open_dataset(bag.path, bag=BagOptions(tolerance_ms=20.0, pose_gap_ms=1_000.0))
    assert [list(frame.agents) for frame in both] == [["ego", "rsu"]] * FRAMES


def test_stamps_of_floating_point_seconds_are_of_the_same_moment(tmp_path):
    """Rounding: a last pose that is 200 ns older than the last cloud is of that moment."""
    bag = opened(tmp_path, [*clouds(), *drive([stamp_ns - 200 for stamp_ns in CLOUDS])])
    assert len(bag) == FRAMES
    assert max(errors_m(bag)) < 1e-5


@pytest.mark.parametrize("late_ms", [1, 40, 130])
def test_poses_that_come_twice_or_late_are_the_same_poses(tmp_path, late_ms):
    """Repeated and overtaken messages: two publishers of one localisation, one of them late."""
    again = [(topic, kind, message, log_ns + late_ms * MS) for topic, kind, message, log_ns in drive()]
    bag = opened(tmp_path, [*clouds(), *drive(), *again])
    assert len(bag) == FRAMES
    assert max(errors_m(bag)) < 1e-6
    assert bag.info().notes == []


@pytest.mark.parametrize(("late_ms", "known"), [(0, 3), (7, 4), (50, 4)])
def test_two_localisations_on_one_topic_are_named(tmp_path, late_ms, known):
    """Two publishers that contradict each other: neither is taken, nor what lies between the two."""
    moved = transform_from_planar(0.0, 5.0, 0.0)
    other = [odometry(stamp_ns + late_ms * MS, moved @ T_map_base(stamp_ns)) for stamp_ns in POSES[4:]]
    bag = opened(tmp_path, [*clouds(), *drive(), *other])
    assert [frame.ego.stamp_ns for frame in bag] == CLOUDS[:known]
    assert max(errors_m(bag)) < 1e-6
    (note,) = bag.info().notes
    assert note.startswith(f"not used: {8 - known} of 8 clouds of 'ego' without a pose, the first of 17")
    assert note.endswith("its localisation jumps, or two publish")


def test_a_loop_that_drives_elsewhere_has_poses_of_its_own(tmp_path):
    """A real jump back in time: the same stamps again, another place, although poses come twice."""
    later_ns = 1_000 * MS
    away = [odometry(stamp_ns, T_map_rsu @ T_map_base(stamp_ns)) for stamp_ns in POSES]
    second = [*clouds(), *away, *away]
    again = [(topic, kind, message, log_ns + later_ns) for topic, kind, message, log_ns in second]
    bag = opened(tmp_path, [*clouds(), *drive(), *drive(), *again])
    assert [frame.sequence for frame in bag] == ["000"] * FRAMES + ["001"] * FRAMES
    for number, frame in enumerate(bag):
        world = np.eye(4) if number < FRAMES else T_map_rsu
        expected = world @ T_map_base(frame.ego.stamp_ns) @ T_base_lidar
        np.testing.assert_allclose(frame.ego.T_world_agent, expected, atol=1e-6)


def test_clouds_that_were_recorded_twice_are_frames_once(tmp_path):
    """Repeated clouds, and clouds that came late: each moment is one frame, in the order of time."""
    rows = [*clouds(), *drive()]
    topic, kind, message, log_ns = rows[2]
    rows[2] = topic, kind, message, log_ns + 150 * MS
    rows.append((topic, kind, message, log_ns + 160 * MS))
    bag = opened(tmp_path, rows)
    assert [frame.ego.stamp_ns for frame in bag] == CLOUDS
    assert {frame.sequence for frame in bag} == {"000"}
    assert bag.info().notes == ["used once: 1 cloud of 'ego' recorded twice"]


def test_two_sensors_on_one_topic_are_named(tmp_path):
    """One stamp, two clouds: the frame has one of them, and a note says so."""
    rows = [*clouds(), *drive()]
    other = cloud(CLOUDS[1], "os_sensor", CLOUDS[1] + MS)
    other[2].data = other[2].data[::-1].copy()
    bag = opened(tmp_path, [*rows, other])
    assert len(bag) == FRAMES
    assert bag.info().notes == [
        "not used: 1 cloud of 'ego' with the stamp of another one but other points: several sensors on "
        "/lidar_top, or no stamps?"
    ]


SENSING, STATE = "/sensing/lidar/top/pointcloud", "/localization/kinematic_state"
AT_NS = [START_NS + 100 * MS * n for n in range(FRAMES)]


def localised(poses: Sequence[Row], T_base_top: Matrix = T_base_lidar) -> list[Row]:
    """A car of which only the mounting is in the transforms; it is at 1, 2, ... m."""
    mounting = transform("base_link", "velodyne_top", T_base_top, 0, static=True, log_ns=START_NS)
    return in_order([mounting, *(cloud(t, "velodyne_top", topic=SENSING) for t in AT_NS), *poses])


def at_metre(number: int) -> Matrix:
    return transform_from_planar(1.0 + number, 0.0, 0.0)


def places(path: Path, **options: object) -> list[float]:
    bag = open_dataset(path, bag=BagOptions(**options))
    return [round(float(frame.ego.T_world_agent[0, 3]), 6) for frame in bag]


def test_a_mounting_is_no_pose(tmp_path):
    """A static chain says where a sensor is mounted; where the car is, odometry of its base_link says."""
    poses = [odometry(t, at_metre(n), topic=STATE) for n, t in enumerate(AT_NS)]
    path = write_rows(tmp_path / "bag", localised(poses))
    assert places(path) == [1.0 + 1.2 + n for n in range(FRAMES)]
    assert places(path, points={"car": SENSING}) == places(path)
    assert open_dataset(path).info().notes == []
    # Another agent's pose and a wish do not confuse it.
    more = [odometry(t, T_map_rsu, "drone", "/drone/odometry") for t in AT_NS]
    more += [pose_stamped(AT_NS[0], T_map_rsu, topic) for topic in ("/planning/goal", "/initialpose")]
    other = write_rows(tmp_path / "other", localised([*poses, *more]))
    assert places(other) == places(path)


def test_a_moving_joint_below_the_vehicle_is_no_pose_either(tmp_path):
    """A sensor that turns on a vehicle: its chain moves, and still odometry says where the vehicle is."""
    turning = [transform("base_link", "velodyne_top", T_base_lidar, t, static=False) for t in AT_NS]
    rows = [cloud(t, "velodyne_top", topic=SENSING) for t in AT_NS]
    poses = [odometry(t, at_metre(n), topic=STATE) for n, t in enumerate(AT_NS)]
    path = write_rows(tmp_path / "bag", in_order([*turning, *rows, *poses]))
    assert places(path) == [1.0 + 1.2 + n for n in range(FRAMES)]


def test_a_pose_without_child_frame_is_that_of_the_vehicle_and_a_note_says_so(tmp_path):
    """A PoseStamped does not say whose pose it is: base_link as REP 105 has it, or what the user says."""
    path = write_rows(
        tmp_path / "bag", localised([pose_stamped(t, at_metre(n)) for n, t in enumerate(AT_NS)])
    )
    assert places(path) == [1.0 + 1.2 + n for n in range(FRAMES)]
    assert open_dataset(path).info().notes == [
        "'/pose' names no child frame: taken as the pose of 'base_link'; if it is that of 'velodyne_top', "
        "say --pose sensing=/pose@velodyne_top"
    ]
    assert places(path, pose={"sensing": "/pose@velodyne_top"}) == [1.0 + n for n in range(FRAMES)]
    with pytest.raises(CosenseError, match="'/pose' is the pose of frame 'gnss', and no transform leads"):
        places(path, pose={"sensing": "/pose@gnss"})


def test_a_static_chain_from_a_world_is_a_pose(tmp_path):
    """A roadside unit stands still, and its place is a static transform from the map."""
    bag = open_dataset(write_rows(tmp_path / "bag", rsu(3)))
    assert all(np.allclose(frame.ego.T_world_agent, T_map_rsu) for frame in bag)


def test_only_a_mounting_and_no_pose_is_refused(tmp_path):
    with pytest.raises(CosenseError, match="Static transforms to 'base_link' only say where it is mounted"):
        open_dataset(write_rows(tmp_path / "bag", localised([])))


def two_cars(frame: str) -> list[Row]:
    rows = []
    for number, name in enumerate(("car_a", "car_b")):
        rows += [cloud(t, f"{name}/lidar", topic=f"/{name}/points") for t in AT_NS[:3]]
        T = transform_from_planar(20.0 * number, 0.0, 0.0)
        rows += [odometry(t, T, f"{name}/lidar", f"/{name}/odom", frame) for t in AT_NS[:3]]
    return in_order(rows)


def test_two_agents_in_odom_share_no_world(tmp_path):
    """Every robot has an odom of its own: one name for two frames is refused, unless the user insists."""
    path = write_rows(tmp_path / "odom", two_cars("odom"))
    with pytest.raises(
        CosenseError, match=r"every robot has an odom of its own.*--world odom if this one is"
    ):
        open_dataset(path)
    in_map = write_rows(tmp_path / "map", two_cars("map"))
    for bag in (open_dataset(path, bag=BagOptions(world="odom")), open_dataset(in_map)):
        assert bag[0].T_ego_agent("car_b")[0, 3] == 20.0


def test_poses_in_several_frames_are_joined_by_transforms(tmp_path):
    """Odometry in odom, another agent in map, and a transform between the two: all are placed in the map."""
    T_map_odom = transform_from_planar(7.0, 0.0, np.pi / 2)
    poses = [odometry(t, at_metre(n), topic=STATE, frame="odom") for n, t in enumerate(AT_NS)]
    link = [transform("map", "odom", T_map_odom, t, static=False) for t in AT_NS]
    path = write_rows(tmp_path / "bag", in_order([*localised(poses), *link, *rsu(FRAMES, late_ns=0)]))
    for number, frame in enumerate(open_dataset(path, bag=BagOptions(ego="sensing"))):
        expected = T_map_odom @ at_metre(number) @ T_base_lidar
        np.testing.assert_allclose(frame.ego.T_world_agent, expected, atol=1e-9)
        np.testing.assert_allclose(frame.agents["rsu"].T_world_agent, T_map_rsu, atol=1e-9)


@pytest.mark.parametrize("moved", ["clouds", "poses"])
def test_two_clocks_are_named_with_both_ranges(tmp_path, moved):
    """A LiDAR that counts from its boot: both ranges and the cure, not the advice to be more tolerant."""
    rows = {"clouds": clouds(), "poses": drive()}
    for _, _, message, _ in rows[moved]:
        message.header.stamp.sec -= 1_700_000_000 - 12
    with pytest.raises(CosenseError) as caught:
        opened(tmp_path, [*rows["clouds"], *rows["poses"]])
    message = str(caught.value)
    assert "tolerance" not in message
    assert "two clocks, or not recorded at one time; give all sensors one clock" in message
    early = "of 12.000 s to 12.700 s" if moved == "clouds" else "s to 12.770 s"
    assert early in message
    assert "1700000000" in message


def test_clocks_that_are_seconds_apart_are_named_although_their_ranges_overlap(tmp_path):
    """GPS time is 18 s ahead of UTC: every cloud finds a pose, and it is one of another moment."""
    stamps_ns = [START_NS + 1_000 * MS * n for n in range(40)]
    rows = [*clouds(stamps_ns), *drive(stamps_ns)]
    assert opened(tmp_path, rows).info().notes == [
        "poses of 'ego' are 1000 ms apart: between two of them it is taken to go straight on"
    ]
    for _, _, message, _ in rows[40:]:
        message.header.stamp.sec += 18
    path = write_rows(tmp_path / "gps", in_order([mount(), *rows]))
    notes = open_dataset(path).info().notes
    assert (
        "clouds of 'ego' were recorded 0.0 s after their stamps, its poses -18.0 s: if these are two clocks, "
        "give all sensors one clock (PTP or NTP, or the driver's choice of time stamps)"
    ) in notes


def test_a_clock_that_is_ahead_by_a_second_is_named(tmp_path):
    """Nothing is recorded before it is measured: a second is no delay, it is another clock."""
    rows = [*clouds(), *drive([*POSES, *(stamp_ns + 1_000 * MS for stamp_ns in POSES)])]
    for topic, _, message, _ in rows:
        message.header.stamp.sec += topic == "/lidar_top"
    assert (
        "clouds of 'ego' were recorded -1.0 s after their stamps, its poses 0.0 s: if these are two clocks, "
        "give all sensors one clock (PTP or NTP, or the driver's choice of time stamps)"
    ) in opened(tmp_path, rows).info().notes


def test_two_agents_with_two_clocks_are_named(tmp_path):
    """The clouds of two agents that no moment joins: their ranges, not only that one is missing."""
    bag = opened(tmp_path, [*clouds(), *drive(), *rsu(3, late_ns=-500_000_000 * MS)])
    (note,) = bag.info().notes
    assert note.startswith(
        "clouds of 'rsu' are of 1699500000.000 s to "
        "1699500000.200 s, those of 'ego' of 1700000000.000 s to 1700000000.700 s: two clocks"
    )


def test_a_frame_with_two_parents_is_named(tmp_path):
    """Two publishers of one frame: its transforms from both parents are not one way."""
    other = [transform("odom", "base_link", T_map_rsu, t, static=False) for t in POSES[:3]]
    rows = [transform("map", "base_link", T_map_base(t), t, static=False) for t in POSES]
    bag = opened(tmp_path, [*clouds(), *rows, *other])
    assert max(errors_m(bag)) < 1e-6
    assert bag.info().notes == [
        "frame 'base_link' has several parents: 'map', which was recorded last, counts, not 'odom'"
    ]


def test_a_covariance_is_carried_along(tmp_path):
    """Between two poses it lies between the two; on another frame the heading's error moves the sensor."""
    rows = [*clouds([START_NS]), *(odometry(START_NS + t * MS, at_metre(0)) for t in (-100, 300))]
    for (_, _, message, _), value in zip(rows[1:], (0.04, 0.08), strict=True):
        message.pose.covariance = np.diag([value, value, 0, 0, 0, 0.01]).reshape(-1)
    covariance = opened(tmp_path, rows)[0].ego.pose_covariance
    # The LiDAR is 1.2 m ahead: 1.2 m * 1.2 m * 0.01 rad^2 sideways.
    expected = np.diag([0.05, 0.05 + 0.0144, 0.01])
    expected[1, 2] = expected[2, 1] = 0.012
    np.testing.assert_allclose(covariance, expected, atol=1e-12)


def test_a_unit_that_is_fixed_to_the_world_of_others_stands_there(tmp_path):
    """A world of another name than map: where somebody moves in it, a static transform from it is a place."""
    moving = [transform("utm_32", "base_link", T_map_base(t), t, static=False) for t in POSES]
    place = transform("utm_32", "rsu_lidar", T_map_rsu, 0, static=True, log_ns=START_NS)
    heard = [cloud(t, "rsu_lidar", topic="/rsu/points") for t in CLOUDS]
    bag = opened(tmp_path, [*clouds(), *moving, place, *heard])
    assert max(errors_m(bag)) < 1e-6
    assert all(np.allclose(frame.agents["rsu"].T_world_agent, T_map_rsu) for frame in bag)
    given = [odometry(t, T_map_base(t), frame="utm_32") for t in POSES]
    other = write_rows(tmp_path / "odometry", in_order([mount(), *clouds(), *given, place, *heard]))
    assert all(np.allclose(frame.agents["rsu"].T_world_agent, T_map_rsu) for frame in open_dataset(other))


def test_a_pose_that_is_given_once_names_the_cure(tmp_path):
    """A latched pose is known at its own moment alone: who stands still has a static transform."""
    notes = opened(tmp_path, [*clouds(), *drive([START_NS])]).info().notes
    assert notes[1:] == [
        "'/odom' gives a single pose: if 'ego' stands still, record its place as a static transform from "
        "the map"
    ]


def test_clouds_without_stamps_are_named(tmp_path):
    """A driver that leaves the header empty: every stamp is 0."""
    rows = [cloud(0, "os_sensor", stamp_ns) for stamp_ns in CLOUDS]
    with pytest.raises(
        CosenseError, match=r"of 0.000 s to 0.000 s, its poses .*: no stamps are set; give all"
    ):
        opened(tmp_path, [*rows, *drive()])


def test_a_clock_that_was_set_back_during_the_recording_mixes_nothing(tmp_path):
    """All stamps step back by 250 ms: poses of before and after the step lie between each other."""
    rows = [*clouds(), *drive(range(START_NS - 20 * MS, START_NS + 900 * MS, 20 * MS))]
    for _, _, message, log_ns in rows:
        if log_ns >= START_NS + 400 * MS:
            stamp_ns = log_ns - 250 * MS
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    bag = opened(tmp_path, rows)
    stepped = [250 * MS * (number >= 4) for number in range(len(bag))]
    for frame, ns in zip(bag, stepped, strict=True):
        expected = T_map_base(frame.ego.stamp_ns + ns) @ T_base_lidar
        np.testing.assert_allclose(frame.ego.T_world_agent, expected, atol=1e-6)
    assert [frame.sequence for frame in bag] == ["000"] * 4 + ["001"] * 4


def test_poses_that_name_no_frame_are_noted(tmp_path):
    """Two agents whose poses are given in no frame: used as one world, and said so."""
    bag = open_dataset(write_rows(tmp_path / "bag", two_cars("")))
    assert bag.info().notes == [
        "poses without a frame are taken to be of one world: 'car_a' in '', 'car_b' in ''"
    ]
