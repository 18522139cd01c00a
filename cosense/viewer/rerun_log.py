"""Frames as a recording for Rerun's viewer (extra "rerun"): one timeline, one layout of views.

    ego/<agent>, ego/<source of boxes>, ego/graph of ..., ego/sent by ..., ego/asked for by ...
    images/<agent>/<camera>
    bytes/<sender>, latency/ms, mode

Entities that a frame does not have are cleared, so that nothing of an earlier frame stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.methods.model import Model
from cosense.viewer import colors
from cosense.viewer.in_space.contents import contents_of
from cosense.viewer.pack import ReportFrame

_POINT_RADIUS_M = 0.04
_LINE_RADIUS_M = 0.04
_JPEG_QUALITY = 75
_LIVE = "rerun+http"

# The path of an entity by its parts, in which any character may be.
_Parts = tuple[str, ...]


class RerunLog:
    """A recording: a file that the viewer opens, or a stream to a viewer that is open."""

    def __init__(self, target: str, title: str, model: Model | None = None) -> None:
        """Open the recording.

        Args:
            target: path of a .rrd file, or address of a viewer, as rerun+http://127.0.0.1:9876/proxy.
            title: what is recorded.
            model: whose cells are in messages; None where nobody has looked for boxes.

        Raises:
            CosenseError: Rerun is not installed, or the file cannot be written.
        """
        check_target(target)
        self._rerun, blueprint = _import_rerun()
        self._model = model
        self._seen: set[_Parts] = set()
        self._stream = self._rerun.RecordingStream("cosense")
        self._stream.send_recording_name(title)
        if target.startswith(_LIVE):
            self._stream.connect_grpc(target, default_blueprint=_layout(blueprint))
            return
        self._stream.save(Path(target), default_blueprint=_layout(blueprint))

    def add(self, index: int, page: ReportFrame) -> None:
        """Record the `index`-th frame."""
        rerun, stream = self._rerun, self._stream
        stream.set_time("frame", sequence=index)
        stream.set_time("time", timestamp=np.datetime64(page.frame.ego.stamp_ns, "ns"))
        contents = contents_of(page, self._model)
        shown: dict[_Parts, Any] = {}
        for cloud in contents.clouds:
            shown["ego", cloud.name] = rerun.Points3D(
                cloud.points, colors=_rgb(cloud.color), radii=_POINT_RADIUS_M
            )
        for wires in contents.wires:
            shown["ego", wires.name] = rerun.LineStrips3D(
                wires.lines, colors=_rgb(wires.color), radii=_LINE_RADIUS_M
            )
        for tiles in contents.tiles:
            shown["ego", tiles.name] = _mesh(rerun, tiles.corners, tiles.color)
        for picture in contents.pictures:
            parts = ("images", *picture.name.split("/"))
            shown[parts] = rerun.Image(picture.image).compress(jpeg_quality=_JPEG_QUALITY)
        for sender, count in (page.result.bytes_per_sender if page.result else {}).items():
            shown["bytes", sender] = rerun.Scalars(float(count))
        if page.elapsed_ms is not None:
            shown["latency", "ms"] = rerun.Scalars(page.elapsed_ms)
        if page.mode:
            shown["mode",] = rerun.TextLog(page.mode)
        for name, entity in shown.items():
            stream.log(list(name), entity)
        for name in self._seen - shown.keys():
            stream.log(list(name), rerun.Clear(recursive=False))
        self._seen |= shown.keys()

    def __enter__(self) -> RerunLog:
        return self

    def __exit__(self, *error: object) -> None:
        """Complete the recording."""
        self._stream.flush()
        self._stream.disconnect()


class NewestSlot:
    """Hands values to a function in a thread of its own: whoever offers one never waits.

    There is room for one value. Another that comes while the function still works replaces it.
    """

    def __init__(self, work: Callable[[Any], None]) -> None:
        """Start the thread, which calls `work`."""
        self._work = work
        self._changed = threading.Condition()
        self._waiting: list[Any] = []
        self._is_closed = False
        self._failure: BaseException | None = None
        self.num_replaced = 0
        self._thread = threading.Thread(target=self._run, name="newest-slot", daemon=True)
        self._thread.start()

    def offer(self, value: Any) -> None:
        """Leave a value, and go on."""
        with self._changed:
            self.num_replaced += len(self._waiting)
            self._waiting = [value]
            self._changed.notify()

    def __enter__(self) -> NewestSlot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the value that is still there, and raise what has gone wrong, if nothing else has."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
                value = self._waiting.pop()
            try:
                self._work(value)
            except Exception as failure:
                self._failure = failure
                return


def check_target(target: str) -> None:
    """Refuse what no recording can be written to, before there is anything to record; makes an empty file.

    Raises:
        CosenseError: Rerun is not installed, it is no recording, or the file cannot be written.
    """
    _import_rerun()
    if target.startswith(_LIVE):
        return
    path = Path(target)
    if path.suffix != ".rrd":
        raise CosenseError(
            f"--rerun {target}: expected a file that ends in .rrd, or an address {_LIVE}://..."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("wb").close()
    except OSError as error:
        raise CosenseError(f"{path}: cannot be written: {error.strerror}") from None


def _import_rerun() -> tuple[Any, Any]:
    try:
        import rerun
        import rerun.blueprint
    except ImportError as error:
        raise CosenseError(f"--rerun needs Rerun's SDK ({error}): pip install 'cosense[rerun]'") from None
    return rerun, rerun.blueprint


def _layout(blueprint: Any) -> Any:
    """Return the views: space beside images, bytes, latency and modes."""
    return blueprint.Blueprint(
        blueprint.Horizontal(
            blueprint.Spatial3DView(origin="/ego", name="frame of the ego"),
            blueprint.Vertical(
                blueprint.Spatial2DView(origin="/images", name="images"),
                blueprint.TimeSeriesView(origin="/bytes", name="bytes of each sender"),
                blueprint.TimeSeriesView(origin="/latency", name="latency, ms"),
                blueprint.TextLogView(origin="/mode", name="modes"),
                row_shares=[3, 2, 2, 1],
            ),
            column_shares=[3, 1],
        ),
        collapse_panels=True,
    )


def _mesh(rerun: Any, corners: NDArray[np.float64], color: str) -> Any:
    """Return rectangles (K,4,3) as a mesh."""
    first = 4 * np.arange(len(corners))[:, None, None]
    triangles = (first + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
    return rerun.Mesh3D(
        vertex_positions=corners.reshape(-1, 3), triangle_indices=triangles, albedo_factor=[*_rgb(color), 90]
    )


def _rgb(color: str) -> list[int]:
    return [round(255 * value) for value in colors.rgba(color)[:3]]
