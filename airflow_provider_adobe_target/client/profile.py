"""Data classes of a fetched profile."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.concurrency.clock import six_digits

if TYPE_CHECKING:
    from collections.abc import Mapping

_ID_KEYS = ("visitorId", "mboxPC", "thirdPartyId")  # the last two occur in an older response format


@dataclass(frozen=True)
class ProfileAttribute:
    """One attribute of a profile.

    :param value: Text value.
    :param modified_at: Time of the last update. It has no time zone if Target returns none, and is None if Target
        returns no time.
    """

    value: str = field(repr=False)
    modified_at: datetime | None = None


@dataclass(frozen=True)
class TargetProfile:
    """One profile. The ``repr`` contains no personal data.

    :param profile_id: Id that Target returns.
    :param modified_at: Time of the last update, as in :class:`ProfileAttribute`.
    :param attributes: Attributes by name, without ``profile.``. Names from profile scripts start with ``user.``.
    """

    profile_id: str | None = field(repr=False)
    modified_at: datetime | None
    attributes: Mapping[str, ProfileAttribute] = field(repr=False)

    @property
    def values(self) -> dict[str, str]:
        """The attribute values by name."""
        return {name: attribute.value for name, attribute in self.attributes.items()}

    @classmethod
    def from_answer(cls, content: Mapping[str, Any]) -> TargetProfile:
        """Build a profile from a JSON response (Adobe's Profile Fetch page). Entries of other types are ignored."""
        entries = content.get("profileAttributes")
        attributes = {
            name: ProfileAttribute(entry["value"], _time(entry.get("modifiedAt")))
            for name, entry in (entries.items() if isinstance(entries, dict) else ())
            if isinstance(entry, dict) and isinstance(entry.get("value"), str)
        }
        ids = (content.get(key) for key in _ID_KEYS)
        profile_id = next((text for text in ids if isinstance(text, str)), None)
        return cls(profile_id, _time(content.get("modifiedAt")), MappingProxyType(attributes))


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(six_digits(text.replace("Z", "+00:00")))
    except (ValueError, AttributeError):
        return None
