"""Batch status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_adobe_target.sandbox.messages import Answer, Call, method_not_allowed, text_answer
from airflow_provider_adobe_target.sandbox.settings import COUNTERS

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.state import Batch, State
from airflow_provider_adobe_target.sandbox.endpoints.bulk_update import (
    check_client,
    check_rate,
    check_token,
    refusal,
    response,
)


def status(state: State, call: Call) -> Answer:
    """Return the status of a batch, with counters if the query has ``showDetails=true``."""
    if call.method != "GET":
        return method_not_allowed("GET")
    if not _is_edge_host(state, call):
        return text_answer(404, "Not found")
    refused = check_client(state, call.segments[1]) or check_token(state, call) or check_rate(state)
    if refused is not None:
        return refused
    now = state.apply_due_batches()
    batch_id = call.parameter("batchId") or ""
    batch = state.batches.get(batch_id)
    if batch is None or now - batch.received_at > state.settings.status_kept_seconds:
        return _lost(state, call, batch_id)
    return response(state, _status_fields(state, batch, call.parameter("showDetails") == "true"))


def _is_edge_host(state: State, call: Call) -> bool:
    """Return whether the called host answers batch status requests: the edge host, or any if the settings allow it."""
    named = urlsplit(state.settings.edge_base or "").netloc
    return call.port == state.edge_port or call.host == named or state.settings.status_on_client_host


def _lost(state: State, call: Call, batch_id: str) -> Answer:
    if state.settings.lost_status == "404":
        return response(state, [("success", "false"), ("message", "Unknown batch")], 404)
    if state.settings.lost_status == "refusal":
        return refusal(state, call, "No status for this batch")
    return response(state, [("batchId", batch_id)])


def _status_fields(state: State, batch: Batch, show_details: bool) -> list[tuple[str, Any]]:
    settings = state.settings
    counts = (
        batch.row_count + settings.batch_size_offset,
        batch.consumed,
        batch.successful,
        batch.not_found,
        batch.failed,
    )
    counters = [
        (name, 0 if name in settings.zero_counters else n)
        for name, n in zip(COUNTERS, counts, strict=True)
        if name not in settings.omit_counters
    ]
    batch_id = batch.batch_id.replace("-", "4-", 1) if settings.noise else batch.batch_id
    fields: list[tuple[str, Any]] = [("batchId", batch_id), ("status", batch.status)]
    fields += counters if show_details else [(name, n) for name, n in counters if name == "batchSize"]
    if settings.list_failed_rows:
        word = settings.failed_row_word
        fields += [("profile", [("id", profile_id), ("status", word)]) for profile_id in batch.failed_ids]
    return fields
