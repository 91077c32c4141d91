"""Authentication: access tokens from Adobe's identity service (IMS), Profile API tokens from the Admin API.

If the connection does not contain the token of a request, the request has a placeholder in its ``Authorization``
header. :meth:`Authenticator.with_profile_token` and :meth:`Authenticator.with_access_token` drive a flow and replace
the placeholder with the token. If a cached token is refused, it is requested once more: it may have been replaced.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_adobe_target.client.auth import token_cache
from airflow_provider_adobe_target.client.auth.token_cache import Token, TokenCache
from airflow_provider_adobe_target.client.call import CallContext, call_with_retry
from airflow_provider_adobe_target.client.endpoints.admin import client_settings_request, profile_token_request
from airflow_provider_adobe_target.client.endpoints.ims import access_token_request
from airflow_provider_adobe_target.client.parsing import ResponseParseError, parse_json_object, printable
from airflow_provider_adobe_target.client.protocol import ACCESS_TOKEN, PROFILE_TOKEN, Flow, Response, Send, Wait
from airflow_provider_adobe_target.client.rate_limit.limiter import NoLimit
from airflow_provider_adobe_target.client.retry_policy import FailedAttempt, RetryPolicy, attempt_from_response
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetError,
    ConnectionSettingsError,
    TargetRefusedError,
    TokenRefusedError,
    UnclearAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any

    from airflow_provider_adobe_target.client.protocol import Request
    from airflow_provider_adobe_target.client.settings_fields import OAuthCredential

T = TypeVar("T")
log = logging.getLogger(__name__)

DAY = 24 * 60 * 60.0
WARN_DAYS_LEFT = 14.0

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_TURN = 0.2  # seconds between two checks whether another thread or trigger has received the token
_MARGIN = 300.0  # seconds before its expiry at which an access token is no longer used
_NO_TOKEN_FOR = 300.0  # seconds for which 'no profile token exists' is cached
_MAX_LIFE = DAY  # maximum lifetime of an access token; a larger value may be in milliseconds, as Adobe once returned it
_MAX_STATED_LIFE = 1e10  # seconds; a larger value is invalid
RETRY = RetryPolicy(max_tries=5)
NO_RETRY = RetryPolicy(max_elapsed=0)
# If the response is lost, a token may have been generated. The request is then not retried.
_ROTATION_POLICY = RetryPolicy(max_tries=3, max_lost_answers=1)

_access_tokens = TokenCache()
_profile_tokens = TokenCache()


def forget_all_tokens() -> None:
    """Clear the token caches of this process, for tests. Token files are kept."""
    _access_tokens.clear()
    _profile_tokens.clear()


class Authenticator:
    """Request, cache and apply the tokens of one connection.

    :param context: Settings, rate limiter and clock. Calls to the Admin API count towards the rate limit.
    :param mask: Function that is called with each new token, to mask it in logs.
    :param policy: Retry policy for calls to IMS and the Admin API.
    """

    def __init__(
        self,
        context: CallContext,
        mask: Callable[[str], object],
        policy: RetryPolicy = RETRY,
    ) -> None:
        self._context = context
        self._settings = context.settings
        self._clock = context.clock
        self._mask = mask
        self._policy = policy

    def with_profile_token(self, flow: Flow[T]) -> Flow[T]:
        """Run a flow of Profile API calls. If the connection has no token, use the one from the Admin API.

        :param flow: Flow of Profile API calls.
        :return: Result of the flow.
        :raises TokenRefusedError: If IMS or the Admin API refuses the credential.
        :raises TargetRefusedError: If IMS or the Admin API returns another unusable response.
        :raises AdobeTargetUnavailableError: If IMS or the Admin API does not respond.
        """
        if not self._settings.reads_token:
            return (yield from flow)
        # Request the token before the flow starts, so that no call waits for a permit while it holds another.
        yield from self.profile_token()
        return (yield from self._authorize(flow, PROFILE_TOKEN, self.profile_token, self._forget_profile_token))

    def with_access_token(self, flow: Flow[T]) -> Flow[T]:
        """Run a flow of calls to the Admin API or the Edge Network; raises as :meth:`access_token`."""
        return (yield from self._authorize(flow, ACCESS_TOKEN, self.access_token, self._forget_access_token))

    def access_token(self) -> Flow[Token]:
        """Return an access token from IMS that is valid for at least some minutes.

        :raises ConnectionSettingsError: If the connection has no OAuth credential.
        :raises TokenRefusedError: If IMS refuses the credential.
        :raises AdobeTargetUnavailableError: If IMS returns no usable response.
        """
        oauth = self._oauth()
        return (yield from self._cached(_access_tokens, oauth, partial(self._new_access_token, oauth)))

    def profile_token(self) -> Flow[Token]:
        """Return the current Profile API token, with an empty value if none exists. No token is generated.

        :raises ConnectionSettingsError: If the connection has no OAuth credential or no tenant.
        :raises TokenRefusedError: If IMS or the Admin API refuses the credential.
        :raises TargetRefusedError: If the Admin API returns another unusable response.
        :raises AdobeTargetUnavailableError: If IMS or the Admin API does not respond.
        """
        return (yield from self._cached(_profile_tokens, self._profile_key(), self.read_profile_token))

    def read_profile_token(self) -> Flow[Token]:
        """Request the current Profile API token without the cache; raises as :meth:`profile_token`."""
        token = yield from self._admin_call(
            profile_token_request(self._settings, "GET"), self._profile_token_of, "the request for the profile token"
        )
        if token.value and days_left(token, self._clock.now()) < WARN_DAYS_LEFT:
            log.warning(
                "The Profile API token of tenant %s expires in at most %.1f days. Plan its rotation, which invalidates "
                "the token for all its users.",
                self._settings.tenant_id,
                days_left(token, self._clock.now()),
            )
        return token

    def make_profile_token(self) -> Flow[Token]:
        """Generate a new Profile API token. This invalidates the current token for all its users.

        :raises UnclearAnswerError: If a token may have been generated and the current one cannot be read.
        :raises AdobeTargetError: As :meth:`profile_token`. According to the Admin API, no token was generated.
        """
        before = yield from self.read_profile_token()
        failed_attempts: list[FailedAttempt] = []
        try:
            token = yield from self._admin_call(
                profile_token_request(self._settings, "POST"),
                self._new_token_of,
                "the generation of a profile token",
                policy=replace(_ROTATION_POLICY, classify=self._classify_rotation),
                failed_attempts=failed_attempts,
            )
        except AdobeTargetError as error:
            if not any(attempt.maybe_accepted for attempt in failed_attempts):
                raise
            token = yield from self._token_in_force_after(error)
            if token.value in ("", before.value):
                raise
        _profile_tokens.put(self._profile_key(), token)
        return token

    def _token_in_force_after(self, error: AdobeTargetError) -> Flow[Token]:
        """Read the valid token after a rotation that may have generated one."""
        try:
            return (yield from self.read_profile_token())
        except AdobeTargetError as failure:
            raise UnclearAnswerError(
                f"{error} Then the valid Profile API token could not be read: {failure} A new token may have been "
                "generated, and the former one may be invalid. Check Target's page (Administration > Implementation > "
                "Profile API) before you run this again."
            ) from error

    def _classify_rotation(self, response: Response, now: float) -> FailedAttempt | None:
        """Return a failed attempt for every response except a token and 4xx: a token may have been generated."""
        attempt = attempt_from_response(response, now)
        if 400 <= response.status <= 499:
            return attempt
        if attempt:
            return replace(attempt, maybe_accepted=True)
        with suppress(TargetRefusedError):
            if response.ok and self._profile_token_of(response).value:
                return None
        return FailedAttempt(f"HTTP {response.status} without a token and its life", maybe_accepted=True)

    def _new_token_of(self, response: Response) -> Token:
        token = self._profile_token_of(response)
        if not token.value:
            raise TargetRefusedError(f"The Admin API generated no profile token (HTTP {response.status}).")
        return token

    def demands_token(self) -> Flow[bool]:
        """Return whether 'Require Authentication' is on for the Profile API; raises as :meth:`profile_token`."""
        return (
            yield from self._admin_call(
                client_settings_request(self._settings), _read_requirement, "the request for the account's settings"
            )
        )

    def _admin_call(self, request: Request, read: Callable[[Response], T], subject: str, **options: Any) -> Flow[T]:
        def read_or_refuse(response: Response) -> T:
            _raise_for_admin(response, subject)
            return read(response)

        options = {"policy": self._policy, **options}
        flow = call_with_retry(self._context, request, read_or_refuse, subject=subject, **options)
        return (yield from self.with_access_token(flow))

    def _authorize(
        self, flow: Flow[T], placeholder: str, token_of: Callable[[], Flow[Token]], forget: Callable[[str], None]
    ) -> Flow[T]:
        """Run a flow and replace the placeholder in its requests with the token."""
        try:
            command = next(flow)
            while True:
                if isinstance(command, Wait) or command.request.headers.get("Authorization") != placeholder:
                    answer = yield command
                else:
                    token = yield from token_of()
                    answer = yield _with(command, token)
                    if isinstance(answer, Response) and answer.status in (401, 403):
                        forget(token.value)
                        newer = yield from token_of()
                        if newer.value != token.value:
                            log.info("The token was refused. Retrying with a newer one.")
                            token = newer
                            answer = yield _with(command, token)
                    if isinstance(answer, Response) and token.value:
                        answer = replace(answer, body=answer.body.replace(token.value.encode(), b"***"))
                command = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def _cached(self, cache: TokenCache, key: Hashable, ask: Callable[[], Flow[Token]]) -> Flow[Token]:
        """Return a token from the cache. Only one caller requests a new token, while the others wait."""
        while True:
            token = cache.get(key, self._clock.now())
            if token:
                return token
            if cache.claim(key):
                break
            yield Wait(_TURN)
        try:
            token = yield from ask()
            cache.put(key, token)
            return token
        finally:
            cache.release(key)

    def _new_access_token(self, oauth: OAuthCredential) -> Flow[Token]:
        token = token_cache.read_token_file(oauth, self._clock.now())
        if token is None:
            token = yield from call_with_retry(
                replace(self._context, rate_limiter=NoLimit()),
                access_token_request(self._settings, oauth),
                partial(self._access_token_of, oauth),
                policy=self._policy,
                subject="the request for an access token",
            )
            token_cache.write_token_file(oauth, token)
        self._mask(token.value)
        return token

    def _access_token_of(self, oauth: OAuthCredential, response: Response) -> Token:
        content = _json(response)
        if not response.ok:
            word = content.get("error")
            detail = (
                f" It says: {printable(word, 64)}." if isinstance(word, str) and oauth.client_secret not in word else ""
            )
            raise TokenRefusedError(
                f"IMS refused the OAuth credential (HTTP {response.status}).{detail} Check client_id, client_secret "
                "and ims_scope against the credential's page in Adobe Developer Console."
            )
        value, seconds = content.get("access_token"), _seconds(content.get("expires_in"))
        if not isinstance(value, str) or not _TOKEN.fullmatch(value) or seconds is None:
            raise TargetRefusedError(
                "The response of IMS has no access token with a lifetime. Check ims_host; a proxy may have responded."
            )
        self._mask(value)
        life = min(seconds, _MAX_LIFE)
        return Token(value, self._clock.now() + life - min(_MARGIN, life / 2))

    def _profile_token_of(self, response: Response) -> Token:
        content = _json(response)
        value, seconds = content.get("accessToken"), _seconds(content.get("expiresIn"))
        now = self._clock.now()
        if response.status == 404 or (response.ok and content and not value):
            return Token("", now + _NO_TOKEN_FOR)
        if not isinstance(value, str) or not _TOKEN.fullmatch(value) or seconds is None:
            raise TargetRefusedError(
                f"The response of the Admin API (HTTP {response.status}) has no profile token with a lifetime. Check "
                "admin_host and tenant_id; a proxy may have responded."
            )
        self._mask(value)
        return Token(value, now + seconds)

    def _oauth(self) -> OAuthCredential:
        if self._settings.oauth is None:
            raise ConnectionSettingsError(
                "The connection has no OAuth credential: set client_id and client_secret in extra."
            )
        return self._settings.oauth

    def _profile_key(self) -> Hashable:
        if self._settings.tenant_id is None:
            raise ConnectionSettingsError("The connection has no tenant_id, which the Admin API requires.")
        return self._oauth(), self._settings.admin_url, self._settings.tenant_id

    def _forget_profile_token(self, value: str) -> None:
        _profile_tokens.forget(self._profile_key(), value)

    def _forget_access_token(self, value: str) -> None:
        _access_tokens.forget(self._oauth(), value)
        token_cache.remove_token_file(self._oauth(), value)


def days_left(token: Token, now: float) -> float:
    """Return the days until a token expires.

    The value is an upper bound: Adobe does not document whether it returns the remaining or the total lifetime.

    :param token: Token.
    :param now: Current time in seconds since the epoch.
    """
    return max(0.0, token.expires_at - now) / DAY


def _with(command: Send, token: Token) -> Send:
    headers = {name: value for name, value in command.request.headers.items() if name != "Authorization"}
    if token.value:
        headers["Authorization"] = f"Bearer {token.value}"
    return Send(replace(command.request, headers=headers))


def _json(response: Response) -> dict[str, Any]:
    try:
        return parse_json_object(response.body)
    except ResponseParseError:
        return {}


def _seconds(value: object) -> float | None:
    """Return a lifetime in seconds, or None if the value is not a number in the valid range."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value <= _MAX_STATED_LIFE else None  # type: ignore[operator, arg-type]


def _read_requirement(response: Response) -> bool:
    demand = _json(response).get("enableProfileApiAuthentication")
    if not response.ok or not isinstance(demand, bool):
        raise TargetRefusedError(
            f"The response of the Admin API (HTTP {response.status}) does not show whether the Profile API requires a "
            "token. Check tenant_id and admin_host."
        )
    return demand


def _raise_for_admin(response: Response, subject: str) -> None:
    """Raise for a response of the Admin API that refuses the credential, the tenant or the call.

    A plain 404 does not raise: it may mean that no token exists.

    :param response: Response of the Admin API.
    :param subject: Description of the call, for messages.
    :raises TokenRefusedError: For HTTP 401 and 403.
    :raises TargetRefusedError: For redirects, for a 404 without JSON or about the tenant, and for other 4xx codes.
    """
    if response.status in (401, 403):
        raise TokenRefusedError(
            f"The Admin API refused {subject} (HTTP {response.status}). Give the OAuth credential a product profile of "
            "Target with the role of an approver, and check that it belongs to tenant_id; or put the Profile API token "
            "into the connection's password."
        )
    if response.status == 404 and (not _json(response) or b"tenant" in response.body.lower()):
        raise TargetRefusedError(f"The Admin API has no endpoint for {subject}. Check tenant_id and admin_host.")
    if not response.ok and response.status != 404:
        raise TargetRefusedError(f"The Admin API refused {subject} (HTTP {response.status}). Check admin_host.")
