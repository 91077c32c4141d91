"""The profiles: who they are, what is known of them, where that came from, and when they are gone."""

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
    """Where attribute values came from.

    :param kind: by what way they came.
    :param at: when they were written, in seconds since the epoch.
    :param sequence: the order of writing, as times may be equal.
    :param batch_id: the batch, where it was one.
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
    """All attributes of a profile, and from when on fetch shows them."""

    visible_at: float
    attributes: dict[str, Attribute]


@dataclass
class Profile:
    """One person as far as Target knows.

    :param keys: the ids, oldest first.
    :param last_active: the last activity, in seconds since the epoch.
    :param last_visit: the :attr:`Origin.sequence` of the last visit, 0 before any.
    :param versions: what fetch shows now, and what it will show later.
    """

    keys: list[Key]
    last_active: float
    last_visit: int = 0
    versions: list[Version] = field(default_factory=list)

    @property
    def attributes(self) -> dict[str, Attribute]:
        """What is stored, whether fetch shows it already or not."""
        return self.versions[-1].attributes if self.versions else {}

    def visible(self, at: float) -> dict[str, Attribute] | None:
        """Return what fetch shows at a time, or None where it shows no profile yet."""
        shown = [version.attributes for version in self.versions if version.visible_at <= at]
        return shown[-1] if shown else None

    def id_of(self, id_type: str) -> str | None:
        """Return the newest id of a type, or None."""
        return next((value for kind, value in reversed(self.keys) if kind == id_type), None)

    def put(self, version: Version, at: float) -> None:
        """Add a version and drop those that fetch will never show again."""
        shown = max((i for i, old in enumerate(self.versions) if old.visible_at <= at), default=0)
        self.versions = [*self.versions[shown:], version] if version.visible_at > at else [version]


class ProfileStore:
    """All profiles, by every id they are known under. Not thread-safe by itself."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._profiles: dict[Key, Profile] = {}
        self._sequence = count(1)

    def __len__(self) -> int:
        return len({id(profile) for profile in self._profiles.values()})

    def origin(self, kind: Kind, at: float, batch_id: str | None = None) -> Origin:
        """Return the origin of what is about to be written."""
        return Origin(kind, at, next(self._sequence), batch_id)

    def find(self, key: Key, at: float) -> Profile | None:
        """Return the profile of an id, unless there is none or it has been idle for too long."""
        profile = self._profiles.get(key)
        if profile is not None and at - profile.last_active > self._settings.lifetime_days * 86_400:
            for known in profile.keys:
                self._profiles.pop(known, None)
            return None
        return profile

    def write(self, key: Key, values: Mapping[str, str], origin: Origin, *, create: bool) -> Outcome:
        """Write attribute values to the profile of an id.

        :param key: id type and id.
        :param values: names and values; what is not named stays, unless ``override="replace"`` takes it away.
        :param origin: where the values come from; its time is the time of writing.
        :param create: whether an unknown id becomes a profile.
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
        """Return what a write leaves: a v2 row may take away what v2 rows wrote since the last visit."""
        if origin.kind != "v2 batch" or self._settings.override == "merge":
            return profile.attributes
        return {
            name: attribute
            for name, attribute in profile.attributes.items()
            if attribute.origin.kind != "v2 batch" or attribute.origin.sequence < profile.last_visit
        }

    def link(self, keys: list[Key], at: float) -> None:
        """Make ids name one profile, the first id's values winning.

        A Target id whose profile belongs to another customer is only tied anew: two customers who share a
        browser stay two.

        :param keys: the ids; the customer id first, as its values win on a merge.
        :param at: seconds since the epoch.
        """
        first = keys[0]
        profile = self.find(first, at)
        for key in keys[1:]:
            other = self.find(key, at)
            if other is None or other is profile:
                continue
            if profile is None:
                # Nothing is known of the customer: the visitor's profile becomes his, unless it has an owner.
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
