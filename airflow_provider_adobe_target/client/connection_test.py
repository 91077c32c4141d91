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
    from airflow_provider_adobe_target.client.call import CallContext
    from airflow_provider_adobe_target.client.settings import TargetSettings

PLACEHOLDER = "***"
"""Value that the connection form of Airflow 3 submits instead of a saved secret."""


def check_connection(context: CallContext, authenticator: Authenticator) -> Flow[tuple[bool, str]]:
    """Look up a profile with a random id. Target's 'no profile found' means that the connection works.

    If the connection has an OAuth credential, the Admin API is called to read whether a token is required and when the
    current one expires. Nothing is changed.

    :param context: Settings and clock.
    :param authenticator: Authenticator of the connection, without retries.
    :return: Whether the connection works, and a message.
    """
    settings = context.settings
    secrets = (settings.token, settings.property_token, settings.oauth and settings.oauth.client_secret)
    if PLACEHOLDER in secrets:
        return False, (
            "Airflow submitted *** instead of the saved token or client secret, so the connection cannot be tested "
            "from this form. Enter the token and the client secret again before the test, or run `airflow connections "
            "test` on a machine that can read the saved connection."
        )
    try:
        if settings.oauth is None:
            return (yield from _check_target(settings))
        if settings.tenant_id is None:
            yield from authenticator.access_token()  # raises if IMS refuses the credential
            return (yield from _check_target(settings))
        is_required = yield from authenticator.demands_token()
        token = yield from authenticator.read_profile_token()
        works, message = yield from authenticator.with_profile_token(_look_up(settings))
    except AdobeTargetError as error:
        return False, str(error)
    return works, f"{message} {_token_report(settings, token, is_required, context.clock.now())}"


def _check_target(settings: TargetSettings) -> Flow[tuple[bool, str]]:
    """Look up a profile with and without the token. The difference shows whether the token is required and valid."""
    works, message = yield from _look_up(settings)
    if not works:
        return False, message
    if settings.token is None:
        return True, f"{message} Authentication is not required."
    answer = yield Send(check_request(replace(settings, token=None), str(uuid.uuid4())))
    if isinstance(answer, Response) and answer.status in (401, 403):
        return True, f"{message} Authentication is required, and the token is valid."
    if isinstance(answer, Response) and answer.status == 404:
        return True, f"{message} Authentication is not required, so the token could not be validated."
    return True, f"{message} It is unknown whether authentication is required."


def _look_up(settings: TargetSettings) -> Flow[tuple[bool, str]]:
    answer = yield Send(check_request(settings, str(uuid.uuid4())))
    if isinstance(answer, Response):
        return _evaluate(settings, answer)
    if isinstance(answer, TransportFailure):
        return False, _unreachable(settings, answer)
    raise TypeError("a flow must be resumed with the result of its request")


def _token_report(settings: TargetSettings, token: Token, is_required: bool, now: float) -> str:
    """Return sentences about the token, from the data of the Admin API."""
    requirement = "Authentication is required" if is_required else "Authentication is not required"
    if not token.value:
        return f"{requirement}. There is no valid token."
    report = f"{requirement}. The current token expires in at most {days_left(token, now):.0f} days."
    if settings.token not in (None, token.value):
        return (
            f"{report} The connection's password is a different token: replace it, or clear it to read the current "
            "token from the Admin API."
        )
    return report


def _evaluate(settings: TargetSettings, response: Response) -> tuple[bool, str]:
    if response.status in (429, 503):
        return False, (
            f"{settings.base_url} returned HTTP {response.status}: the limit of 50 calls per minute of the account is "
            "reached, or Target is unavailable. Test again in a minute."
        )
    try:
        parse_profile_response(settings, response)
    except AdobeTargetError as error:
        return False, str(error)
    token = "with the token" if settings.token or settings.reads_token else "without a token"
    return True, f"Target responds at {settings.base_url} for client code {settings.client_code}, {token}."


def _unreachable(settings: TargetSettings, failure: TransportFailure) -> str:
    place = settings.base_url
    if failure.kind == "name" and settings.base_host.endswith(TARGET_DOMAIN):
        return f"{place} does not exist. Check the client code (login) and the DNS of this machine."
    if failure.kind == "name":
        return f"{place} cannot be resolved. Check the host of the connection and the DNS of this machine."
    if failure.kind == "tls":
        return f"{place}: {failure.message}. If a proxy intercepts TLS, set verify to the path of its certificates."
    return f"{place} cannot be reached: {failure.message}. Check host, port, proxies and the firewall."
