"""``adobe-target sync-log``."""

from __future__ import annotations

import sqlite3

import pytest


def test_the_statements_create_the_table(call):
    database = sqlite3.connect(":memory:")
    database.executescript(call("sync-log", "ddl", code=0).out)
    columns = [row[1] for row in database.execute("PRAGMA table_info(adobe_target_runs)")]
    assert columns[:3] == ["dag_id", "task_id", "run_id"]
    assert "rejected_by_reason" in columns


@pytest.mark.parametrize(("dialect", "type_name"), [("mysql", "DATETIME(6)"), ("", "TIMESTAMP")])
def test_types_depend_on_the_dialect(call, dialect, type_name):
    table, index = call("sync-log", "ddl", "--dialect", dialect, "--json", code=0).json["statements"]
    assert f"started_at {type_name} NOT NULL" in table
    assert index.startswith("CREATE INDEX")
