"""Batch status (``batchStatus``): request, flows and response."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_provider_adobe_target.client.batch import LOST, SUBMITTED, Batch, BatchStatus
from airflow_provider_adobe_target.client.call import call_with_retry, log, wait_within
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
    from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
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

    :raises TargetRefusedError: where the URL is not one to send a token to.
    """
    url = status_request_url(settings, status_url)
    return Request("GET", url, _headers(settings, "application/xml"), None, settings.timeout, STATUS_RESPONSE_LIMIT)


def batch_status(
    settings: TargetSettings, rate_limiter: RateLimiter, clock: Clock, batch: Batch, deadline: float = math.inf
) -> Flow[BatchStatus]:
    """Ask for a batch's status and counters; a failed poll is tried again within 30 minutes.

    :param deadline: seconds since the epoch beyond which nothing is waited for.
    :raises TokenRefusedError: where Target does not take the token.
    :raises StatusLostError: where Target says repeatedly that it does not know the batch.
    :raises TargetRefusedError: where the status URL is not to be called, or the answer is another refusal.
    :raises AdobeTargetUnavailableError: naming the batch and the last failure, after 30 minutes of them.
    :raises BatchTimeoutError: where the next try would begin after the deadline.
    """
    known = [replace(batch, status=SUBMITTED)]
    yield from _poll_round(settings, rate_limiter, clock, known, deadline, None)
    if known[0].status == LOST:
        raise StatusLostError(_lost_message(batch))
    return BatchStatus(**{field.name: getattr(known[0], field.name) for field in fields(BatchStatus)})


def poll_once(
    settings: TargetSettings,
    rate_limiter: RateLimiter,
    clock: Clock,
    batches: Sequence[Batch],
    deadline: float = math.inf,
    on_final: OnFinal | None = None,
) -> Flow[list[Batch]]:
    """Ask once for each batch that is not final; again only for those of which Target gives no status.

    :param on_final: called with the index of each batch that has become final, and the batch, as soon as it has.
    :return: all batches in their order, with what is known now.
    :raises BatchTimeoutError: naming the batches that are not final, where the deadline has passed.
    :raises AdobeTargetError: as :func:`batch_status`, except that a lost status is an end like others.
    """
    polled = list(batches)
    yield from _poll_round(settings, rate_limiter, clock, polled, deadline, on_final)
    _check_deadline(polled, clock, deadline)
    return polled


def wait_for_batches(
    settings: TargetSettings,
    rate_limiter: RateLimiter,
    clock: Clock,
    batches: Sequence[Batch],
    poll_interval: float,
    deadline: float,
    on_final: OnFinal | None = None,
) -> Flow[list[Batch]]:
    """Poll until all batches are final, first after ``poll_interval``, then ever later, up to 5 times that.

    Where the deadline has passed already, each batch is asked for once all the same.

    :param poll_interval: seconds.
    :param deadline: seconds since the epoch.
    :param on_final: as for :func:`poll_once`.
    :return: all batches in their order, each final.
    :raises BatchTimeoutError: naming the batches that are not final at the deadline.
    :raises AdobeTargetError: as :func:`poll_once`.
    """
    current = list(batches)
    interval = poll_interval
    while any(not batch.final for batch in current):
        yield Wait(max(0.0, min(interval, deadline - clock.now())))
        interval = min(interval * _INTERVAL_GROWTH, poll_interval * _MAX_INTERVAL_FACTOR)
        try:
            yield from _poll_round(settings, rate_limiter, clock, current, deadline, on_final)
        except BatchTimeoutError as error:
            raise _timed_out(current, str(error)) from None
        unfinished = sum(not batch.final for batch in current)
        if unfinished:
            _check_deadline(current, clock, deadline)
            log.info("%s of %s batches are not finished; asking again in %.0f s.", unfinished, len(current), interval)
    return current


def _poll_round(
    settings: TargetSettings,
    rate_limiter: RateLimiter,
    clock: Clock,
    current: list[Batch],
    deadline: float,
    on_final: OnFinal | None,
) -> Flow[None]:
    """Ask for each batch that is not final, and put what is known into ``current``.

    A batch of which Target gives no status is asked for again after the others: it is lost when all attempts say so.
    """
    indices = [index for index, batch in enumerate(current) if not batch.final]
    for attempt in range(1, _LOST_ATTEMPTS + 1):
        unknown = []
        for index in indices:
            status = yield from _ask(settings, rate_limiter, clock, current[index], deadline)
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
        ids = ", ".join(str(current[index].batch_id) for index in unknown)
        log.warning("Target gives no status for batch %s; asking again in %.0f s.", ids, _LOST_PAUSE)
        yield wait_within(_LOST_PAUSE, clock, deadline, f"the status of batch {ids}", "a response without a status")
        indices = unknown


def _ask(
    settings: TargetSettings, rate_limiter: RateLimiter, clock: Clock, batch: Batch, deadline: float
) -> Flow[BatchStatus | None]:
    """Ask once for a batch's status; None where Target does not know the batch."""
    status = yield from call_with_retry(
        rate_limiter,
        clock,
        status_request(settings, batch.status_url or ""),
        lambda response: parse_status_response(settings, response, batch.batch_id),
        policy=POLL_POLICY,
        subject=f"the status of batch {batch.batch_id}",
        deadline=deadline,
    )
    if status:
        level = logging.INFO if status.final else logging.DEBUG
        log.log(level, "Batch %s is %s: %s of %s rows taken up.", batch.batch_id, status.status, *_progress(status))
    return status


def failed_ids(settings: TargetSettings, rate_limiter: RateLimiter, clock: Clock, batch: Batch) -> Flow[set[str]]:
    """Ask once more for a batch's status, for the ids that it lists as failed: they are never logged.

    :raises AdobeTargetError: as :func:`batch_status`.
    """
    return (
        yield from call_with_retry(
            rate_limiter,
            clock,
            status_request(settings, batch.status_url or ""),
            lambda response: parse_failed_ids_response(settings, response, batch.batch_id),
            policy=POLL_POLICY,
            subject=f"the failed rows of batch {batch.batch_id}",
        )
    )


def _lost_message(batch: Batch) -> str:
    return (
        f"status lost: Target no longer knows batch {batch.batch_id}, or answers without a status for it, in "
        f"{_LOST_ATTEMPTS} attempts over {_LOST_PAUSE * (_LOST_ATTEMPTS - 1) / 60:.0f} minutes. It keeps statuses for "
        "about a day. What became of the rows is unknown; sending the same rows again is safe."
    )


def _check_deadline(batches: Sequence[Batch], clock: Clock, deadline: float) -> None:
    if clock.now() >= deadline and not all(batch.final for batch in batches):
        raise _timed_out(batches, "Target may still complete them.")


def _timed_out(batches: Sequence[Batch], detail: str) -> BatchTimeoutError:
    ids = ", ".join(str(batch.batch_id) for batch in batches if not batch.final)
    return BatchTimeoutError(f"No final status at the timeout for batch {ids}. {detail}")


def _progress(status: BatchStatus) -> tuple[int | str, int | str]:
    consumed, size = status.consumed_count, status.batch_size
    return "?" if consumed is None else consumed, "?" if size is None else size


def parse_status_response(
    settings: TargetSettings, response: Response, batch_id: str | None
) -> BatchStatus | FailedAttempt | None:
    """Read the answer to a status request, one that is final or a failed poll.

    :return: the status; None where Target does not know the batch: ``success`` false or no status, also with 404 or
        410; a failed attempt for HTML, for what is neither XML nor JSON, and for a 404 or 410 that is not Target's.
    :raises TokenRefusedError: for 401 and 403.
    :raises TargetRefusedError: for redirects and other refusals, and for a batch of another client code.
    """
    raise_for_auth(settings, response)
    is_gone = response.status in (404, 410)
    reason = "it is not Target's form"
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
    """Compare the batch that an answer names with the one that was asked for.

    Adobe's own sample answers ``demo4-…`` for ``demo-…``: only another client code cannot be right.

    :raises TargetRefusedError: where the answer is about a batch of another client code.
    """
    if not answered or answered == unquote(asked or ""):
        return
    parts = _BATCH_ID_PARTS.fullmatch(answered)
    if parts and not re.fullmatch(rf"{re.escape(settings.client_code)}[0-9]*", parts[1], re.IGNORECASE):
        raise TargetRefusedError(
            f"The response for the status of batch {asked} is about a batch of another client code. Check the status "
            "URL, and whether a proxy answers in Target's place."
        )
    log.warning("The response for the status of batch %s names another batch.", asked)


def parse_failed_ids_response(
    settings: TargetSettings, response: Response, batch_id: str | None
) -> set[str] | FailedAttempt:
    """Read which ids a status answer lists as failed; an answer without a status is a failed attempt."""
    status = parse_status_response(settings, response, batch_id)
    if status is None:
        return FailedAttempt(f"HTTP {response.status} without a status")
    return status if isinstance(status, FailedAttempt) else parse_failed_ids(response.body)
