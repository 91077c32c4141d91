"""Triggers that wait without occupying a worker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_adobe_target import exceptions
from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.client.session import Session
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.execution_timeout import raise_execution_timeout
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.triggers.packing import pack_statuses, unpack_urls, with_statuses
from airflow_provider_adobe_target.version_compat import mask_secret


class BatchStatusTrigger(BaseTrigger):
    """Poll the status of batches until all are final.

    The arguments and the event are plain JSON. They contain no token and no values of rows.

    :param adobe_target_conn_id: ID of the connection, of type ``adobe_target``.
    :param batches: Status URLs of batches, as returned by :func:`~.packing.pack_urls`; or, in triggers of earlier
        versions, a list of entries of :meth:`~airflow_provider_adobe_target.client.batch.Batch.to_event`.
    :param poll_interval: Seconds before the first poll, plus up to a quarter. The interval grows up to five times.
    :param deadline: Time in seconds since the epoch at which the trigger stops.
    :param report: Value that the event returns unchanged, for an operator that needs it after the wait.
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
        """Return the class path and the arguments of this trigger."""
        arguments = ("adobe_target_conn_id", "batches", "poll_interval", "deadline", "report")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in arguments}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until all batches are final or an error ends the wait, then yield one event."""
        is_packed = isinstance(self.batches, Mapping)
        batches = unpack_urls(self.batches) if is_packed else [Batch.from_dict(batch) for batch in self.batches]
        event: dict[str, Any] = {}
        try:
            await self._wait(batches)
        except exceptions.AdobeTargetError as error:
            retry_after = getattr(error, "retry_after", None)
            event = {"error": type(error).__name__, "message": str(error), "retry_after": retry_after}
        known = {"statuses": pack_statuses(batches)} if is_packed else {"batches": [b.to_event() for b in batches]}
        yield TriggerEvent({**event, **known, "report": self.report})

    async def _wait(self, batches: list[Batch]) -> None:
        """Wait, and replace each entry of ``batches`` as soon as it is final."""
        settings = await AdobeTargetHook.aget_settings(self.adobe_target_conn_id)
        # In another thread, because it may call the parent process of the triggerer.
        in_thread = asyncio.get_running_loop().run_in_executor
        session = Session(settings, mask=lambda token: in_thread(None, mask_secret, token, None))
        # A triggerer starts all its triggers at once. Random intervals spread the polls over time.
        interval = self.poll_interval * random.uniform(1, 1.25)  # noqa: S311  # nosec B311  # not a secret
        await session.wait_async(batches, interval, self.deadline, batches.__setitem__)


class WaitUntilTrigger(BaseTrigger):
    """Wait until a time, so that a task can poll again. The trigger is independent of what the task polls for.

    :param moment: Time in seconds since the epoch.
    :param deadline: Deadline of the task in seconds since the epoch. The event returns it unchanged.
    :param ends_at: End of ``execution_timeout`` in seconds since the epoch. The event returns it unchanged, because
        ``dag.test()`` drops other arguments of the resumed method.
    """

    def __init__(self, *, moment: float, deadline: float, ends_at: float | None = None) -> None:
        super().__init__()
        self.moment = moment
        self.deadline = deadline
        self.ends_at = ends_at

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments of this trigger."""
        arguments = {"moment": self.moment, "deadline": self.deadline, "ends_at": self.ends_at}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield one event."""
        await clock.SYSTEM.asleep(max(0.0, self.moment - clock.SYSTEM.now()))
        yield TriggerEvent({"deadline": self.deadline, "ends_at": self.ends_at})


def batches_of_event(event: dict[str, Any], known: Callable[[], Sequence[Batch]]) -> list[Batch]:
    """Return batches with the final statuses from the event of a :class:`BatchStatusTrigger`.

    :param event: Event of the trigger.
    :param known: Function that returns all batches as they were before the deferral. The trigger waited for those that
        were not final.
    :raises AdobeTargetError: If the event does not belong to these batches.
    """
    if "statuses" not in event:
        return [Batch.from_dict(batch) for batch in event.get("batches", [])]  # from a trigger of an earlier version
    batches = list(known())
    pending = [index for index, batch in enumerate(batches) if not batch.final]
    seen = with_statuses([batches[index] for index in pending], event["statuses"])
    for index, batch in zip(pending, seen, strict=True):
        batches[index] = batch
    return batches


def raise_error_of_event(event: dict[str, Any], is_execution_timeout: bool = False) -> None:
    """Raise the error in the event of a trigger, if any.

    :param event: Event of the trigger.
    :param is_execution_timeout: Whether the deadline of the trigger was the end of ``execution_timeout``.
    """
    if "error" not in event:
        return
    if is_execution_timeout and event["error"] == exceptions.BatchTimeoutError.__name__:
        raise_execution_timeout(event["message"])
    error = getattr(exceptions, event["error"])(event["message"])
    if isinstance(error, exceptions.AdobeTargetUnavailableError):
        error.retry_after = event.get("retry_after")
    raise error
