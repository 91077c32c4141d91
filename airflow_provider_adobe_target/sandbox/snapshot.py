"""The state of the sandbox as JSON, for the page and for ``/state.json``."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.sandbox.messages import json_answer, method_not_allowed

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.messages import Answer, Call
    from airflow_provider_adobe_target.sandbox.state import Batch, State

CALLS_SHOWN = 50


def iso_time(at: float) -> str:
    """Return a time as Adobe formats it: ISO 8601 with milliseconds and offset.

    :param at: Seconds since the epoch.
    """
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")


def state_json(state: State, call: Call) -> Answer:
    """Return the state, with the profile of ``?id_type=&id=`` if the query names one."""
    return json_answer(200, snapshot(state, call)) if call.method == "GET" else method_not_allowed("GET")


def snapshot(state: State, call: Call) -> dict[str, Any]:
    """Return the state, newest entries first. It contains neither the token nor request headers."""
    now = state.apply_due_batches()
    # Requests for the page are not calls to Target.
    calls = [known for known in reversed(state.calls) if known.route not in ("page", "state", "reset")]
    return {
        "client_code": state.settings.client_code,
        "now": iso_time(now),
        "profile_count": len(state.profiles),
        "warnings": list(reversed(state.warnings)),
        "batches": [_batch(batch) for batch in reversed(state.batches.values())],
        "profile": _profile(state, call, now),
        "calls": [_call(known) for known in calls[:CALLS_SHOWN]],
        "call_counts": Counter(call.route for call in calls),
        "settings": state.settings.public(),
    }


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "batch_id": batch.batch_id,
        "received_at": iso_time(batch.received_at),
        "version": batch.version,
        "key": batch.key,
        "names": batch.names,
        "status": batch.status,
        "rows": batch.row_count,
        "consumed": batch.consumed,
        "successful": batch.successful,
        "not_found": batch.not_found,
        "failed": batch.failed,
        "repeated_ids": batch.repeated_ids,
        "body_bytes": batch.body_bytes,
        "sha256": batch.sha256,
    }


def _profile(state: State, call: Call, now: float) -> dict[str, Any] | None:
    profile_id = call.parameter("id")
    if not profile_id:
        return None
    id_type = call.parameter("id_type") or "thirdPartyId"
    profile = state.profiles.find((id_type, profile_id), now)
    asked = {"id_type": id_type, "id": profile_id, "is_known": profile is not None}
    if profile is None:
        return {**asked, "ids": [], "attributes": []}
    visible = profile.visible(now) or {}
    attributes = [
        {
            "name": name,
            "value": attribute.value,
            "origin": attribute.origin.batch_id or attribute.origin.kind,
            "written_at": iso_time(attribute.origin.at),
            "is_visible": visible.get(name) == attribute,
        }
        for name, attribute in sorted(profile.attributes.items())
    ]
    return {**asked, "ids": profile.keys, "attributes": attributes}


def _call(call: Call) -> dict[str, Any]:
    return {
        "at": iso_time(call.at),
        "route": call.route,
        "method": call.method,
        "path": call.raw_path,
        "query": call.query,
        "host": call.host,
        "body_bytes": call.body_bytes,
        "status": call.status,
    }
