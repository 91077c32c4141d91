"""The sync log as a table of a database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_adobe_target.sync_log.record import (
    COLUMNS,
    KEY,
    SUMMARY_COLUMNS,
    RunRecord,
    time_text,
)

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_adobe_target.sync_log.store import RunFilter

TABLE = "adobe_target_runs"

T = TypeVar("T")
_ID, _WORD, _COUNT, _TIME, _TEXT = "VARCHAR(250)", "VARCHAR(64)", "BIGINT", "TIMESTAMP", "TEXT"
_TYPES = {
    **dict.fromkeys(("dag_id", "task_id", "run_id", "operator"), _ID),
    **dict.fromkeys(("client_code", "id_type", "api_version", "outcome"), _WORD),
    **dict.fromkeys(("started_at", "sent_at", "finished_at"), _TIME),
    **dict.fromkeys(("map_index", "try_number", "files", "calls"), "INTEGER"),
    "wait_seconds": "DOUBLE PRECISION",
    **dict.fromkeys(("rejected_by_reason", "batches", "attributes", "details"), _TEXT),
}
_DIALECTS = {
    "mysql": {_TIME: "DATETIME(6)", _TEXT: "LONGTEXT"},
    "mssql": {_TIME: "DATETIME2", _TEXT: "VARCHAR(MAX)"},
}
_MAX_IN_LIST = 500


def ddl(dialect: str = "") -> list[str]:
    """Return the statements that create the table and its index.

    :param dialect: Name of the database's dialect in SQLAlchemy. ``mysql`` and ``mssql`` have their own types.
    """
    types = _DIALECTS.get(dialect, {})
    lines = []
    for column in COLUMNS:
        kind = _TYPES.get(column, _COUNT)
        required = " NOT NULL" if column in (*KEY, "operator", "outcome", "started_at") else ""
        lines.append(f"    {column} {types.get(kind, kind)}{required},")
    lines.append(f"    PRIMARY KEY ({', '.join(KEY)})")
    return [
        "\n".join([f"CREATE TABLE {TABLE} (", *lines, ")"]),
        f"CREATE INDEX {TABLE}_started_at ON {TABLE} (started_at)",
    ]


class TableLog:
    """Records in the table ``adobe_target_runs``. Each call opens its own connection.

    The table is created if it does not exist.

    :param hook: Hook of the database connection.
    """

    def __init__(self, hook: DbApiHook) -> None:
        self._hook = hook

    def write(self, record: RunRecord) -> None:
        """Insert a record, or replace the one with the same key."""
        row = record.to_row()
        values = [column for column in COLUMNS if column not in KEY]
        mark = self._hook.placeholder
        update = f"UPDATE {TABLE} SET {_equal(values, mark, ', ')} WHERE {_equal(KEY, mark, ' AND ')}"  # noqa: S608
        marks = ", ".join([mark] * len(COLUMNS))
        insert = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({marks})"  # noqa: S608  # nosec B608

        def store(cursor: Any) -> None:
            cursor.execute(update, [row[column] for column in (*values, *KEY)])
            if cursor.rowcount == 0:
                cursor.execute(insert, [row[column] for column in COLUMNS])

        self._call(store)

    def read(
        self, selected: RunFilter, limit: int | None = None, on_response: Callable[[], object] | None = None
    ) -> list[RunRecord]:
        """Return the selected records, the latest first."""
        nested = selected.nested_decoders
        columns = [*SUMMARY_COLUMNS, *nested]
        where, parameters = self._where(selected)
        is_exact = all(len(values) <= _MAX_IN_LIST for values in selected.memberships.values())
        statement = f"SELECT {', '.join(columns)} FROM {TABLE}{where} ORDER BY started_at DESC"  # noqa: S608  # nosec B608

        def fetch(cursor: Any) -> list[RunRecord]:
            cursor.execute(statement, parameters)
            if on_response:
                on_response()
            records: list[RunRecord] = []
            while limit is None or len(records) < limit:
                rows = cursor.fetchmany(1_000)
                if not rows:
                    break
                found = [RunRecord.from_values(row, nested) for row in rows]
                records += found if is_exact else filter(selected.matches, found)
            return records[:limit]

        return self._call(fetch)

    def purge(self, before: datetime) -> None:
        """Delete the records of tries that started earlier."""
        statement = f"DELETE FROM {TABLE} WHERE started_at < {self._hook.placeholder}"  # noqa: S608  # nosec B608
        self._call(lambda cursor: cursor.execute(statement, [time_text(before)]))

    def _where(self, selected: RunFilter) -> tuple[str, list[Any]]:
        """Return the condition. It may select too much, because long lists are not part of it."""
        mark = self._hook.placeholder
        conditions, parameters = [], []
        for column, operator, moment in (("started_at", ">=", selected.since), ("started_at", "<", selected.until)):
            if moment:
                conditions.append(f"{column} {operator} {mark}")
                parameters.append(time_text(moment))
        for column, value in selected.equalities.items():
            conditions.append(f"{column} = {mark}")
            parameters.append(value)  # type: ignore[arg-type]
        for column, values in selected.memberships.items():
            if len(values) <= _MAX_IN_LIST:
                conditions.append(f"{column} IN ({', '.join([mark] * len(values))})" if values else "1 = 0")
                parameters += sorted(values)
        return (" WHERE " + " AND ".join(conditions) if conditions else ""), parameters

    def _call(self, work: Callable[[Any], T]) -> T:
        """Run statements in one transaction. If they fail, create the table if it is missing, and run them again."""
        with closing(self._hook.get_conn()) as connection:
            try:
                return _transaction(connection, work)
            except Exception as error:
                if not self._exists(connection):
                    self._create(connection, error)
                return _transaction(connection, work)

    def _exists(self, connection: Any) -> bool:
        probe = f"SELECT 1 FROM {TABLE} WHERE 1 = 0"  # noqa: S608  # nosec B608
        try:
            _transaction(connection, lambda cursor: cursor.execute(probe))
        except Exception:
            return False
        return True

    def _create(self, connection: Any, error: Exception) -> None:
        create, index = ddl(_dialect(self._hook))
        try:
            _transaction(connection, lambda cursor: cursor.execute(create))
        except Exception:
            # Another task may have created the table since, or be about to commit it.
            for pause in (0.0, 0.2, 1.0):
                time.sleep(pause)
                if self._exists(connection):
                    return
            raise error from None
        with suppress(Exception):  # the log works without the index
            _transaction(connection, lambda cursor: cursor.execute(index))


def _transaction(connection: Any, work: Callable[[Any], T]) -> T:
    try:
        with closing(connection.cursor()) as cursor:
            result = work(cursor)
        connection.commit()
    except BaseException:
        with suppress(Exception):
            connection.rollback()
        raise
    return result


def _dialect(hook: DbApiHook) -> str:
    return {"mysql": "mysql", "mssql": "mssql"}.get(str(hook.conn_type), "")


def _equal(columns: Sequence[str], mark: str, separator: str) -> str:
    return separator.join(f"{column} = {mark}" for column in columns)
