"""Waiting for batches without a worker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_adobe_target import exceptions
from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.client.endpoints.batch_status import wait_for_batches
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.execution_timeout import raise_execution_timeout
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.triggers.packing import pack_statuses, unpack_urls, with_statuses
from airflow_provider_adobe_target.version_compat import mask_secret


class BatchStatusTrigger(BaseTrigger):
    """Ask Adobe Target for the status of batches until all are final.

    Its arguments and its event are plain JSON without a token or anything of a row.

    :param adobe_target_conn_id: the connection, of type ``adobe_target``
    :param batches: the status URLs of batches, as :func:`~.packing.pack_urls` packs them; or, in triggers of earlier
        versions, a list of what :meth:`~airflow_provider_adobe_target.client.batch.Batch.to_event` writes
    :param poll_interval: seconds before the first time of asking, up to a quarter more, growing to five times as many
    :param deadline: epoch seconds at which to give up
    :param report: handed back in the event as it is, for an operator that needs it after the wait
    """

    def __init__(
        self,
        *,
        adobe_target_conn_id: str,
        batches: Mapping[str, Sequence[str]] | Sequence[dict[str, Any]],
        poll_interval: float,
        deadline: float,
        report: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.adobe_target_conn_id = adobe_target_conn_id
        self.batches: Any = batches
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.report = report

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what is needed to build this trigger again."""
        arguments = ("adobe_target_conn_id", "batches", "poll_interval", "deadline", "report")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in arguments}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until all batches are final or one of them ended the wait, and say so in one event."""
        is_packed = isinstance(self.batches, Mapping)
        batches = unpack_urls(self.batches) if is_packed else [Batch.from_event(batch) for batch in self.batches]
        event: dict[str, Any] = {}
        try:
            await self._wait(batches)
        except exceptions.AdobeTargetError as error:
            retry_after = getattr(error, "retry_after", None)
            event = {"error": type(error).__name__, "message": str(error), "retry_after": retry_after}
        known = {"statuses": pack_statuses(batches)} if is_packed else {"batches": [b.to_event() for b in batches]}
        yield TriggerEvent({**event, **known, "report": self.report})

    async def _wait(self, batches: list[Batch]) -> None:
        """Wait, and put each final batch into ``batches`` as soon as it is seen."""
        from airflow_provider_adobe_target.client.auth.authenticator import Authenticator
        from airflow_provider_adobe_target.client.rate_limit.limiter import shared_rate_limiter
        from airflow_provider_adobe_target.client.transports import HttpxTransport, arun

        settings = await AdobeTargetHook.aget_settings(self.adobe_target_conn_id)
        rate_limiter = shared_rate_limiter(settings, clock.SYSTEM)
        # In another thread, since it may call the triggerer's parent process.
        in_thread = asyncio.get_running_loop().run_in_executor
        authenticator = Authenticator(
            settings, rate_limiter, clock.SYSTEM, lambda token: in_thread(None, mask_secret, token, None)
        )
        # A triggerer begins all its triggers at once: they drift apart, or each round of polls would hold up its loop.
        interval = self.poll_interval * random.uniform(1, 1.25)  # noqa: S311  # nosec B311  # no secret
        flow = wait_for_batches(
            settings, rate_limiter, clock.SYSTEM, batches, interval, self.deadline, batches.__setitem__
        )
        async with HttpxTransport(settings) as transport:
            await arun(authenticator.with_profile_token(flow), transport, clock.SYSTEM)


class WaitUntilTrigger(BaseTrigger):
    """Wait until a moment, so that a task can look again. Nothing of what it looks for is handed over.

    :param moment: epoch seconds
    :param deadline: epoch seconds, handed back in the event
    """

    def __init__(self, *, moment: float, deadline: float) -> None:
        super().__init__()
        self.moment = moment
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what is needed to build this trigger again."""
        arguments = {"moment": self.moment, "deadline": self.deadline}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and say that the moment has come."""
        await clock.SYSTEM.asleep(max(0.0, self.moment - clock.SYSTEM.now()))
        yield TriggerEvent({"deadline": self.deadline})


def batches_of_event(event: dict[str, Any], known: Callable[[], Sequence[Batch]]) -> list[Batch]:
    """Return batches with the final statuses that a :class:`BatchStatusTrigger` saw.

    :param known: returns all batches, as they were when the task was deferred; those that were not final then were
        waited for
    :raises AdobeTargetError: where these are others
    """
    if "statuses" not in event:
        return [Batch.from_event(batch) for batch in event.get("batches", [])]  # of a trigger of an earlier version
    batches = list(known())
    pending = [index for index, batch in enumerate(batches) if not batch.final]
    seen = with_statuses([batches[index] for index in pending], event["statuses"])
    for index, batch in zip(pending, seen, strict=True):
        batches[index] = batch
    return batches


def raise_error_of_event(event: dict[str, Any], is_execution_timeout: bool = False) -> None:
    """Raise what ended the wait, if something did.

    :param is_execution_timeout: whether the trigger's deadline was the end of ``execution_timeout``
    """
    if "error" not in event:
        return
    if is_execution_timeout and event["error"] == exceptions.BatchTimeoutError.__name__:
        raise_execution_timeout(event["message"])
    error = getattr(exceptions, event["error"])(event["message"])
    if isinstance(error, exceptions.AdobeTargetUnavailableError):
        error.retry_after = event.get("retry_after")
    raise error
