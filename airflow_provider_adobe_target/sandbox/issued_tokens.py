"""Issued tokens: those of the Admin API for Target's own APIs, and the access tokens of IMS."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.settings import SandboxSettings

PROFILE_SCOPE = "profile_api"
DEBUGGER_SCOPE = "debug_tools"
DEBUGGER_SECONDS = 21_599


class AdminToken(NamedTuple):
    """A token of the Admin API, with the times of its creation and expiry."""

    value: str
    made_at: float
    expires_at: float


class AccessToken(NamedTuple):
    """Client and expiry time of an access token of IMS."""

    client_id: str
    expires_at: float


class IssuedTokens:
    """All issued tokens. The valid profile token is the setting ``token``, however it was set.

    :param settings: Settings of the sandbox.
    :param begun_at: Start of the sandbox in seconds since the epoch, the creation time of a token from the settings.
    """

    def __init__(self, settings: SandboxSettings, begun_at: float) -> None:
        self._settings = settings
        self._begun_at = begun_at
        self._admin_tokens: dict[str, AdminToken] = {}
        self._replaced: list[AdminToken] = []
        self.access_tokens: dict[str, AccessToken] = {}

    def current(self, scope: str) -> AdminToken | None:
        """Return the newest token of a scope, expired or not, or None."""
        made, set_token = self._admin_tokens.get(scope), self._settings.token
        if scope != PROFILE_SCOPE or (made and made.value == set_token):
            return made
        return None if set_token is None else self._token(scope, set_token, self._begun_at)

    def issue(self, scope: str, value: str, now: float) -> AdminToken:
        """Issue a token that replaces the previous one of its scope."""
        replaced = self.current(scope)
        if scope == PROFILE_SCOPE:
            self._settings.token = value
            self._replaced += [replaced] if replaced else []
        made = self._admin_tokens[scope] = self._token(scope, value, now)
        return made

    def is_valid_profile_token(self, value: str, now: float) -> bool:
        """Return whether the profile APIs accept a token."""
        known = [self.current(PROFILE_SCOPE), *([] if self._settings.rotation_invalidates else self._replaced)]
        return any(
            token is not None and now < token.expires_at and hmac.compare_digest(value.encode(), token.value.encode())
            for token in known
        )

    def _token(self, scope: str, value: str, made_at: float) -> AdminToken:
        seconds = self._settings.token_seconds if scope == PROFILE_SCOPE else DEBUGGER_SECONDS
        return AdminToken(value, made_at, made_at + seconds)
