"""Columns about the visit in which ids are linked: its session id and its edge cluster."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.mapping import find_column
from airflow_provider_adobe_target.profiles.validation import Verdicts
from airflow_provider_adobe_target.profiles.values.text_column import marks
from airflow_provider_adobe_target.profiles.values.to_text import to_text

_SESSION_ID = r"^[!-.0->@-z|~]{1,128}$"  # visible ASCII characters without "/", "?", "{" and "}"
_EDGE_CLUSTER = r"^[0-9]{1,3}$"


def visit_columns(schema: pa.Schema, session_id: str | None, edge_cluster: str | None) -> dict[str, str]:
    """Return the column names of ``session_id`` and ``edge_cluster`` in a table, without those that are not given.

    :raises ProfileDataError: If there is no such column, or both are one column.
    """
    given = {"session_id": session_id, "edge_cluster": edge_cluster}
    found = {kind: find_column(schema, name, f"{kind}_column") for kind, name in given.items() if name is not None}
    if len(set(found.values())) < len(found):
        raise ProfileDataError("session_id_column and edge_cluster_column must be different columns.")
    return found


def check_session_ids(values: pa.Array, column: str, verdicts: Verdicts) -> pa.StringArray:
    """Return session ids as text. Null and empty text mean that a row has none."""
    return _check(values, _SESSION_ID, verdicts, "invalid_session_id", f"{column}: not 1 to 128 allowed characters")


def check_edge_clusters(values: pa.Array, column: str, verdicts: Verdicts) -> pa.StringArray:
    """Return the digits of edge clusters as text. Null and empty text mean that a row has none."""
    return _check(values, _EDGE_CLUSTER, verdicts, "invalid_edge_cluster", f"{column}: not 1 to 3 digits")


VISIT_CHECKS: dict[str, Callable[[pa.Array, str, Verdicts], pa.StringArray]] = {
    "session_id": check_session_ids,
    "edge_cluster": check_edge_clusters,
}


def _check(values: pa.Array, pattern: str, verdicts: Verdicts, reason: str, detail: str) -> pa.StringArray:
    column = to_text(values)
    is_invalid = ~marks(pc.match_substring_regex(column.text, pattern)) & marks(column.text.is_valid())
    if column.unsupported is not None:
        is_invalid |= marks(column.unsupported)
    verdicts.reject(is_invalid, reason, detail)
    return column.text
