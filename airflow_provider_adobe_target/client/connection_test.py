"""The connection test: read-only calls, with a result that a user can act on."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.auth.authenticator import days_left
from airflow_provider_adobe_target.client.endpoints.profile import check_request, parse_profile_response
from airflow_provider_adobe_target.client.protocol import Flow, Response, Send, TransportFailure
from airflow_provider_adobe_target.client.settings_fields import TARGET_DOMAIN
from airflow_provider_adobe_target.exceptions import AdobeTargetError

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.auth.authenticator import Authenticator
    from airflow_provider_adobe_target.client.auth.token_cache import Token
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

PLACEHOLDER = "***"
"""Value that the connection form of Airflow 3 submits instead of a saved secret."""


def check_connection(settings: TargetSettings, authenticator: Authenticator, clock: Clock) -> Flow[tuple[bool, str]]:
    """Look up a profile with a random id. Target's 'no profile found' means that the connection works.

    If the connection has an OAuth credential, the Admin API is called to read whether a token is required and when the
    current one expires. Nothing is changed.

    :param settings: Connection settings.
    :param authenticator: Authenticator of the connection, without retries.
    :param clock: Clock.
    :return: Whether the connection works, and a message.
    """
    secrets = (settings.token, settings.property_token, settings.oauth and settings.oauth.client_secret)
    if PLACEHOLDER in secrets:
        return False, (
            "Airflow handed over *** in place of a saved token or client secret, so it cannot be tested from here. "
            "Type the token again before testing, and the client secret where there is one, or run `airflow "
            "connections test` where the connection is saved."
        )
    try:
        if settings.oauth is None:
            return (yield from _check_target(settings))
        if settings.tenant_id is None:
            yield from authenticator.access_token()  # raises if IMS refuses the credential
            return (yield from _check_target(settings))
        is_demanded = yield from authenticator.demands_token()
        token = yield from authenticator.read_profile_token()
        works, words = yield from authenticator.with_profile_token(_look_up(settings))
    except AdobeTargetError as error:
        return False, str(error)
    return works, f"{words} {_about(settings, token, is_demanded, clock.now())}"


def _check_target(settings: TargetSettings) -> Flow[tuple[bool, str]]:
    """Look up without the Admin API's help, with the token, and without: the difference tells whether it counts."""
    works, words = yield from _look_up(settings)
    if not works:
        return False, words
    if settings.token is None:
        return True, f"{words} Authentication is not required."
    answer = yield Send(check_request(replace(settings, token=None), str(uuid.uuid4())))
    if isinstance(answer, Response) and answer.status in (401, 403):
        return True, f"{words} Authentication is required, and the token is valid."
    if isinstance(answer, Response) and answer.status == 404:
        return True, f"{words} Authentication is not required, so whether the token is valid cannot be seen."
    return True, f"{words} Whether authentication is required cannot be seen."


def _look_up(settings: TargetSettings) -> Flow[tuple[bool, str]]:
    answer = yield Send(check_request(settings, str(uuid.uuid4())))
    if isinstance(answer, Response):
        return _judge(settings, answer)
    if isinstance(answer, TransportFailure):
        return False, _unreachable(settings, answer)
    raise TypeError("a flow must be resumed with the result of its request")


def _about(settings: TargetSettings, token: Token, is_demanded: bool, now: float) -> str:
    """Say what the Admin API knows of the token."""
    demand = "Authentication is required" if is_demanded else "Authentication is not required"
    if not token.value:
        return f"{demand}, and there is no token in force."
    rest = f"{demand}; the token in force has {days_left(token, now):.0f} days left at most."
    if settings.token not in (None, token.value):
        return f"{rest} The connection's password is another token: replace it, or empty it to have the right one read."
    return rest


def _judge(settings: TargetSettings, response: Response) -> tuple[bool, str]:
    if response.status in (429, 503):
        return False, (
            f"{settings.base_url} answers HTTP {response.status}: the account's 50 calls a minute are used "
            "up, or Target is out of service. Test again in a minute."
        )
    try:
        parse_profile_response(settings, response)
    except AdobeTargetError as error:
        return False, str(error)
    token = "with the token" if settings.token or settings.reads_token else "without a token"
    return True, f"Target answers at {settings.base_url} for client code {settings.client_code}, {token}."


def _unreachable(settings: TargetSettings, failure: TransportFailure) -> str:
    place = settings.base_url
    if failure.kind == "name" and settings.base_host.endswith(TARGET_DOMAIN):
        return f"{place} does not exist: check the client code (login), or this machine's DNS."
    if failure.kind == "name":
        return f"{place} cannot be resolved: check the host of the connection, or this machine's DNS."
    if failure.kind == "tls":
        return f"{place}: {failure.message}. Where a proxy opens TLS, name its certificates in verify."
    return f"{place} cannot be reached: {failure.message}. Check host, port, proxies and the firewall."
