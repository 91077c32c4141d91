"""Compact form of batches for the arguments and the event of a trigger: MySQL stores at most 65,535 bytes of each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from airflow_provider_adobe_target.client.batch import Batch, BatchStatus
from airflow_provider_adobe_target.exceptions import AdobeTargetError

_STATUS_URL = re.compile(r"(.*[?&]batchId=[^&-]*-?)(.*)")
_COUNTERS = tuple(field.name for field in fields(BatchStatus) if field.name != "status")


def pack_urls(batches: Sequence[Batch]) -> dict[str, list[str]]:
    """Return the status URLs of batches: each common prefix once, and ``number rest`` for each URL."""
    starts: dict[str, int] = {}
    rests = []
    for batch in batches:
        url = batch.status_url or ""
        match = _STATUS_URL.fullmatch(url)
        start, rest = match.groups() if match else ("", url)
        rests.append(f"{starts.setdefault(start, len(starts))} {rest}")
    return {"starts": list(starts), "rests": rests}


def unpack_urls(packed: Mapping[str, Sequence[str]]) -> list[Batch]:
    """Return batches with the status URLs that :func:`pack_urls` packed."""
    pairs = (rest.split(" ", 1) for rest in packed["rests"])
    return [Batch.from_status_url(packed["starts"][int(number)] + rest) for number, rest in pairs]


def pack_statuses(batches: Sequence[Batch]) -> list[str | None]:
    """Return the status and counters of each batch as one text; None for a batch that is not final."""
    return [_packed(batch) if batch.final else None for batch in batches]


def with_statuses(batches: Sequence[Batch], statuses: Sequence[str | None]) -> list[Batch]:
    """Return batches with the statuses that :func:`pack_statuses` packed.

    :raises AdobeTargetError: If the number of statuses differs from the number of batches.
    """
    if len(batches) != len(statuses):
        raise AdobeTargetError(
            f"{len(statuses)} batches were waited for in the triggerer, and {len(batches)} are known: XCom or the "
            "sensor's batches have changed since. Clear the task."
        )
    pairs = zip(batches, statuses, strict=True)
    return [batch.with_status(_unpacked(status)) if status else batch for batch, status in pairs]


def _packed(batch: Batch) -> str:
    counters: list[Any] = [getattr(batch, name) for name in _COUNTERS]
    return ",".join(["" if counter is None else str(counter) for counter in counters] + [batch.status])


def _unpacked(text: str) -> BatchStatus:
    *texts, status = text.split(",", len(_COUNTERS))
    counters: dict[str, Any] = {name: int(text) if text else None for name, text in zip(_COUNTERS, texts, strict=True)}
    return BatchStatus(status, **counters)
