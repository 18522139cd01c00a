"""Point clouds as bare tables of numbers: .bin as KITTI and nuScenes have it, and .npy.

A .bin file is float32 without a header: x, y, z, intensity in KITTI; a ring, a time or colors may follow.
How many columns there are is told by the values: read in rows of the right length, columns differ from each
other (heights from widths, intensities from both); in rows of a wrong one each column is a mixture of all.
Four is what a file has that shows nothing else. What does not look like x, y, z and an intensity is refused,
and can be read by naming its columns.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError, read_file
from cosense.sensing.cloud import RawCloud, find_fields

_KITTI_COLUMNS = 4
_MOST_COLUMNS = 16
# Share of the variance that lies between columns below which they are taken to be mixtures.
_DISTINCT = 0.05
# As above for few rows, times their number: chance alone makes it about 1.
_DISTINCT_FEW = 2.0
# Share of the best from which a number of columns is as good: wrong ones have some columns in common.
_AS_DISTINCT = 0.75
# Fewer rows show nothing, and nor do numbers that are too few for rows of six.
_FEWEST_ROWS = 6
_FEWEST_NUMBERS = 36
_FARTHEST_M = 1000.0
_CURE = 'name the columns, as --columns "x y z intensity ring"'


def read_raw_bin(path: str | os.PathLike[str], columns: Sequence[str] = ()) -> RawCloud:
    """Read a table of float32 numbers.

    Args:
        path: path of the file.
        columns: names of the columns; none to tell them by the values.

    Raises:
        CosenseError: the file is missing, holds no whole rows, or is not like x, y, z and an intensity.
    """
    content = read_file(Path(path))
    if len(content) % 4:
        raise CosenseError(
            f"{path}: {len(content)} bytes are no whole number of float32 numbers; fetch the file again"
        )
    values = np.frombuffer(content, dtype="<f4")
    count = len(columns) or _columns_of(values)
    if columns and len(values) % len(columns):
        raise CosenseError(
            f"{path}: {len(values)} float32 numbers are not rows of the {len(columns)} columns "
            f"'{' '.join(columns)}'; name as many as a row has, or fetch the file again"
        )
    if count is None:
        raise CosenseError(
            f"{path}: {len(values)} float32 numbers are not rows of 3 to 16 with x, y, z in metres and an "
            f"intensity; fetch the file again, or {_CURE}"
        )
    return _table(str(path), values.reshape(-1, count), columns)


def read_raw_npy(path: str | os.PathLike[str], columns: Sequence[str] = ()) -> RawCloud:
    """Read an array of numpy: (N, columns) of numbers, or (N,) of records with named fields.

    Args:
        path: path of the file.
        columns: names of the columns; none for x, y, z, an intensity and whatever follows.

    Raises:
        CosenseError: the file is missing, is no array, or has another shape.
    """
    try:
        array = np.load(io.BytesIO(read_file(Path(path))), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise CosenseError(f"{path}: not readable as an array of numpy: {error}; write it again") from None
    if not isinstance(array, np.ndarray):
        raise CosenseError(f"{path}: holds several arrays; save the one of the points with numpy.save")
    if array.dtype.names is not None and array.ndim == 1:
        return _named(str(path), array.dtype.names, [array[name] for name in array.dtype.names])
    is_table = array.ndim == 2 and array.dtype.kind in "fiu" and 3 <= array.shape[1] <= _MOST_COLUMNS
    if not is_table or (columns and array.shape[1] != len(columns)):
        expected = f"(N, {len(columns)})" if columns else "(N, 3) to (N, 16)"
        raise CosenseError(
            f"{path}: an array of {array.dtype} with shape {array.shape}, expected numbers {expected}; save "
            "it in that shape"
        )
    return _table(str(path), array, columns)


def column_names(text: str) -> tuple[str, ...]:
    """Return the names in "x y z intensity ring", which may also have commas.

    Raises:
        CosenseError: x, y or z is missing, or a name comes twice.
    """
    names = tuple(text.replace(",", " ").split())
    for name in "xyz":
        if names.count(name) != 1:
            raise CosenseError(
                f"--columns '{text}': '{name}' is there {names.count(name)} times; expected once"
            )
    return names


def _table(source: str, rows: NDArray, columns: Sequence[str]) -> RawCloud:
    """Return the cloud of rows (N, columns), whose columns have names or the usual order."""
    if columns:
        return _named(source, columns, rows.T)
    count = rows.shape[1]
    if count == 3:
        return _named(source, "xyz", rows.T)
    remarks = [f"{count} columns are taken as x, y, z, intensity and others"] if count > 4 else []
    names = ["x", "y", "z", "intensity", *["_"] * (count - 4)]
    if count >= 6 and _are_colors(rows[:, 3:6]):
        names[3:6] = "r", "g", "b"
        remarks = [f"{count} columns are taken as x, y, z, red, green, blue"]
    elif (rows[:, 3] < 0).any():
        raise CosenseError(
            f"{source}: the fourth of {count} columns goes down to {np.nanmin(rows[:, 3]):g}, which is no "
            f"intensity; {_CURE}"
        )
    return _named(source, names, rows.T, remarks)


def _named(
    source: str, names: Sequence[str], columns: Sequence[NDArray], remarks: Sequence[str] = ()
) -> RawCloud:
    found = find_fields(names)
    if found is None:
        raise CosenseError(f"{source}: the columns are '{' '.join(names)}', expected x, y and z among them")
    return found.assembled(source, [columns[position] for position in found.wanted], remarks)


def _columns_of(values: NDArray[np.float32]) -> int | None:
    """Return the number of columns of a flat table (numbers,), None if nothing fits."""
    most = min(_MOST_COLUMNS, len(values) // _FEWEST_ROWS) if len(values) >= _FEWEST_NUMBERS else 0
    explained = {count: _explained(values, count) for count in range(3, most + 1)}
    distinct = {
        count: share
        for count, share in explained.items()
        if share > max(_DISTINCT, _DISTINCT_FEW * count / len(values))
    }
    count = _KITTI_COLUMNS
    if distinct:
        least = _AS_DISTINCT * max(distinct.values())
        count = next(count for count, share in distinct.items() if share >= least)
        # Whether its parts are alike only more rows than columns can tell.
        longer = [whole for whole in range(2 * count, most + 1, count) if len(values) > whole**2]
        count = next((whole for whole in longer if _has_other_kinds(values, count, whole)), count)
    fits = len(values) % count == 0 and _is_cloud(values.reshape(-1, count))
    return count if fits else None


def _explained(values: NDArray[np.float32], count: int) -> float:
    """Return the share of the variance that lies between columns, were there `count` of them."""
    rows = _some_rows(values, count)
    if not len(rows):
        return 0.0
    shares = []
    # Coordinates differ in sign and size, intensities and rings in being positive or whole numbers.
    for looked_at in (np.arcsinh(rows), np.arcsinh(np.abs(rows)), (rows == np.round(rows)).astype(float)):
        total = looked_at.var()
        shares.append(looked_at.mean(axis=0).var() / total if total > 0 else 0.0)
    return float(max(shares))


def _has_other_kinds(values: NDArray[np.float32], count: int, whole: int) -> bool:
    """Return whether rows of `whole` columns are not several rows of `count` each, whose columns are alike.

    Alike are coordinates of two beams that take turns, say, and not a coordinate and a ring.
    """
    rows = _some_rows(values, whole)
    if not len(rows):
        return False
    size = np.log(np.median(np.abs(rows), axis=0) + 0.01)
    is_whole, is_negative = (rows == np.round(rows)).mean(axis=0), (rows < 0).mean(axis=0)
    for start in range(count, whole, count):
        first, other = slice(0, count), slice(start, start + count)
        differs = np.abs(size[first] - size[other]) > np.log(3)
        differs |= np.abs(is_whole[first] - is_whole[other]) > 0.5
        differs |= np.abs(is_negative[first] - is_negative[other]) > 0.4
        is_normal = np.abs(np.linalg.norm(rows[:, start : start + 3], axis=1) - 1) < 1e-3
        if is_normal.all() or differs.sum() > count / 2:
            return True
    return False


def _some_rows(values: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Return rows (some, count) from all over a flat table.

    They follow each other in ten pieces: every tenth row would itself be a pattern.
    """
    rows = values[: len(values) // count * count].reshape(-1, count)
    rows = np.concatenate([piece[:1000] for piece in np.array_split(rows, 10)])
    return rows[np.isfinite(rows).all(axis=1)].astype(np.float64)


def _is_cloud(rows: NDArray[np.float32]) -> bool:
    """Return whether the first columns of rows (N, columns) are like metres."""
    finite = rows[np.isfinite(rows[:, :3]).all(axis=1), :3]
    return not len(rows) or (len(finite) > 0 and float(np.median(np.abs(finite).max(axis=1))) < _FARTHEST_M)


def _are_colors(channels: NDArray) -> bool:
    """Return whether three columns (N,3) are all bytes or all shares of one, and no rings or times."""
    is_inside = bool((channels >= 0).all())
    if np.array_equal(channels, np.round(channels)):
        return is_inside and channels.max(initial=0) <= 255 and bool((channels.max(axis=0) > 128).all())
    return is_inside and channels.max(initial=0) <= 1
