"""The connection test: one real call that changes nothing, answered in words a person can act on."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.exceptions import AdobeTargetError
from airflow_provider_adobe_target.target.protocol import (
    Flow,
    Response,
    Send,
    TransportFailure,
    check_request,
)
from airflow_provider_adobe_target.target.readings import read_profile
from airflow_provider_adobe_target.target.settings import TARGET_DOMAIN

if TYPE_CHECKING:
    from airflow_provider_adobe_target.target.settings import TargetSettings

PLACEHOLDER = "***"
"""What Airflow 3's form hands over in place of a secret that is saved already."""


def check_connection(settings: TargetSettings) -> Flow[tuple[bool, str]]:
    """Look up a profile that cannot be there: Target's own 'no profile found' is the good answer.

    :return: whether the connection works, and what to do where it does not.
    """
    if PLACEHOLDER in (settings.token, settings.property_token):
        return False, (
            "Airflow handed over *** in place of the saved token, so it cannot be tested from here. Type the "
            "token again before testing, or run `airflow connections test` where the connection is saved."
        )
    answer = yield Send(check_request(settings, str(uuid.uuid4())))
    if isinstance(answer, Response):
        return _judge(settings, answer)
    if isinstance(answer, TransportFailure):
        return False, _unreachable(settings, answer)
    raise TypeError("a flow is to be sent the answer to its request")


def _judge(settings: TargetSettings, response: Response) -> tuple[bool, str]:
    if response.status in (429, 503):
        return False, (
            f"{settings.base_url} answers HTTP {response.status}: the account's 50 calls a minute are used "
            "up, or Target is out of service. Test again in a minute."
        )
    try:
        read_profile(settings, response)
    except AdobeTargetError as error:
        return False, str(error)
    token = "with the token" if settings.token else "without a token"
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
