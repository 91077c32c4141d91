"""Arguments that cannot be combined with a ledger."""

from __future__ import annotations

import pytest

from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator


@pytest.mark.parametrize(
    ("ledger", "arguments", "named"),
    [
        ({}, {"fallback_id_column": "pc_id"}, "fallback_id_column"),
        ({}, {"id_map_sql": "SELECT 1"}, "id_map_sql"),
        ({}, {"on_stuck": "resubmit"}, "on_stuck"),
        ({"on_missing": "marker", "missing_values": {"tier": "none"}}, {"limit_rows": 10}, "limit_rows"),
    ],
)
def test_an_argument_that_a_ledger_excludes_is_named(tmp_path, ledger, arguments, named):
    with pytest.raises(Exception, match=f"{named}.* cannot be combined with"):
        BulkProfileUpdateOperator(
            task_id="upload", data=[{"id": "1"}], ledger=ProfileLedger(str(tmp_path), **ledger), **arguments
        )


def test_limit_rows_is_allowed_if_missing_ids_are_ignored(tmp_path):
    BulkProfileUpdateOperator(task_id="upload", data=[{"id": "1"}], ledger=ProfileLedger(str(tmp_path)), limit_rows=10)
