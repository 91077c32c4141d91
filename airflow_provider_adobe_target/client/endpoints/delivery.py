"""Delivery API: link the ids of one person.

Sources: Adobe's Delivery API reference and its page about identifying visitors. Each person has one session. A request
contains all known ids, one mbox that no activity uses, and no ``pageLoad``, so that no impression is counted. Further
calls use the edge host of the response.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from airflow_provider_adobe_target import __version__
from airflow_provider_adobe_target.client.endpoints.status_url import checked_status_url
from airflow_provider_adobe_target.client.parsing import ResponseParseError, parse_json_object
from airflow_provider_adobe_target.client.protocol import Flow, Request, Response, Send, TransportFailure, Wait
from airflow_provider_adobe_target.client.retry_policy import (
    FailedAttempt,
    RetryPolicy,
    attempt_from_failure,
    attempt_from_response,
)
from airflow_provider_adobe_target.client.settings_fields import TARGET_DOMAIN
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetUnavailableError,
    PersonRefusedError,
    TargetRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adobe_target.client.call import CallContext
    from airflow_provider_adobe_target.client.protocol import SendResult
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

log = logging.getLogger(__name__)

_POLICY = RetryPolicy(first_wait=1.0)
_BUSY_SESSION = 420
_BUSY_WAIT = 5.0  # seconds
_SILENT_ATTEMPTS = 2  # failed attempts of a call that are logged at the level DEBUG
_RAMP = 200.0  # initial calls per second, and increase per minute, as Adobe recommends
_MINUTE = 60.0
_SESSIONS = uuid.UUID("6f2d6a3c-5b0e-4d8e-9a37-1c1f5f0c7f11")


@dataclass(frozen=True)
class Person:
    """Ids and attributes of one person. The ``repr`` contains none of them.

    :param key: Id that identifies the person in all requests, with its type.
    :param third_party_id: Customer id. Cannot be combined with :attr:`customer_ids`.
    :param tnt_id: Target id of a browser, with its suffix if it is known.
    :param ecid: Experience Cloud id of a browser.
    :param customer_ids: Authenticated ids by integration code (alias of a data source). Requires :attr:`ecid`.
    :param attributes: Values by name, without ``profile.``. At most 50, with at most 256 characters each.
    :param session_id: Session of the person's visit. Default: one that is derived from :attr:`key`.
    """

    key: str = field(repr=False)
    third_party_id: str | None = field(default=None, repr=False)
    tnt_id: str | None = field(default=None, repr=False)
    ecid: str | None = field(default=None, repr=False)
    customer_ids: Mapping[str, str] = field(default_factory=dict, repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False)
    session_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Link:
    """Result of a Delivery call.

    :param tnt_id: Target id with the suffix of the profile's edge cluster, or None.
    :param edge_url: Validated ``scheme://host[:port]`` for the person's next call, or None for the base URL.
    """

    tnt_id: str | None = field(repr=False)
    edge_url: str | None


class RampUpLimiter:
    """Limit the call rate with a ramp-up: 200 calls per second at first, and 200 more with each minute. Thread-safe.

    :param calls_per_second: Maximum number of calls per second.
    :param clock: Clock.
    """

    def __init__(self, calls_per_second: float, clock: Clock) -> None:
        self._calls_per_second = calls_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._start = self._next = clock.monotonic()

    def permit(self) -> _RampUpPermit:
        """Return a new permit for one call."""
        return _RampUpPermit(self)

    def take(self) -> float:
        """Reserve the next call and return the seconds until it may start."""
        with self._lock:
            now = self._clock.monotonic()
            ramp = _RAMP * (1 + (now - self._start) // _MINUTE)
            start = max(now, self._next)
            self._next = start + 1 / min(self._calls_per_second, ramp)
            return start - now

    def hold(self, seconds: float) -> None:
        """Pause all calls after Adobe Target throttled one.

        :param seconds: How long to pause all calls.
        """
        with self._lock:
            self._next = max(self._next, self._clock.monotonic() + seconds)


class _RampUpPermit:
    """A permit for one call. The first :meth:`try_acquire` reserves the time of the call."""

    def __init__(self, limiter: RampUpLimiter) -> None:
        self._limiter = limiter
        self._is_reserved = False

    def __enter__(self) -> _RampUpPermit:
        return self

    def __exit__(self, *error: object) -> None: ...

    def try_acquire(self) -> float:
        if self._is_reserved:
            return 0.0
        self._is_reserved = True
        return self._limiter.take()

    def back_off(self, seconds: float) -> None:
        self._limiter.hold(seconds)


def session_id(settings: TargetSettings, person: Person) -> str:
    """Return the session id of a person. If none is given, 32 hex digits, the same in each attempt, task and run.

    Adobe's Delivery API reference: two sessions for one id within 30 minutes cause inconsistent changes, and one
    session for several people causes unpredictable ones.
    """
    return person.session_id or uuid.uuid5(_SESSIONS, f"{settings.client_code} {person.key}").hex


def cluster_url(settings: TargetSettings, edge_cluster: str | None) -> str | None:
    """Return the URL of an edge cluster, or None for the base URL.

    With another host in the connection (a proxy, a CNAME, the sandbox), the base URL is used: ids must not be sent to
    a host that the connection replaces.

    :param edge_cluster: Digits of the cluster.
    """
    if edge_cluster is None or not settings.base_host.endswith(TARGET_DOMAIN):
        return None
    return f"https://mboxedge{edge_cluster}{TARGET_DOMAIN}"


def link_person(context: CallContext, person: Person, *, mbox: str, edge_url: str | None = None) -> Flow[Link]:
    """Link the ids of a person. The call is idempotent.

    :param context: Settings, rate limiter of Delivery calls, and clock.
    :param person: Ids and attributes of the person.
    :param mbox: Name of an mbox that no activity uses.
    :param edge_url: Edge URL from the response to the person's last call, or of an edge cluster, if any.
    :return: Result of the call.
    :raises PersonRefusedError: If Target refuses the data of this person.
    :raises TargetRefusedError: If Target refuses the call for a reason that applies to all persons.
    :raises AdobeTargetUnavailableError: After 30 minutes without a usable response.
    """
    settings, clock = context.settings, context.clock
    failed_attempts: list[FailedAttempt] = []
    first_failure = clock.monotonic()
    while True:
        with context.rate_limiter.permit() as permit:
            while (pause := permit.try_acquire()) > 0:
                yield Wait(pause)
            answer = yield Send(delivery_request(settings, person, mbox, edge_url))
        outcome = _outcome(settings, answer, clock.now())
        if isinstance(outcome, Link):
            return outcome
        if isinstance(answer, TransportFailure):
            edge_url = None  # a firewall may allow the base URL only
        if outcome.throttled:
            permit.back_off(outcome.wait or 0.0)
        first_failure = first_failure if failed_attempts else clock.monotonic()
        failed_attempts.append(outcome)
        wait = _POLICY.wait(failed_attempts, clock.monotonic() - first_failure)
        if wait is None:
            raise AdobeTargetUnavailableError(
                f"{outcome.reason[:1].upper()}{outcome.reason[1:]}. Target returned no usable response to a Delivery "
                f"call in {len(failed_attempts)} attempts. Retry later.",
                retry_after=outcome.wait if outcome.throttled else None,
            )
        level = logging.WARNING if len(failed_attempts) > _SILENT_ATTEMPTS else logging.DEBUG
        log.log(level, "No usable response to a Delivery call: %s. Next attempt in %.0f seconds.", outcome.reason, wait)
        yield Wait(wait)


def delivery_request(settings: TargetSettings, person: Person, mbox: str, edge_url: str | None = None) -> Request:
    """Return the request with all known ids of a person. The Delivery API uses no token, so none is sent."""
    query = f"client={quote(settings.client_code)}&sessionId={quote(session_id(settings, person), safe='')}"
    headers = {
        "Accept": "application/json, */*;q=0.1",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": f"airflow-provider-adobe-target/{__version__}",
    }
    body = json.dumps(_body(settings, person, mbox)).encode()
    return Request("POST", f"{edge_url or settings.base_url}/rest/v1/delivery?{query}", headers, body, settings.timeout)


def _body(settings: TargetSettings, person: Person, mbox: str) -> dict[str, Any]:
    ids: dict[str, Any] = {
        "tntId": person.tnt_id,
        "thirdPartyId": person.third_party_id,
        "marketingCloudVisitorId": person.ecid,
        "customerIds": [
            {"id": customer_id, "integrationCode": code, "authenticatedState": "authenticated"}
            for code, customer_id in person.customer_ids.items()
        ],
    }
    executed = {"index": 0, "name": mbox, "profileParameters": dict(person.attributes)}
    body: dict[str, Any] = {
        "context": {"channel": "web"},
        "id": _present(ids),
        "execute": {"mboxes": [_present(executed)]},
    }
    if settings.property_token:
        body["property"] = {"token": settings.property_token}
    return body


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [], {})}


def _outcome(settings: TargetSettings, answer: SendResult | None, now: float) -> Link | FailedAttempt:
    if isinstance(answer, TransportFailure):
        return attempt_from_failure(answer)
    if not isinstance(answer, Response):
        raise TypeError("a flow must be resumed with the result of its request")
    if answer.status == _BUSY_SESSION:
        return FailedAttempt("HTTP 420: too many requests of one session", _BUSY_WAIT, throttled=True)
    if attempt := attempt_from_response(answer, now):
        is_throttled = "retry-after" in answer.headers or answer.status == 429
        # A 503 is not the limit of 50 calls per minute, because Delivery calls do not count against it.
        return attempt if is_throttled else FailedAttempt(attempt.reason)
    try:
        content = parse_json_object(answer.body)
    except ResponseParseError as error:
        if answer.ok:
            return FailedAttempt(f"HTTP {answer.status}, but {error}")
        content = {}
    if not answer.ok:
        _refuse(answer, content)
    tnt_id = _tnt_id(content)
    if tnt_id is None and not all(isinstance(content.get(name), str) for name in ("client", "requestId")):
        return FailedAttempt(f"HTTP {answer.status} with JSON in another format")  # probably from a gateway
    return Link(tnt_id, _edge_url(settings, content))


def _refuse(answer: Response, content: dict[str, Any]) -> NoReturn:
    """Raise for a response that is not retried. The message does not contain its text, which may include an id.

    :raises PersonRefusedError: If Target refuses the data of this person.
    :raises TargetRefusedError: If Target refuses the call for a reason that applies to all persons.
    """
    if answer.status != 400:
        raise TargetRefusedError(
            f"Target refused a Delivery call (HTTP {answer.status}) for a reason that applies to all calls. Check the "
            "client code (login) and the host of the connection."
        )
    if "property token" in str(content.get("message", "")).lower():
        raise TargetRefusedError(
            "Target refused a Delivery call: property_token of the connection is not a token of this account."
        )
    raise PersonRefusedError("Target refused a Delivery call (HTTP 400).")


def _tnt_id(content: dict[str, Any]) -> str | None:
    ids = content.get("id")
    tnt_id = ids.get("tntId") if isinstance(ids, dict) else None
    return tnt_id if isinstance(tnt_id, str) and tnt_id else None


def _edge_url(settings: TargetSettings, content: dict[str, Any]) -> str | None:
    """Return the validated edge URL of a response, or None. Ids are sent to it, so it must be a host of Target."""
    edge_host = content.get("edgeHost")
    if not isinstance(edge_host, str) or not edge_host:
        return None
    scheme = "http" if settings.plain_http else "https"
    try:
        if set(edge_host) & set("/?#"):
            raise TargetRefusedError("The edge host is not a host name.")
        return checked_status_url(settings, f"{scheme}://{edge_host}")
    except TargetRefusedError:
        log.warning(
            "A response names an edge host outside Target's domain. It is not called. If it is correct, add it to "
            "allowed_status_hosts of the connection."
        )
        return None
