"""The tokens in force: those that the Admin API made for Target's own doors, and those that IMS gave."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.settings import SandboxSettings

PROFILE_SCOPE = "profile_api"
DEBUGGER_SCOPE = "debug_tools"
DEBUGGER_SECONDS = 21_599


class MadeToken(NamedTuple):
    """A token of the Admin API, and when it was made and will be over."""

    value: str
    made_at: float
    expires_at: float


class GivenToken(NamedTuple):
    """What IMS knows of a token that it gave."""

    client_id: str
    expires_at: float


class Tokens:
    """All tokens. The profile token in force is the setting ``token``, whoever put it there.

    :param settings: the switches.
    :param begun_at: when the sandbox began, which is when a token that was set counts as made.
    """

    def __init__(self, settings: SandboxSettings, begun_at: float) -> None:
        self._settings = settings
        self._begun_at = begun_at
        self._made: dict[str, MadeToken] = {}
        self._replaced: list[MadeToken] = []
        self.given: dict[str, GivenToken] = {}

    def current(self, scope: str) -> MadeToken | None:
        """Return the newest token of a scope, be it over or not, or None."""
        made, set_token = self._made.get(scope), self._settings.token
        if scope != PROFILE_SCOPE or (made and made.value == set_token):
            return made
        return None if set_token is None else self._token(scope, set_token, self._begun_at)

    def make(self, scope: str, value: str, now: float) -> MadeToken:
        """Put a new token in force, in place of the one before."""
        replaced = self.current(scope)
        if scope == PROFILE_SCOPE:
            self._settings.token = value
            self._replaced += [replaced] if replaced else []
        made = self._made[scope] = self._token(scope, value, now)
        return made

    def opens_profiles(self, value: str, now: float) -> bool:
        """Tell whether a token is good for the profile APIs."""
        known = [self.current(PROFILE_SCOPE), *([] if self._settings.rotation_invalidates else self._replaced)]
        return any(
            token is not None and now < token.expires_at and hmac.compare_digest(value.encode(), token.value.encode())
            for token in known
        )

    def _token(self, scope: str, value: str, made_at: float) -> MadeToken:
        seconds = self._settings.token_seconds if scope == PROFILE_SCOPE else DEBUGGER_SECONDS
        return MadeToken(value, made_at, made_at + seconds)
