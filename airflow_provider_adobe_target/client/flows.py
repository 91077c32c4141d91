"""The conversations with Adobe Target, each as one generator that a worker and a triggerer can drive.

See :mod:`airflow_provider_adobe_target.client.protocol` for what a flow yields, and ``transports.run`` and
``transports.arun`` for what drives it.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_adobe_target.client.protocol import (
    Answer,
    BatchBody,
    Flow,
    Request,
    Response,
    Send,
    TransportFailure,
    Wait,
    fetch_request,
    status_request,
    submit_request,
    update_request,
)
from airflow_provider_adobe_target.client.readings import (
    read_failed_ids,
    read_profile,
    read_status,
    read_submit,
    read_update,
)
from airflow_provider_adobe_target.client.retries import (
    POLL_POLICY,
    PROFILE_POLICY,
    SUBMIT_POLICY,
    RetryPolicy,
    Setback,
    failure_setback,
    response_setback,
)
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetError,
    AdobeTargetUnavailableError,
    BatchTimeoutError,
    StatusLostError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_adobe_target.client.fetched import TargetProfile
    from airflow_provider_adobe_target.client.outcomes import Batch, BatchReceipt, BatchStatus
    from airflow_provider_adobe_target.client.rate_limit.daily import Budget
    from airflow_provider_adobe_target.client.rate_limit.limiter import CallBudget
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.client.urls import ApiVersion, FetchIdType, IdType
    from airflow_provider_adobe_target.concurrency.clock import Clock

T = TypeVar("T")
_logger = logging.getLogger(__name__)

_INTERVAL_GROWTH = 1.5
_LONGEST_INTERVAL = 5


def submit_batch(
    settings: TargetSettings,
    budget: CallBudget,
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
    setbacks: list[Setback] = []
    try:
        receipt = yield from call_target(
            budget,
            clock,
            submit_request(settings, body, api_version),
            lambda response: read_submit(settings, response, clock.now()),
            policy=SUBMIT_POLICY,
            subject=f"the batch file of {body.size:,} bytes",
            setbacks=setbacks,
        )
    except AdobeTargetError as error:
        error.maybe_accepted |= any(setback.maybe_accepted for setback in setbacks)
        raise
    return replace(receipt, answer_was_lost=any(setback.maybe_accepted for setback in setbacks))


def batch_status(
    settings: TargetSettings, budget: CallBudget, clock: Clock, batch: Batch, deadline: float = math.inf
) -> Flow[BatchStatus]:
    """Ask once for a batch's status and counters; a failed poll is tried again within 30 minutes.

    :param deadline: seconds since the epoch beyond which nothing is waited for.
    :raises TokenRefusedError: where Target does not take the token.
    :raises StatusLostError: where Target no longer knows the batch.
    :raises TargetRefusedError: where the status URL is not to be called, or the answer is another refusal.
    :raises AdobeTargetUnavailableError: naming the batch and the last failure, after 30 minutes of them.
    :raises BatchTimeoutError: where the next try would begin after the deadline.
    """
    status = yield from call_target(
        budget,
        clock,
        status_request(settings, batch.status_url or ""),
        lambda response: read_status(settings, response, batch.batch_id),
        policy=POLL_POLICY,
        subject=f"the status of batch {batch.batch_id}",
        deadline=deadline,
    )
    level = logging.INFO if status.final else logging.DEBUG
    _logger.log(level, "Batch %s is %s: %s of %s rows taken up.", batch.batch_id, status.status, *_progress(status))
    return status


def poll_once(
    settings: TargetSettings,
    budget: CallBudget,
    clock: Clock,
    batches: Sequence[Batch],
    deadline: float = math.inf,
) -> Flow[list[Batch]]:
    """Ask once for each batch that is not final.

    :return: all batches in their order, with what is known now.
    :raises BatchTimeoutError: naming the batches that are not final, where the deadline has passed.
    :raises AdobeTargetError: as :func:`batch_status`.
    """
    polled = []
    for batch in batches:
        if not batch.final:
            batch = yield from _with_status(settings, budget, clock, batch, deadline)
        polled.append(batch)
    _check_deadline(polled, clock, deadline)
    return polled


def wait_for_batches(
    settings: TargetSettings,
    budget: CallBudget,
    clock: Clock,
    batches: Sequence[Batch],
    poll_interval: float,
    deadline: float,
) -> Flow[list[Batch]]:
    """Poll until all batches are final, first after ``poll_interval``, then ever later, up to 5 times that.

    Where the deadline has passed already, each batch is asked for once all the same.

    :param poll_interval: seconds.
    :param deadline: seconds since the epoch.
    :return: all batches in their order, each final.
    :raises BatchTimeoutError: naming the batches that are not final at the deadline.
    :raises AdobeTargetError: as :func:`batch_status`.
    """
    current = list(batches)
    interval = poll_interval
    while any(not batch.final for batch in current):
        yield Wait(max(0.0, min(interval, deadline - clock.now())))
        interval = min(interval * _INTERVAL_GROWTH, poll_interval * _LONGEST_INTERVAL)
        for index, batch in enumerate(current):
            if batch.final:
                continue
            try:
                current[index] = yield from _with_status(settings, budget, clock, batch, deadline)
            except BatchTimeoutError as error:
                raise _timed_out(current, str(error)) from None
        unfinished = sum(not batch.final for batch in current)
        if unfinished:
            _check_deadline(current, clock, deadline)
            _logger.info(
                "%s of %s batches are not finished; asking again in %.0f s.", unfinished, len(current), interval
            )
    return current


def failed_ids(settings: TargetSettings, budget: CallBudget, clock: Clock, batch: Batch) -> Flow[set[str]]:
    """Ask once more for a batch's status, for the ids that it lists as failed: they are never logged.

    :raises AdobeTargetError: as :func:`batch_status`.
    """
    return (
        yield from call_target(
            budget,
            clock,
            status_request(settings, batch.status_url or ""),
            lambda response: read_failed_ids(settings, response, batch.batch_id),
            policy=POLL_POLICY,
            subject=f"the failed rows of batch {batch.batch_id}",
        )
    )


def fetch_profile(
    settings: TargetSettings,
    budget: Budget,
    clock: Clock,
    profile_id: str,
    id_type: FetchIdType,
    deadline: float = math.inf,
) -> Flow[TargetProfile | None]:
    """Look up one profile, None where there is none. What Target gives can be tens of minutes old.

    :param profile_id: the id as Target has it; it is percent-encoded here, and never logged.
    :param deadline: seconds since the epoch beyond which nothing is waited for.
    :raises BatchTimeoutError: where the next try would begin after the deadline.
    :raises TokenRefusedError: where Target does not take the token.
    :raises TargetRefusedError: where the answer is neither a profile nor 'no profile found'.
    :raises AdobeTargetUnavailableError: after 30 minutes without a usable answer.
    """
    return (
        yield from call_target(
            budget,
            clock,
            fetch_request(settings, profile_id, id_type),
            lambda response: read_profile(settings, response),
            policy=PROFILE_POLICY,
            subject="the look-up of a profile",
            deadline=deadline,
        )
    )


def update_profile(
    settings: TargetSettings,
    budget: Budget,
    clock: Clock,
    profile_id: str,
    id_type: IdType,
    attributes: Mapping[str, str],
) -> Flow[None]:
    """Update one profile. Target creates none, and takes updates of profiles it does not know without a word.

    :param profile_id: the id as Target has it; it is percent-encoded here, and never logged.
    :param attributes: names, without ``profile.``, and texts.
    :raises TokenRefusedError: where Target does not take the token.
    :raises TargetRefusedError: where Target does not take the update.
    :raises AdobeTargetUnavailableError: after 30 minutes without a usable answer. Target may have taken the update;
        to send it again does no harm.
    """
    yield from call_target(
        budget,
        clock,
        update_request(settings, profile_id, id_type, attributes),
        lambda response: read_update(settings, response),
        policy=PROFILE_POLICY,
        subject="a single update",
    )


def _with_status(
    settings: TargetSettings, budget: CallBudget, clock: Clock, batch: Batch, deadline: float
) -> Flow[Batch]:
    """Ask once for a batch's status; that Target has forgotten it is an end like others, for the verdict to judge."""
    try:
        return batch.with_status((yield from batch_status(settings, budget, clock, batch, deadline)))
    except StatusLostError as error:
        _logger.warning("%s", error)
        return batch.lost()


def call_target(
    budget: Budget,
    clock: Clock,
    request: Request,
    read: Callable[[Response], T | Setback],
    *,
    policy: RetryPolicy,
    subject: str,
    deadline: float = math.inf,
    setbacks: list[Setback] | None = None,
    setback_of: Callable[[Response, float], Setback | None] = response_setback,
) -> Flow[T]:
    """Send a request within the budget, as often as another try may better the answer, and read that.

    :param setback_of: says which answers another try may better, by their HTTP status.
    :param setbacks: an empty list, to learn what happened on the way.
    """
    setbacks = [] if setbacks is None else setbacks
    first_setback: float | None = None
    reason = "no call was left in the budget"
    while True:
        with budget.place() as place:
            while (pause := place.begin()) > 0:
                yield _wait(pause, clock, deadline, subject, reason)
            answer = yield Send(request)
        outcome = _outcome(answer, read, clock.now(), setback_of)
        if not isinstance(outcome, Setback):
            return outcome
        if outcome.throttled:
            place.throttled(outcome.wait or 0.0)
        reason = outcome.reason
        setbacks.append(outcome)
        first_setback = clock.monotonic() if first_setback is None else first_setback
        wait = policy.wait(setbacks, clock.monotonic() - first_setback)
        if wait is None:
            raise AdobeTargetUnavailableError(
                f"Target gave no usable answer to {subject} in {len(setbacks)} tries. The last: {reason}. Try later.",
                retry_after=outcome.wait if outcome.throttled else None,
            )
        level = logging.WARNING if len(setbacks) > policy.quiet else logging.DEBUG
        _logger.log(level, "No usable answer to %s: %s. Next try in %.0f seconds.", subject, reason, wait)
        yield _wait(wait, clock, deadline, subject, reason)


def _outcome(
    answer: Answer | None,
    read: Callable[[Response], T | Setback],
    now: float,
    setback_of: Callable[[Response, float], Setback | None],
) -> T | Setback:
    if isinstance(answer, Response):
        return setback_of(answer, now) or read(answer)
    if isinstance(answer, TransportFailure):
        return failure_setback(answer)
    raise TypeError("a flow is to be sent the answer to its request")


def _wait(seconds: float, clock: Clock, deadline: float, subject: str, reason: str) -> Wait:
    if clock.now() + seconds > deadline:
        raise BatchTimeoutError(f"The time for {subject} is over; the last try: {reason}.")
    return Wait(seconds)


def _check_deadline(batches: Sequence[Batch], clock: Clock, deadline: float) -> None:
    if clock.now() >= deadline and not all(batch.final for batch in batches):
        raise _timed_out(batches, "Target may still complete them.")


def _timed_out(batches: Sequence[Batch], detail: str) -> BatchTimeoutError:
    ids = ", ".join(str(batch.batch_id) for batch in batches if not batch.final)
    return BatchTimeoutError(f"No final status at the timeout for batch {ids}. {detail}")


def _progress(status: BatchStatus) -> tuple[int | str, int | str]:
    consumed, size = status.consumed_count, status.batch_size
    return "?" if consumed is None else consumed, "?" if size is None else size
