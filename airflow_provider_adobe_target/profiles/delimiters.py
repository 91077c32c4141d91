"""Replace commas and line breaks in a column of text.

Algorithm: find the delimiters in the bytes of the whole column, extend all of them over adjacent spaces at a time, and
merge those that touch. A run that touches a cell boundary is removed. Of another run, one byte remains, which becomes a
space. No step handles a single cell, and no regular expression is used.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.profiles.encoding import cell_starts, string_bytes
from airflow_provider_adobe_target.profiles.values.text_column import nulled

_SPACE = 0x20

Positions = npt.NDArray[np.int64]


def replace_delimiters(text: pa.StringArray) -> tuple[pa.StringArray, int]:
    """Replace each run of commas, CRs and LFs, including adjacent spaces, by one space. Remove runs at either end.

    :return: The texts, null if nothing is left; and the number of texts that changed.
    """
    data, cells = string_bytes(text), cell_starts(text)
    is_boundary = np.zeros(len(data) + 1, bool)
    is_boundary[cells] = True
    starts, ends = _runs(data, is_boundary)
    if not len(starts):
        return text, 0
    stays = ~(is_boundary[starts] | is_boundary[ends])
    removed = ends - starts - stays  # bytes of each run that are removed
    kept = np.ones(len(data), bool)
    first, before = starts + stays, np.cumsum(removed) - removed
    kept[np.arange(removed.sum()) + np.repeat(first - before, removed)] = False
    replaced = data.copy()
    replaced[starts[stays]] = _SPACE
    cell_of_run = np.searchsorted(cells, starts, "right") - 1
    shorter = np.bincount(cell_of_run, removed, len(text))
    lengths = np.diff(cells) - shorter.astype(np.int32)
    offsets = np.zeros(len(cells), np.int32)
    np.cumsum(lengths, out=offsets[1:])
    valid = pc.is_valid(text).buffers()[1] if text.null_count else None
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(replaced[kept])]
    result = pa.Array.from_buffers(pa.string(), len(text), buffers)
    empty = (lengths == 0) & (shorter > 0)
    changed = 1 + int(np.count_nonzero(np.diff(cell_of_run)))
    return (nulled(result, pa.array(empty)) if empty.any() else result), changed


def _runs(data: npt.NDArray[np.uint8], is_boundary: npt.NDArray[np.bool_]) -> tuple[Positions, Positions]:
    """Return the start and end of each maximal run that contains a delimiter, in order."""
    delimiters = np.flatnonzero((data == ord(",")) | (data == ord("\r")) | (data == ord("\n")))
    starts = _past_spaces(data, is_boundary, delimiters, -1)
    # A delimiter that only spaces separate from the previous one, in the same cell, belongs to the same run.
    is_first = (starts != np.append(-1, delimiters[:-1] + 1)) | is_boundary[starts]
    is_last = np.append(is_first[1:], True)[: len(is_first)]
    return starts[is_first], _past_spaces(data, is_boundary, delimiters[is_last] + 1, 1)


def _past_spaces(
    data: npt.NDArray[np.uint8], is_boundary: npt.NDArray[np.bool_], positions: Positions, step: int
) -> Positions:
    """Move positions to the left or right (``step`` -1 or 1) over the adjacent spaces of the same cell."""
    positions, moving = positions.copy(), np.arange(len(positions))
    byte = -1 if step < 0 else 0  # the next byte, relative to the position
    while len(moving := moving[~is_boundary[positions[moving]]]):
        moving = moving[data[positions[moving] + byte] == _SPACE]
        positions[moving] += step
    return positions
