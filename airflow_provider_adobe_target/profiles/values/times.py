"""Text form of dates and times: ISO 8601, without trailing zeros, with the UTC offset of zoned timestamps.

Offsets are computed with :mod:`zoneinfo` (the system's time zone database, or the package ``tzdata``) instead of
pyarrow, which requires the system's database and formats zoned timestamps about twenty times slower.
"""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.values.text_column import TextColumn, filled, marks

if TYPE_CHECKING:
    import numpy.typing as npt

_TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_SECONDS_PER_DAY = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# ISO 8601 has four-digit years. Databases' 'infinity' and overflowed sentinels are outside of this range.
_FIRST_DAY = -719_162  # 0001-01-01
_LAST_DAY = 2_932_896  # 9999-12-31
_FIRST_SECOND = _FIRST_DAY * _SECONDS_PER_DAY
_LAST_SECOND = (_LAST_DAY + 1) * _SECONDS_PER_DAY - 1
_FIXED_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_UTC = frozenset({"UTC", "Etc/UTC", "GMT", "Etc/GMT", "Z"})
# Levels of the offset lookup: seconds per step, and steps per cached table. Days first; days with a change of offset by
# quarter hours; quarter hours with a change by seconds. A step has no change if its offsets at both ends are equal,
# because no zone ever changed its offset twice within a day and returned to the first offset.
_STEPS = ((_SECONDS_PER_DAY, 512), (900, 96), (1, 900))
_CHANGES_WITHIN = 2**31 - 1


def date_text(array: pa.Array) -> TextColumn:
    """Return dates as ``2026-01-31``. Years outside 1 to 9999 have no text form.

    :param array: Array of type date32 or date64.
    """
    if pa.types.is_date32(array.type):
        beyond = _outside(array.view(pa.int32()), _FIRST_DAY, _LAST_DAY)
        return TextColumn.without(array.cast(pa.string()), beyond, plain=True)
    beyond = _outside(array.view(pa.int64()), _FIRST_SECOND * 1000, _LAST_SECOND * 1000 + 999)
    # pyarrow's direct cast rounds times before 1970 that are not midnight to the next day.
    days = array.view(pa.timestamp("ms")).cast(pa.date32(), safe=False)
    return TextColumn.without(days.cast(pa.string()), beyond, plain=True)


def time_text(array: pa.Array) -> TextColumn:
    """Return times of day as ``23:59:59.5``. Values outside of a day have no text form.

    :param array: Array of type time32 or time64.
    """
    ticks_per_second = _TICKS_PER_SECOND[array.type.unit]
    ticks = array.view(pa.int32() if pa.types.is_time32(array.type) else pa.int64())
    beyond = _outside(ticks, 0, _SECONDS_PER_DAY * ticks_per_second - 1)
    text = array.cast(pa.string())
    return TextColumn.without(text if ticks_per_second == 1 else _trimmed(text), beyond, plain=False)


def timestamp_text(array: pa.Array) -> TextColumn:
    """Return timestamps as ``2026-01-31T23:59:59.5``; with a time zone, as local time with ``Z`` or ``+02:00``.

    Local times with years outside 1 to 9999 have no text form. The same applies if the offset moves a timestamp out of
    the range of 64-bit nanoseconds.

    :param array: Array of timestamps of any unit, with or without time zone.
    :raises ProfileDataError: If the time zone is not found.
    """
    unit, zone = array.type.unit, array.type.tz
    ticks = array.view(pa.int64())
    if zone is None:
        return _wall_time_text(ticks, unit)
    offsets = _offsets(zone, filled(ticks) // _TICKS_PER_SECOND[unit])
    text = _shifted_text(ticks, offsets, unit) if offsets.any() else _wall_time_text(ticks, unit)
    distinct = pa.array(offsets).dictionary_encode()
    suffixes = [offset_text(offset) for offset in distinct.dictionary.to_pylist()]
    suffix = suffixes[0] if len(suffixes) == 1 else pa.array(suffixes, pa.string()).take(distinct.indices)
    return TextColumn(pc.binary_join_element_wise(text.text, suffix, ""), text.unsupported, plain=False)


def moment_text(value: datetime | time) -> str:
    """Return one datetime or time with its UTC offset; a ``pandas.Timestamp`` including nanoseconds."""
    offset = value.utcoffset()
    text = (value if offset is None else value.replace(tzinfo=None)).isoformat()
    if "." in text:
        text = text.rstrip("0")
    return text if offset is None else text + offset_text(int(offset.total_seconds()))


@lru_cache
def offset_text(seconds: int) -> str:
    """Return a UTC offset as ``Z``, ``+02:00`` or, for local mean times, ``+00:53:28``.

    :param seconds: Offset in seconds.
    """
    if seconds == 0:
        return "Z"
    minutes, rest = divmod(abs(seconds), 60)
    text = f"{'-' if seconds < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{text}:{rest:02d}" if rest else text


def _outside(ticks: pa.Array, first: int, last: int) -> npt.NDArray[np.bool_] | None:
    """Return a mask of values outside of a range; None if there are none, which is the common case and cheap to check.

    :param first: First value of the range.
    :param last: Last value of the range.
    """
    extremes = pc.min_max(ticks)
    if not extremes["min"].is_valid or (extremes["min"].as_py() >= first and extremes["max"].as_py() <= last):
        return None
    values = filled(ticks)
    outside: npt.NDArray[np.bool_] = (values < first) | (values > last)
    return outside & marks(ticks.is_valid())


def _wall_time_text(ticks: pa.Array, unit: str) -> TextColumn:
    ticks_per_second = _TICKS_PER_SECOND[unit]
    beyond = None  # 64-bit nanoseconds cover the years 1677 to 2262
    if unit != "ns":
        first, last = _FIRST_SECOND * ticks_per_second, (_LAST_SECOND + 1) * ticks_per_second - 1
        beyond = _outside(ticks, first, last)
    moments = ticks.view(pa.timestamp(unit))
    try:
        text = moments.cast(pa.timestamp("s")).cast(pa.string())
    except pa.ArrowInvalid:  # there are fractions of a second
        text = _trimmed(moments.cast(pa.string()))
    return TextColumn.without(pc.binary_replace_slice(text, 10, 11, "T"), beyond, plain=False)


def _shifted_text(ticks: pa.Array, offsets: npt.NDArray[np.int64], unit: str) -> TextColumn:
    ticks_per_second = _TICKS_PER_SECOND[unit]
    limit = (2**63 - 1) // ticks_per_second
    wall_seconds = filled(ticks) // ticks_per_second + offsets
    overflow = (wall_seconds < max(_FIRST_SECOND, -limit)) | (wall_seconds > min(_LAST_SECOND, limit - 1))
    wall = pc.add(ticks, pa.array(offsets * ticks_per_second))
    if not overflow.any():
        return _wall_time_text(wall, unit)
    column = _wall_time_text(pc.if_else(pa.array(overflow), None, wall), unit)
    mask = overflow & marks(ticks.is_valid())
    return TextColumn.without(column.text, mask, plain=False)


def _trimmed(text: pa.Array) -> pa.Array:
    """Remove trailing zeros of the fraction, and the point if no digit remains."""
    return pc.ascii_rtrim(pc.ascii_rtrim(text, "0"), ".")


def _offsets(zone: str, seconds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the UTC offset of each timestamp, in seconds.

    :param zone: Name of the time zone, or a fixed offset such as ``+02:00``.
    :param seconds: Timestamps in seconds since 1970.
    """
    fixed = _FIXED_OFFSET.fullmatch(zone)
    if fixed:
        sign, hours, minutes = fixed.groups()
        offset = int(hours) * 3600 + int(minutes) * 60
        return np.full(len(seconds), -offset if sign == "-" else offset)
    return np.zeros_like(seconds) if zone in _UTC else _offsets_by_step(zone, seconds, _STEPS)


def _offsets_by_step(
    zone: str, seconds: npt.NDArray[np.int64], steps: tuple[tuple[int, int], ...]
) -> npt.NDArray[np.int64]:
    """Look up offsets in cached tables, one table per block of steps, and recurse for steps with a change of offset.

    :param steps: Remaining levels; see ``_STEPS``.
    """
    (step, steps_per_block), *finer = steps
    indices = seconds // step
    blocks = pa.array(indices // steps_per_block).dictionary_encode()
    tables = [_offset_table(zone, step, steps_per_block, block) for block in blocks.dictionary.to_pylist()]
    offsets: npt.NDArray[np.int64] = np.array(tables).reshape(-1, steps_per_block)[
        blocks.indices.to_numpy(), indices % steps_per_block
    ]
    changing = np.flatnonzero(offsets == _CHANGES_WITHIN)
    if changing.size:
        offsets[changing] = _offsets_by_step(zone, seconds[changing], tuple(finer))
    return offsets


@lru_cache(maxsize=2_000)
def _offset_table(zone: str, step: int, steps_per_block: int, block: int) -> npt.NDArray[np.int64]:
    """Return the offset of each step of a block; ``_CHANGES_WITHIN`` if it changes within the step.

    :param step: Seconds per step.
    :param block: Index of the block, counted from 1970.
    """
    start = block * steps_per_block
    edges = np.array([_offset_at(zone, (start + index) * step) for index in range(steps_per_block + 1)])
    before, after = edges[:-1], edges[1:]
    return before if step == 1 else np.where(before == after, before, _CHANGES_WITHIN)


def _offset_at(zone: str, second: int) -> int:
    # Stay one day within the range of datetime, so that adding the offset does not overflow.
    second = min(max(second, _FIRST_SECOND + _SECONDS_PER_DAY), _LAST_SECOND - _SECONDS_PER_DAY)
    offset = (_EPOCH + timedelta(seconds=second)).astimezone(_zone(zone)).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


@lru_cache
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ProfileDataError(
            f"The time zone {name!r} of a timestamp column was not found. "
            "Install the package tzdata, or convert the column to UTC in the query."
        ) from error
