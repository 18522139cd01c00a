"""A frame in a window that turns with the mouse, by Open3D (extra "open3d")."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.viewer import colors
from cosense.viewer.in_space.contents import Contents, Wires
from cosense.viewer.in_space.picture import Eye

_INSTEAD = "or write a picture, which needs nothing: --3d --out picture.png"
_LARGEST_IMAGE = 1024


def show(contents: Contents, title: str) -> None:
    """Open a window and return when it is closed.

    Raises:
        CosenseError: Open3D is not there or not usable, or there is no display.
    """
    open3d = import_open3d()
    window = open3d.visualization.Visualizer()
    if not window.create_window(title, 1600, 900):
        raise CosenseError(f"no window can be opened here: run it where there is a display, {_INSTEAD}")
    for geometry in geometries(contents, open3d):
        window.add_geometry(geometry)
    options = window.get_render_option()
    options.background_color = np.array(colors.rgba(colors.BACKGROUND)[:3])
    options.point_size = 2.0
    options.mesh_show_back_face = True
    eye, view = Eye(), window.get_view_control()
    view.set_lookat(eye.middle)
    view.set_front(np.subtract(eye.place, eye.middle))
    view.set_up((0.0, 0.0, 1.0))
    view.set_zoom(0.15)
    window.run()
    window.destroy_window()


def import_open3d() -> Any:
    """Return the library.

    Raises:
        CosenseError: it is not installed, or lacks a library of the system.
    """
    try:
        import open3d
    except ModuleNotFoundError as error:
        raise CosenseError(
            f"a window needs Open3D ({error}): pip install 'cosense[open3d]', {_INSTEAD}"
        ) from None
    except ImportError as error:
        raise CosenseError(
            f"Open3D lacks a library of the system ({error}): apt install libusb-1.0-0 libgl1 libegl1 "
            f"libx11-6, {_INSTEAD}"
        ) from None
    return open3d


def geometries(contents: Contents, open3d: Any) -> list[Any]:
    """Return what there is to see as geometries of Open3D."""
    vectors, indices = open3d.utility.Vector3dVector, open3d.utility.Vector2iVector
    made: list[Any] = []
    for cloud in contents.clouds:
        points = open3d.geometry.PointCloud(vectors(cloud.points))
        points.paint_uniform_color(colors.rgba(cloud.color)[:3])
        made.append(points)
    # Cells as outlines: surfaces would hide the points of the ground, since here nothing is transparent.
    outlines = [Wires(tiles.name, tiles.color, _outlines(tiles.corners)) for tiles in contents.tiles]
    for wires in (*contents.wires, *outlines):
        pairs = np.arange(2 * len(wires.lines)).reshape(-1, 2)
        lines = open3d.geometry.LineSet(vectors(wires.lines.reshape(-1, 3)), indices(pairs))
        lines.paint_uniform_color(colors.rgba(wires.color)[:3])
        made.append(lines)
    for picture in contents.pictures:
        mesh = _rectangle(picture.corners, open3d)
        uv = np.array([[0, 0], [1, 0], [1, 1], [0, 0], [1, 1], [0, 1]], dtype=np.float64)
        mesh.triangle_uvs = open3d.utility.Vector2dVector(uv)
        mesh.textures = [open3d.geometry.Image(_reduced(picture.image))]
        mesh.triangle_material_ids = open3d.utility.IntVector([0, 0])
        made.append(mesh)
    return made


def _outlines(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sides (4 K,2,3) of rectangles (K,4,3)."""
    return np.stack([corners, np.roll(corners, -1, axis=1)], axis=2).reshape(-1, 2, 3)


def _rectangle(corners: NDArray[np.float64], open3d: Any) -> Any:
    """Return a rectangle (4,3) as a mesh."""
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    return open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(corners), open3d.utility.Vector3iVector(triangles)
    )


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image that is no larger than a texture has to be."""
    scale = min(1.0, _LARGEST_IMAGE / max(image.shape[:2]))
    size = (round(scale * image.shape[1]), round(scale * image.shape[0]))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
