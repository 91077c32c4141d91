"""Bulk profile update (``batchUpdate``): URL, request, flow and response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.batch import LOST_ANSWER, Batch, batch_id_of
from airflow_provider_adobe_target.client.call import CallContext, call_with_retry
from airflow_provider_adobe_target.client.endpoints.status_url import checked_status_url
from airflow_provider_adobe_target.client.parsing import ResponseParseError, excerpt, parse_submit
from airflow_provider_adobe_target.client.protocol import (
    ApiVersion,
    BatchBody,
    Flow,
    Request,
    _headers,
)
from airflow_provider_adobe_target.client.responses import raise_for_auth, raise_for_response, scrub
from airflow_provider_adobe_target.client.retry_policy import SUBMIT_POLICY, FailedAttempt
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.concurrency.clock import utc_time
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetError,
    TargetRefusedError,
    UnclearAnswerError,
)

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.protocol import Response


def submit_url(settings: TargetSettings, api_version: ApiVersion) -> str:
    """Return the URL of batch uploads.

    :param settings: Connection settings.
    :param api_version: ``v2`` creates profiles for unknown ids, ``v1`` does not.
    """
    version = "v2/" if api_version == "v2" else ""
    return f"{settings.base_url}/m2/{settings.client_code}/{version}profile/batchUpdate"


def submit_request(settings: TargetSettings, body: BatchBody, api_version: ApiVersion) -> Request:
    """Return the request that uploads one batch file (Adobe's Bulk Profile Update page)."""
    headers = {**_headers(settings, "application/xml"), "Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", submit_url(settings, api_version), headers, body, settings.timeout)


def submit_batch(context: CallContext, body: BatchBody, api_version: ApiVersion = "v2") -> Flow[Batch]:
    """Upload one batch file. Each attempt sends the same bytes, and applying a row twice has no further effect.

    Each exception has ``maybe_accepted``: whether Target may have queued the file.

    :param context: Settings, rate limiter and clock.
    :param body: Encoded file, with its ``batch=`` prefix.
    :param api_version: ``v2`` creates profiles for unknown ids, ``v1`` does not.
    :return: Queued batch. ``resubmitted_after`` contains ``lost_answer`` if Target may have queued the file twice.
    :raises TokenRefusedError: If Target refuses the token.
    :raises TargetRefusedError: If Target refuses the file, or returns no usable status URL.
    :raises AdobeTargetUnavailableError: After 5 attempts without a response, 2 lost responses, or 30 minutes of
        throttling.
    """
    failed_attempts: list[FailedAttempt] = []
    try:
        status_url = yield from call_with_retry(
            context,
            submit_request(context.settings, body, api_version),
            lambda response: parse_submit_response(context.settings, response),
            policy=SUBMIT_POLICY,
            subject=f"the batch file of {body.size:,} bytes",
            failed_attempts=failed_attempts,
        )
    except AdobeTargetError as error:
        error.maybe_accepted |= any(attempt.maybe_accepted for attempt in failed_attempts)
        raise
    return Batch(
        batch_id=batch_id_of(status_url),
        status_url=status_url,
        rows=body.rows,
        bytes=body.size,
        sha256=body.sha256,
        submitted_at=utc_time(context.clock.now()),
        resubmitted_after=(LOST_ANSWER,) if any(attempt.maybe_accepted for attempt in failed_attempts) else (),
    )


def parse_submit_response(settings: TargetSettings, response: Response) -> str:
    """Parse the response to an upload. Both the HTTP status and the body must report success.

    :param settings: Connection settings.
    :param response: Response.
    :return: Validated status URL of the queued batch.
    :raises TokenRefusedError: For HTTP 401 and 403.
    :raises TargetRefusedError: For every other response without ``success`` and a usable status URL.
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
        message = scrub(settings, answer.message) or "no message"
        raise TargetRefusedError(f"Target refused the batch (success is not true). Response: {message}")
    try:
        return checked_status_url(settings, answer.status_url)
    except TargetRefusedError as error:
        raise UnclearAnswerError(
            f"Target accepted the batch, so its rows may have been queued, but returned no usable status URL. {error}"
        ) from None
