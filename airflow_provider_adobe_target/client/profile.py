"""What Target knows of one person, as its look-up tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_ID_KEYS = ("visitorId", "mboxPC", "thirdPartyId")  # the last two are those of an older shape


@dataclass(frozen=True)
class ProfileAttribute:
    """One attribute of a profile.

    :param value: its text.
    :param modified_at: when it was written; without a zone where Target gives none, None where it gives no time.
    """

    value: str = field(repr=False)
    modified_at: datetime | None = None


@dataclass(frozen=True)
class TargetProfile:
    """One profile. Its ``repr`` shows nothing of a person.

    :param profile_id: the id that Target names.
    :param modified_at: when the profile was last written, as in :class:`ProfileAttribute`.
    :param attributes: by name, without ``profile.``; what profile scripts wrote begins with ``user.``.
    """

    profile_id: str | None = field(repr=False)
    modified_at: datetime | None
    attributes: Mapping[str, ProfileAttribute] = field(repr=False)

    @property
    def values(self) -> dict[str, str]:
        """The attributes' names and texts."""
        return {name: attribute.value for name, attribute in self.attributes.items()}

    @classmethod
    def from_answer(cls, content: Mapping[str, Any]) -> TargetProfile:
        """Read the JSON object of Target's answer (Adobe's Profile Fetch page); what is not of its kind is left out."""
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
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, AttributeError):
        return None
