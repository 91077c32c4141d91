"""Numbers, times and words as the page shows them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

OUTCOMES = {
    "sending": "Sending",
    "submitted": "Waiting for Target",
    "complete": "Complete",
    "partial": "Partly failed",
    "failed": "Failed",
    "dry_run": "Dry run",
}
RESULTS = {"updated": "Updated", "not_found": "No profile", "failed": "Failed", "unconfirmed": "Not confirmed"}
REASONS = {
    "missing_id": "No id",
    "id_too_long": "Id too long",
    "id_forbidden_character": "Forbidden character in the id",
    "duplicate_id": "Duplicate id",
    "value_too_long": "Value too long",
    "risky_value": "Comma or line break in a value",
    "profile_too_large": "Profile too large",
    "unsupported_value": "Value without a text form",
    "profile_not_found": "No profile",
    "refused_by_target": "Refused by Target",
}
UNKNOWN = "\N{EN DASH}"
_UNITS = ((1e9, "bn"), (1e6, "M"), (1e4, "k"))


def number(value: Any) -> str:
    """Return a number with separators; a dash if it is unknown."""
    return UNKNOWN if value is None else f"{value:,}"


def short_number(value: Any) -> str:
    """Return a number in few characters: ``9,999``, ``12.3 k``, ``170.4 M``."""
    if value is None:
        return UNKNOWN
    for size, unit in _UNITS:
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):.1f} {unit}"
    return f"{value:,}"


def percent(share: float) -> str:
    """Return a share as a percentage. Only all is ``100 %``, and only none is ``0 %``."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %".replace(".0 %", " %")


def moment(value: datetime | None) -> str:
    """Return a time in UTC; a dash if it is unknown."""
    return UNKNOWN if value is None else value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M")


def duration(seconds: float | None) -> str:
    """Return a duration as ``45 s``, ``3 min 20 s`` or ``2 h 05 min``; a dash if it is unknown."""
    if seconds is None or seconds < 0:
        return UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02} min"


def file_size(value: Any) -> str:
    """Return a size in bytes as text; a dash if it is unknown."""
    if value is None:
        return UNKNOWN
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value} B"
