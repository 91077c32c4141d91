"""Batch status (``batchStatus``): request, flows and response."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_provider_adobe_target.client.batch import LOST, SUBMITTED, Batch, BatchStatus, named
from airflow_provider_adobe_target.client.call import CallContext, call_with_retry, log, wait_within
from airflow_provider_adobe_target.client.endpoints.status_url import status_request_url
from airflow_provider_adobe_target.client.parsing import ResponseParseError, parse_failed_ids, parse_status
from airflow_provider_adobe_target.client.protocol import (
    STATUS_RESPONSE_LIMIT,
    Flow,
    Request,
    Wait,
    _headers,
)
from airflow_provider_adobe_target.client.responses import _kind, raise_for_auth, raise_for_response
from airflow_provider_adobe_target.client.retry_policy import POLL_POLICY, FailedAttempt
from airflow_provider_adobe_target.exceptions import (
    BatchTimeoutError,
    StatusLostError,
    TargetRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_adobe_target.client.protocol import Response
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

_INTERVAL_GROWTH = 1.5
_MAX_INTERVAL_FACTOR = 5
_LOST_ATTEMPTS = 3
_LOST_PAUSE = 150.0
_BATCH_ID_PARTS = re.compile(r"(.+)-[0-9]+-[0-9]+")  # client code, milliseconds, number

OnFinal = Callable[[int, Batch], None]


def status_request(settings: TargetSettings, status_url: str) -> Request:
    """Return the request for a batch's status and counters.

    :raises TargetRefusedError: If the token must not be sent to the URL.
    """
    url = status_request_url(settings, status_url)
    return Request("GET", url, _headers(settings, "application/xml"), None, settings.timeout, STATUS_RESPONSE_LIMIT)


def batch_status(context: CallContext, batch: Batch, deadline: float = math.inf) -> Flow[Batch]:
    """Poll a batch's status and counters once. A failed poll is retried for up to 30 minutes.

    :param deadline: Time in seconds since the epoch after which no attempt starts.
    :raises TokenRefusedError: If Target refuses the token.
    :raises StatusLostError: If Target repeatedly returns no status for the batch.
    :raises TargetRefusedError: If the status URL must not be called, or Target refuses the request otherwise.
    :raises AdobeTargetUnavailableError: After 30 minutes without a usable response.
    :raises BatchTimeoutError: If the next attempt would start after the deadline.
    """
    known = [replace(batch, status=SUBMITTED)]
    yield from _poll_round(context, known, deadline, None)
    if known[0].status == LOST:
        raise StatusLostError(_lost_message(batch))
    return known[0]


def poll_once(
    context: CallContext,
    batches: Sequence[Batch],
    deadline: float = math.inf,
    on_final: OnFinal | None = None,
) -> Flow[list[Batch]]:
    """Poll each batch that is not final once, and again only those for which Target returns no status.

    :param on_final: Function that is called with the index and the batch as soon as a batch becomes final.
    :return: All batches, in order, with their current status.
    :raises BatchTimeoutError: If the deadline has passed. The message names the batches that are not final.
    :raises AdobeTargetError: As :func:`batch_status`, except that a lost status is a final status here.
    """
    polled = list(batches)
    yield from _poll_round(context, polled, deadline, on_final)
    _check_deadline(polled, context.clock, deadline)
    return polled


def wait_for_batches(
    context: CallContext,
    batches: Sequence[Batch],
    poll_interval: float,
    deadline: float,
    on_final: OnFinal | None = None,
) -> Flow[list[Batch]]:
    """Poll until all batches are final. The interval grows from ``poll_interval`` to 5 times that (back-off).

    Each batch is polled at least once, even if the deadline has already passed.

    :param poll_interval: First interval in seconds.
    :param deadline: Deadline in seconds since the epoch.
    :param on_final: As for :func:`poll_once`.
    :return: All batches, in order, each final.
    :raises BatchTimeoutError: If the deadline passes. The message names the batches that are not final.
    :raises AdobeTargetError: As :func:`poll_once`.
    """
    current = list(batches)
    interval = poll_interval
    while any(not batch.final for batch in current):
        yield Wait(max(0.0, min(interval, deadline - context.clock.now())))
        interval = min(interval * _INTERVAL_GROWTH, poll_interval * _MAX_INTERVAL_FACTOR)
        try:
            yield from _poll_round(context, current, deadline, on_final)
        except BatchTimeoutError as error:
            raise _timed_out(current, str(error)) from None
        unfinished = sum(not batch.final for batch in current)
        if unfinished:
            _check_deadline(current, context.clock, deadline)
            log.info(
                "%s of %s batches are not finished. Next poll in %.0f seconds.", unfinished, len(current), interval
            )
    return current


def _poll_round(
    context: CallContext,
    current: list[Batch],
    deadline: float,
    on_final: OnFinal | None,
) -> Flow[None]:
    """Poll each batch that is not final and update ``current``.

    A batch without a status in the response is polled again after the others. It is lost if all attempts fail so.
    """
    indices = [index for index, batch in enumerate(current) if not batch.final]
    for attempt in range(1, _LOST_ATTEMPTS + 1):
        unknown = []
        for index in indices:
            status = yield from _poll(context, current[index], deadline)
            if status is None and attempt < _LOST_ATTEMPTS:
                unknown.append(index)
                continue
            current[index] = current[index].with_status(status or BatchStatus(LOST))
            if status is None:
                log.warning("%s", _lost_message(current[index]))
            if on_final and current[index].final:
                on_final(index, current[index])
        if not unknown:
            return
        ids = named(current[index] for index in unknown)
        log.warning("Target returned no status for batch %s. Next poll in %.0f seconds.", ids, _LOST_PAUSE)
        yield wait_within(
            _LOST_PAUSE, context.clock, deadline, f"the status of batch {ids}", "a response without a status"
        )
        indices = unknown


def _poll(context: CallContext, batch: Batch, deadline: float) -> Flow[BatchStatus | None]:
    """Poll a batch's status once. Return None if Target does not have the batch."""
    status = yield from call_with_retry(
        context,
        status_request(context.settings, batch.status_url or ""),
        lambda response: parse_status_response(context.settings, response, batch.batch_id),
        policy=POLL_POLICY,
        subject=f"the status of batch {batch.batch_id}",
        deadline=deadline,
    )
    if status:
        level = logging.INFO if status.final else logging.DEBUG
        log.log(level, "Batch %s is %s: %s of %s rows consumed.", batch.batch_id, status.status, *_progress(status))
    return status


def failed_ids(context: CallContext, batch: Batch) -> Flow[set[str]]:
    """Poll a batch's status once more and return the ids that it lists as failed. They are never logged.

    :raises AdobeTargetError: As :func:`batch_status`.
    """
    return (
        yield from call_with_retry(
            context,
            status_request(context.settings, batch.status_url or ""),
            lambda response: parse_failed_ids_response(context.settings, response, batch.batch_id),
            policy=POLL_POLICY,
            subject=f"the failed rows of batch {batch.batch_id}",
        )
    )


def _lost_message(batch: Batch) -> str:
    return (
        f"status lost: Target returned no status for batch {batch.batch_id} in {_LOST_ATTEMPTS} attempts over "
        f"{_LOST_PAUSE * (_LOST_ATTEMPTS - 1) / 60:.0f} minutes. Target keeps statuses for about a day. It is unknown "
        "whether the rows were applied. Sending the same rows again is safe."
    )


def _check_deadline(batches: Sequence[Batch], clock: Clock, deadline: float) -> None:
    if clock.now() >= deadline and not all(batch.final for batch in batches):
        raise _timed_out(batches, "Target may still complete them.")


def _timed_out(batches: Sequence[Batch], detail: str) -> BatchTimeoutError:
    ids = named(batch for batch in batches if not batch.final)
    return BatchTimeoutError(f"No final status at the timeout for batch {ids}. {detail}")


def _progress(status: BatchStatus) -> Sequence[str]:
    return ["?" if count is None else f"{count:,}" for count in (status.consumed_count, status.batch_size)]


def parse_status_response(
    settings: TargetSettings, response: Response, batch_id: str | None
) -> BatchStatus | FailedAttempt | None:
    """Parse the response to a status request.

    :return: Status. None if Target does not have the batch: ``success`` is false or there is no status, with HTTP 200,
        404 or 410. A failed attempt for HTML, other formats, and a 404 or 410 from a gateway.
    :raises TokenRefusedError: For HTTP 401 and 403.
    :raises TargetRefusedError: For redirects and other refusals, and for a batch of another client code.
    """
    raise_for_auth(settings, response)
    is_gone = response.status in (404, 410)
    reason = "it is not in Target's format"
    try:
        answer = parse_status(response.body)
    except ResponseParseError as error:
        reason = str(error)
    else:
        _check_batch_id(settings, answer.batch_id, batch_id)
        if response.ok and answer.success is not False and answer.status is not None:
            return answer.status
        if response.ok or answer.success is False or (is_gone and answer.is_own_form):
            return None
    if response.ok or is_gone:
        return FailedAttempt(f"HTTP {response.status} with {_kind(response)}, and {reason}")
    raise_for_response(settings, response, f"the status of batch {batch_id}", "")


def _check_batch_id(settings: TargetSettings, answered: str, asked: str | None) -> None:
    """Compare the batch id of a response with the requested one.

    In Adobe's own sample, the response for ``demo-…`` names ``demo4-…``. Only another client code is an error.

    :raises TargetRefusedError: If the response is about a batch of another client code.
    """
    if not answered or answered == unquote(asked or ""):
        return
    parts = _BATCH_ID_PARTS.fullmatch(answered)
    if parts and not re.fullmatch(rf"{re.escape(settings.client_code)}[0-9]*", parts[1], re.IGNORECASE):
        raise TargetRefusedError(
            f"The response for the status of batch {asked} is about a batch of another client code. Check the status "
            "URL, and whether a proxy responds instead of Target."
        )
    log.warning("The response for the status of batch %s names another batch.", asked)


def parse_failed_ids_response(
    settings: TargetSettings, response: Response, batch_id: str | None
) -> set[str] | FailedAttempt:
    """Return the ids that a status response lists as failed, or a failed attempt for a response without a status."""
    status = parse_status_response(settings, response, batch_id)
    if status is None:
        return FailedAttempt(f"HTTP {response.status} without a status")
    return status if isinstance(status, FailedAttempt) else parse_failed_ids(response.body)
