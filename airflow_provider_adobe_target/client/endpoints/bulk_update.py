"""Bulk profile update (``batchUpdate``): URL, request, flow and response."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.protocol import (
    ApiVersion,
    BatchBody,
    Flow,
    Request,
    _headers,
)
from airflow_provider_adobe_target.client.retry_policy import SUBMIT_POLICY, FailedAttempt
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetError,
)

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.batch import BatchReceipt
    from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
    from airflow_provider_adobe_target.concurrency.clock import Clock
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.batch import BatchReceipt, batch_id_of
from airflow_provider_adobe_target.client.call import call_with_retry
from airflow_provider_adobe_target.client.endpoints.status_url import checked_status_url
from airflow_provider_adobe_target.client.parsing import ResponseParseError, excerpt, parse_submit
from airflow_provider_adobe_target.concurrency.clock import utc_time
from airflow_provider_adobe_target.exceptions import (
    TargetRefusedError,
    UnclearAnswerError,
)

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.protocol import Response
from airflow_provider_adobe_target.client.responses import raise_for_auth, raise_for_response, scrub


def submit_url(settings: TargetSettings, api_version: ApiVersion) -> str:
    """Return the URL a batch is posted to.

    :param api_version: ``v2`` creates profiles for unknown ids, ``v1`` does not.
    """
    version = "v2/" if api_version == "v2" else ""
    return f"{settings.base_url}/m2/{settings.client_code}/{version}profile/batchUpdate"


def submit_request(settings: TargetSettings, body: BatchBody, api_version: ApiVersion) -> Request:
    """Return the request that queues one batch file (Adobe's Bulk Profile Update page)."""
    headers = {**_headers(settings, "application/xml"), "Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", submit_url(settings, api_version), headers, body, settings.timeout)


def submit_batch(
    settings: TargetSettings,
    rate_limiter: RateLimiter,
    clock: Clock,
    body: BatchBody,
    api_version: ApiVersion = "v2",
) -> Flow[BatchReceipt]:
    """Queue one batch file. Each try sends the same bytes, so that a row applied twice is a row applied once.

    :param body: the file, with its ``batch=`` prefix, encoded.
    :param api_version: ``v2`` creates profiles for unknown ids, ``v1`` does not.
    :raises TokenRefusedError: where Target does not take the token.
    :raises TargetRefusedError: where Target refuses the file, or gives no usable status URL.
    :raises AdobeTargetUnavailableError: after 5 tries without an answer, 2 whose answer was lost, or 30 minutes of
        being throttled. Each error says whether Target may have taken the file.
    """
    failed_attempts: list[FailedAttempt] = []
    try:
        receipt = yield from call_with_retry(
            rate_limiter,
            clock,
            submit_request(settings, body, api_version),
            lambda response: parse_submit_response(settings, response, clock.now()),
            policy=SUBMIT_POLICY,
            subject=f"the batch file of {body.size:,} bytes",
            failed_attempts=failed_attempts,
        )
    except AdobeTargetError as error:
        error.maybe_accepted |= any(attempt.maybe_accepted for attempt in failed_attempts)
        raise
    return replace(receipt, answer_was_lost=any(attempt.maybe_accepted for attempt in failed_attempts))


def parse_submit_response(settings: TargetSettings, response: Response, now: float) -> BatchReceipt:
    """Read the answer to a submit, one that is final: it is a success where HTTP status and body say so.

    :param now: time of the answer, seconds since the epoch.
    :raises TokenRefusedError: for 401 and 403.
    :raises TargetRefusedError: for every other answer without ``success`` and a usable status URL.
    """
    raise_for_auth(settings, response)
    try:
        answer = parse_submit(response.body)
    except ResponseParseError:
        answer = None
    if not response.ok or answer is None:
        error = UnclearAnswerError if response.ok else TargetRefusedError
        raise_for_response(settings, response, "the batch", answer.message if answer else excerpt(response.body), error)
    if answer.success is not True:
        said = scrub(settings, answer.message) or "nothing more"
        raise TargetRefusedError(f"Target refused the batch (success is not true). It says: {said}")
    try:
        status_url = checked_status_url(settings, answer.status_url)
    except TargetRefusedError as error:
        raise UnclearAnswerError(
            f"Target accepted the batch, so its rows may have been queued, but gave no usable status URL. {error}"
        ) from None
    return BatchReceipt(batch_id_of(status_url), status_url, utc_time(now))
