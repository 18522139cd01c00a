from __future__ import annotations

from cosense.nodes.image_join import ImageJoin

MS = 1_000_000


def join(*cameras: str) -> ImageJoin[str, str]:
    return ImageJoin(cameras, wait_ns=100 * MS, max_gap_ns=150 * MS)


def told(done) -> list[tuple[str, dict[str, str], list[str]]]:
    """Return cloud, images by camera, and the cameras that are missing."""
    return [
        (item.cloud, {name: image for name, (_, image) in item.images.items()}, list(item.missing))
        for item in done
    ]


def test_without_cameras_nothing_waits():
    assert told(join().add_cloud(0, "cloud", 0)) == [("cloud", {}, [])]


def test_a_cloud_waits_for_an_image_of_its_moment_from_each_camera():
    both = join("front", "rear")
    assert both.add_cloud(1000 * MS, "cloud", 0) == []
    assert both.add_image("rear", 1000 * MS, "rear at 1.0", 0) == []
    # Too old to be the nearest one.
    assert both.add_image("front", 900 * MS, "front at 0.9", 0) == []
    done = both.add_image("front", 1030 * MS, "front at 1.03", 10 * MS)
    assert told(done) == [("cloud", {"front": "front at 1.03", "rear": "rear at 1.0"}, [])]
    assert done[0].images["front"][0] == 1030 * MS


def test_images_that_came_first_are_found_and_the_nearest_one_counts():
    front = join("front")
    for stamp_ms in (900, 960, 1050):
        front.add_image("front", stamp_ms * MS, f"at {stamp_ms}", 0)
    assert told(front.add_cloud(1000 * MS, "cloud", 0)) == [("cloud", {"front": "at 960"}, [])]


def test_a_camera_that_lets_a_cloud_wait_in_vain_is_lost_until_it_is_back():
    front = join("front")
    front.add_image("front", 500 * MS, "last", 0)
    assert front.add_cloud(1000 * MS, "first", 0) == []
    assert front.ready(99 * MS) == []
    done = front.ready(100 * MS)
    assert told(done) == [("first", {}, ["front"])]
    assert done[0].missing["front"] == "camera 'front' has sent nothing for 500 ms"
    # Nothing waits for it any more,
    assert told(front.add_cloud(1100 * MS, "second", 100 * MS)) == [("second", {}, ["front"])]
    # until it is back.
    front.add_image("front", 1110 * MS, "back", 150 * MS)
    assert front.add_cloud(1200 * MS, "third", 200 * MS) == []
    assert told(front.add_image("front", 1200 * MS, "new", 210 * MS)) == [("third", {"front": "new"}, [])]


def test_clouds_stay_in_order():
    front = join("front")
    front.add_cloud(0, "first", 0)
    front.add_cloud(100 * MS, "second", 20 * MS)
    done = front.add_image("front", 100 * MS, "image", 30 * MS)
    assert [cloud for cloud, *_ in told(done)] == ["first", "second"]


def test_a_recording_that_starts_again_is_not_joined_with_the_images_before():
    front = join("front")
    front.add_image("front", 100 * MS, "old", 0)
    front.add_image("front", 90 * MS, "new", 0)
    assert told(front.add_cloud(100 * MS, "cloud", 0)) == [("cloud", {"front": "new"}, [])]
