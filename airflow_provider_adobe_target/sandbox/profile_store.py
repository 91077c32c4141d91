"""The profiles: their ids, attributes, the origin of each value, and their expiry."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adobe_target.sandbox.settings import SandboxSettings

IdType = Literal["thirdPartyId", "pcId", "marketingCloudVisitorId"]
Key = tuple[str, str]  # id type and id
Outcome = Literal["written", "not found", "too large"]
Kind = Literal["v1 batch", "v2 batch", "single update", "delivery", "edge event", "visitor"]
VISITS = ("delivery", "edge event", "visitor")


@dataclass(frozen=True)
class Origin:
    """The origin of attribute values.

    :param kind: Kind of the call that wrote them.
    :param at: Time of the write in seconds since the epoch.
    :param sequence: Sequence number of the write, because times may be equal.
    :param batch_id: Id of the batch, if a batch wrote them.
    """

    kind: Kind
    at: float
    sequence: int
    batch_id: str | None = None


class Attribute(NamedTuple):
    """One value and its origin."""

    value: str
    origin: Origin


class Version(NamedTuple):
    """All attributes of a profile, and the time from which profile fetch returns them."""

    visible_at: float
    attributes: dict[str, Attribute]


@dataclass
class Profile:
    """One profile.

    :param keys: Ids, oldest first.
    :param last_active: Time of the last activity in seconds since the epoch.
    :param last_visit: :attr:`Origin.sequence` of the last visit; 0 if there was none.
    :param versions: The version that profile fetch returns now, and those that it will return later.
    """

    keys: list[Key]
    last_active: float
    last_visit: int = 0
    versions: list[Version] = field(default_factory=list)

    @property
    def attributes(self) -> dict[str, Attribute]:
        """The stored attributes, whether profile fetch returns them yet or not."""
        return self.versions[-1].attributes if self.versions else {}

    def visible(self, at: float) -> dict[str, Attribute] | None:
        """Return the attributes that profile fetch returns at a time, or None if it returns no profile yet."""
        shown = [version.attributes for version in self.versions if version.visible_at <= at]
        return shown[-1] if shown else None

    def id_of(self, id_type: str) -> str | None:
        """Return the newest id of a type, or None."""
        return next((value for kind, value in reversed(self.keys) if kind == id_type), None)

    def put(self, version: Version, at: float) -> None:
        """Add a version and drop those that profile fetch can no longer return."""
        shown = max((i for i, old in enumerate(self.versions) if old.visible_at <= at), default=0)
        self.versions = [*self.versions[shown:], version] if version.visible_at > at else [version]


class ProfileStore:
    """All profiles, by each of their ids. Not thread-safe: the caller must hold the lock of the state."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._profiles: dict[Key, Profile] = {}
        self._sequence = count(1)

    def __len__(self) -> int:
        return len({id(profile) for profile in self._profiles.values()})

    def origin(self, kind: Kind, at: float, batch_id: str | None = None) -> Origin:
        """Return the origin of the next write."""
        return Origin(kind, at, next(self._sequence), batch_id)

    def find(self, key: Key, at: float) -> Profile | None:
        """Return the profile of an id, or None if there is none or it has expired."""
        profile = self._profiles.get(key)
        if profile is not None and at - profile.last_active > self._settings.lifetime_days * 86_400:
            for known in profile.keys:
                self._profiles.pop(known, None)
            return None
        return profile

    def write(self, key: Key, values: Mapping[str, str], origin: Origin, *, create: bool) -> Outcome:
        """Write attribute values to the profile of an id.

        :param key: Id type and id.
        :param values: Names and values. Other attributes are kept, unless ``override="replace"`` removes them.
        :param origin: Origin of the values, with the time of the write.
        :param create: Whether to create a profile for an unknown id.
        """
        profile = self.find(key, origin.at)
        if profile is None and not create:
            return "not found"
        is_visit = origin.kind in VISITS
        if profile is not None and (is_visit or self._settings.batch_resets_idle_clock):
            profile.last_active = origin.at
        if profile is not None and is_visit:
            profile.last_visit = origin.sequence
        kept = {} if profile is None else self._kept(profile, origin)
        attributes = {**kept, **{name: Attribute(value, origin) for name, value in values.items()}}
        if _size(attributes) > self._settings.max_profile_bytes:
            return "too large"
        if profile is None:
            profile = self._profiles[key] = Profile([key], last_active=origin.at)
        delay = 0.0 if is_visit else self._settings.visible_after_seconds
        profile.put(Version(origin.at + delay, attributes), origin.at)
        return "written"

    def _kept(self, profile: Profile, origin: Origin) -> dict[str, Attribute]:
        """Return the attributes that a write keeps. A v2 row may remove those of v2 rows since the last visit."""
        if origin.kind != "v2 batch" or self._settings.override == "merge":
            return profile.attributes
        return {
            name: attribute
            for name, attribute in profile.attributes.items()
            if attribute.origin.kind != "v2 batch" or attribute.origin.sequence < profile.last_visit
        }

    def link(self, keys: list[Key], at: float) -> None:
        """Link ids to one profile. In a merge, the values of the first id take precedence.

        If the profile of a Target id belongs to another customer, only the Target id moves: two customers who share a
        browser keep separate profiles.

        :param keys: Ids. The customer id comes first, because its values take precedence.
        :param at: Time in seconds since the epoch.
        """
        first = keys[0]
        profile = self.find(first, at)
        for key in keys[1:]:
            other = self.find(key, at)
            if other is None or other is profile:
                continue
            if profile is None:
                # The customer has no profile yet and gets the visitor's, unless that belongs to another customer.
                profile = None if other.id_of(first[0]) is not None else other
            elif other.id_of(first[0]) is None:
                profile.put(Version(at, {**other.attributes, **profile.attributes}), at)
                profile.keys = [*other.keys, *profile.keys]
                for known in other.keys:
                    self._profiles[known] = profile
        if profile is None:
            profile = Profile([], last_active=at, versions=[Version(at, {})])
        for key in keys:
            tied = self._profiles.get(key)
            if tied is not None and tied is not profile:
                tied.keys.remove(key)
            if key not in profile.keys:
                profile.keys.append(key)
            self._profiles[key] = profile


def _size(attributes: Mapping[str, Attribute]) -> int:
    return sum(len(name.encode()) + len(attribute.value.encode()) for name, attribute in attributes.items())
