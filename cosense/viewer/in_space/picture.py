"""A frame in perspective as a picture, by NumPy and OpenCV: without display, graphics card and drivers.

The eye is behind and above the ego and looks ahead, or wherever it is told. Points hide what is behind them;
lines are seen through everything, since a box that is hidden is what one looks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix, invert, transform_from, transform_points
from cosense.viewer import colors
from cosense.viewer.in_space.contents import Cloud, Contents, Tiles, Wires

SIZE = (1600, 900)
DPI = 100
_FOCAL = 900.0  # pixels
_NEAREST_M = 0.5
_TILE_ALPHA = 0.35
_MOST_PICTURES = 4
# The farther a point, the darker: by half every so many metres.
_HALF_M = 90.0


@dataclass(frozen=True)
class Eye:
    """Where the picture is taken from: a place and what is in its middle, both (x, y, z) in the ego frame."""

    place: tuple[float, float, float] = (-24.0, 0.0, 17.0)
    middle: tuple[float, float, float] = (20.0, 0.0, -3.0)

    @property
    def T_eye_ego(self) -> Matrix:
        """(4,4) into the optical frame: z forward, x right, y down."""
        forward = np.subtract(self.middle, self.place)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(forward, right), forward], axis=1)
        return invert(transform_from(axes, self.place))

    def pixels(self, places: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return pixels (N,2) and depths (N,) of places (N,3) in the ego frame."""
        seen = transform_points(self.T_eye_ego, places)
        depth = seen[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = _FOCAL * seen[:, :2] / depth[:, None] + np.array(SIZE) / 2
        return pixels, depth


def draw_in_space(contents: Contents, path: Path, *, title: str, eye: Eye | None = None) -> None:
    """Draw a frame.

    Args:
        contents: what there is to see.
        path: PNG file; its folders are made.
        title: text at the top left.
        eye: where it is seen from; None for behind and above the ego.
    """
    figure = Figure((SIZE[0] / DPI, SIZE[1] / DPI), dpi=DPI, facecolor=colors.BACKGROUND)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(rendered(contents, eye or Eye()), interpolation="none", aspect="auto")
    figure.text(0.012, 0.965, title, color=colors.TEXT, fontsize=13)
    named: list[Cloud | Wires | Tiles] = [*contents.clouds, *contents.wires, *contents.tiles]
    handles = [Line2D([], [], color=each.color, lw=3, label=each.name) for each in named]
    axes.legend(handles=handles, loc="upper right", frameon=False, labelcolor=colors.TEXT, fontsize=11)
    for number, picture in enumerate(contents.pictures[:_MOST_PICTURES]):
        inset = figure.add_axes((0.012 + 0.2 * number, 0.02, 0.19, 0.19))
        inset.imshow(picture.image)
        inset.set_axis_off()
        inset.set_title(picture.name, color=colors.TEXT, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=DPI, facecolor=colors.BACKGROUND)


def rendered(contents: Contents, eye: Eye) -> NDArray[np.uint8]:
    """Return the picture (H,W,3) without words and images."""
    width, height = SIZE
    image = np.full((height, width, 3), _rgb(colors.BACKGROUND), dtype=np.uint8)
    for tiles in contents.tiles:
        _draw_tiles(image, tiles.corners, _rgb(tiles.color), eye)
    nearest = np.full((height, width), np.inf)
    for cloud in contents.clouds:
        _draw_points(image, nearest, cloud.points, _rgb(cloud.color), eye)
    for wires in contents.wires:
        for line in wires.lines:
            _draw_line(image, line, _rgb(wires.color), eye)
    return image


def _draw_points(
    image: NDArray[np.uint8],
    nearest: NDArray[np.float64],
    points: NDArray[np.float64],
    color: tuple[int, int, int],
    eye: Eye,
) -> None:
    """Draw points that nothing nearer hides; `nearest` are the depths of what is drawn."""
    pixels, depth = eye.pixels(points)
    height, width = nearest.shape
    inside = (depth > _NEAREST_M) & (pixels >= 0).all(axis=1) & (pixels < (width, height)).all(axis=1)
    places, depth = pixels[inside].astype(np.int64), depth[inside]
    # The nearest of the points on a pixel comes last, and stays.
    order = np.argsort(-depth, kind="stable")
    (columns, rows), depth = places[order].T, depth[order]
    front = depth < nearest[rows, columns]
    rows, columns, depth = rows[front], columns[front], depth[front]
    nearest[rows, columns] = depth
    shade = 0.25 + 0.75 * 0.5 ** (depth / _HALF_M)
    image[rows, columns] = (shade[:, None] * np.array(color)).astype(np.uint8)


def _draw_line(
    image: NDArray[np.uint8], line: NDArray[np.float64], color: tuple[int, int, int], eye: Eye
) -> None:
    """Draw the part of a line (2,3) that is before the eye."""
    seen = transform_points(eye.T_eye_ego, line)
    depths = seen[:, 2]
    if depths.max() <= _NEAREST_M:
        return
    if depths.min() < _NEAREST_M:
        behind = int(depths.argmin())
        share = (_NEAREST_M - depths[behind]) / (depths[1 - behind] - depths[behind])
        line = line.copy()
        line[behind] += share * (line[1 - behind] - line[behind])
    pixels, _ = eye.pixels(line)
    ends = np.clip(pixels, -20_000, 20_000).round().astype(int).tolist()
    cv2.line(image, ends[0], ends[1], color, 1, cv2.LINE_AA)


def _draw_tiles(
    image: NDArray[np.uint8], corners: NDArray[np.float64], color: tuple[int, int, int], eye: Eye
) -> None:
    """Lay half transparent cells (K,4,3) over the picture; those that reach behind the eye are left out."""
    pixels, depth = eye.pixels(corners.reshape(-1, 3))
    ahead = (depth.reshape(-1, 4) > _NEAREST_M).all(axis=1)
    polygons = pixels.reshape(-1, 4, 2)[ahead].round().astype(np.int32)
    over = image.copy()
    cv2.fillPoly(over, list(polygons), color)
    cv2.addWeighted(over, _TILE_ALPHA, image, 1 - _TILE_ALPHA, 0, dst=image)


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in colors.rgba(color)[:3])
    return red, green, blue
