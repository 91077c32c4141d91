"""Public face of the ledger: its settings, and queries outside Airflow."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.concurrency.clock import six_digits
from airflow_provider_adobe_target.ledger.errors import LedgerRefusedError

if TYPE_CHECKING:
    from pyarrow import RecordBatchReader

    from airflow_provider_adobe_target.ledger.storage import Location
    from airflow_provider_adobe_target.ledger.table import LedgerTable

_KEY_FILE = "_hash_key"


class HiddenIds:
    """Ids as an argument. Jinja does not render them, and Airflow does not show them.

    :param value: List of ids, or a table as in ``data``.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "<ids>"


class ProfileLedger:
    """What Adobe Target was last confirmed to hold, in a Delta Lake table.

    :param path: Folder of the ledger, local or in object storage (templated). One ledger covers one account and id
        type.
    :param send: ``changed`` sends rows that differ from what is held, as whole rows. ``all`` sends every row and keeps
        the ledger up to date.
    :param refresh_after_days: Days until an unchanged profile is sent again, spread evenly; None: never.
    :param as_of: Time of the rows, ISO 8601 (templated). Default: the end of the data interval, or the time of the run.
    :param carry_over: Whether attributes that other tasks wrote for the same id are sent along unchanged.
    :param on_missing: ``marker`` writes ``missing_values`` for ids that this task sent before and that are gone.
    :param missing_values: Values for ids that are gone, by attribute.
    :param null_values: Values for attributes that are held and have become null, by attribute.
    :param max_missing_pct: Percentage of ids that may be gone with ``on_missing="marker"``.
    :param max_rows_to_send: Number of rows that may be sent; None for no limit.
    :param suppress: Ids that must never be sent: a list, a table as in ``data``, or a path (templated).
    :param hash_ids: Whether the ledger keeps keyed hashes instead of ids and values.
    """

    template_fields: Sequence[str] = ("path", "as_of", "suppress")

    def __init__(
        self,
        path: str,
        *,
        send: Literal["changed", "all"] = "changed",
        refresh_after_days: float | None = 10,
        as_of: str | datetime | None = None,
        carry_over: bool = True,
        on_missing: Literal["ignore", "marker"] = "ignore",
        missing_values: Mapping[str, Any] | None = None,
        null_values: Mapping[str, Any] | None = None,
        max_missing_pct: float = 20,
        max_rows_to_send: int | None = None,
        suppress: Any = None,
        hash_ids: bool = False,
    ) -> None:
        self.path = path
        self.send = send
        self.refresh_after_days = refresh_after_days
        self.as_of = as_of
        self.carry_over = carry_over
        self.on_missing = on_missing
        self.missing_values = missing_values
        self.null_values = null_values
        self.max_missing_pct = max_missing_pct
        self.max_rows_to_send = max_rows_to_send
        self.suppress = suppress if _is_template(suppress) else HiddenIds(suppress)
        self.hash_ids = hash_ids
        self.check()

    def check(self) -> None:
        """Check the arguments, as far as they are known before templates are rendered.

        :raises LedgerRefusedError: Naming the argument and the remedy.
        """
        for name, allowed in {"send": ("changed", "all"), "on_missing": ("ignore", "marker")}.items():
            if getattr(self, name) not in allowed:
                raise LedgerRefusedError(f"{name} of ProfileLedger must be {allowed[0]!r} or {allowed[1]!r}.")
        for name in ("carry_over", "hash_ids"):
            if not isinstance(getattr(self, name), bool):
                raise LedgerRefusedError(f"{name} of ProfileLedger must be True or False.")
        if self.refresh_after_days is not None and not _is_number(self.refresh_after_days, 1, 3650):
            raise LedgerRefusedError("refresh_after_days of ProfileLedger must be a number of days from 1, or None.")
        if not _is_number(self.max_missing_pct, 0, 100):
            raise LedgerRefusedError("max_missing_pct of ProfileLedger must be between 0 and 100.")
        limit = self.max_rows_to_send
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
            raise LedgerRefusedError("max_rows_to_send of ProfileLedger must be a whole number from 0, or None.")
        for name in ("missing_values", "null_values"):
            _check_values(name, getattr(self, name))
        if self.on_missing == "marker" and not self.missing_values:
            raise LedgerRefusedError("on_missing='marker' needs missing_values, such as {'tier': 'none'}.")
        if self.hash_ids and (self.on_missing == "marker" or self.null_values):
            raise LedgerRefusedError("hash_ids=True cannot be combined with on_missing='marker' or null_values.")

    def read(self, columns: Sequence[str] | None = None) -> RecordBatchReader:
        """Return the profiles that Adobe Target was last confirmed to hold.

        :param columns: Some of ``id``, ``attributes`` (a map), ``as_of``, ``confirmed_at``, ``batch_id`` and
            ``writer``; None for all.
        :raises LedgerRefusedError: If there is no ledger, or a column is unknown.
        """
        from airflow_provider_adobe_target.ledger.queries import read_profiles

        return read_profiles(self.opened(), columns)

    def get(self, id: str) -> dict[str, Any] | None:
        """Return one profile with the keys of :meth:`read`, and ``as_of_by_attribute``; None if it is not held.

        :raises LedgerRefusedError: If there is no ledger.
        """
        from airflow_provider_adobe_target.ledger.queries import get_profile

        table = self.opened()
        return get_profile(table, id, self.key(table))

    def forget(self, ids: Iterable[str]) -> int:
        """Erase profiles from all versions that are kept, and from batches that are not settled.

        Adobe Target still holds them: delete them there with Adobe's Privacy Service.

        :return: Number of profiles that were erased.
        :raises LedgerRefusedError: If there is no ledger.
        """
        import pyarrow as pa

        from airflow_provider_adobe_target.ledger.hashing import keyed_hashes
        from airflow_provider_adobe_target.ledger.maintenance import forget

        if isinstance(ids, str):
            raise LedgerRefusedError("ids must be a list of ids.")
        table = self.opened()
        texts, key = pa.array(list(ids), pa.string()), self.key(table)
        return forget(table, texts if key is None else keyed_hashes(texts, key))

    def vacuum(self, keep_days: float = 30) -> None:
        """Compact the ledger, and delete files that no version of the last days needs.

        :raises LedgerRefusedError: If there is no ledger, or ``keep_days`` is negative.
        """
        from airflow_provider_adobe_target.ledger.maintenance import compact, vacuum

        if not _is_number(keep_days, 0, 36_500):
            raise LedgerRefusedError("keep_days must be a number from 0.")
        table = self.opened()
        compact(table)
        vacuum(table, keep_days)

    def table(self, client_code: str, id_type: str, location: Location | None = None) -> LedgerTable:
        """Return the ledger of an account. Create it if it does not exist.

        :param location: Location of :attr:`path`, if the caller has it.
        :raises LedgerRefusedError: If it belongs to another account, id type or format, or a package is missing.
        """
        from airflow_provider_adobe_target.ledger.storage import Location
        from airflow_provider_adobe_target.ledger.table import LedgerTable, require_extra

        require_extra()
        table = LedgerTable(location or Location(self.path))
        table.open(client_code, id_type, hash_ids=self.hash_ids)
        if self.hash_ids and table.location.read(_KEY_FILE) is None:
            table.location.write(_KEY_FILE, secrets.token_bytes(32))
        return table

    def key(self, table: LedgerTable) -> bytes | None:
        """Return the key of the hashes; None if the ledger keeps ids and values."""
        return table.location.read(_KEY_FILE)

    def as_of_micros(self, interval_end: datetime | None, now: datetime) -> int:
        """Return the time of the rows in microseconds since 1970.

        :param interval_end: End of the data interval; None for a manual run without one.
        :param now: Time of the run.
        :raises LedgerRefusedError: If ``as_of`` is not a time.
        """
        from airflow_provider_adobe_target.ledger.as_of import to_micros

        time = self.as_of if self.as_of not in (None, "", "None") else interval_end or now
        if isinstance(time, str):
            try:
                time = datetime.fromisoformat(six_digits(time.strip().replace("Z", "+00:00")))
            except ValueError:
                raise LedgerRefusedError(
                    "as_of of ProfileLedger must be an ISO 8601 time, such as '2026-01-31T00:00:00Z' or "
                    "'{{ data_interval_end }}'."
                ) from None
        if not isinstance(time, datetime):
            raise LedgerRefusedError("as_of of ProfileLedger must be a time, or its ISO 8601 text.")
        return to_micros(time if time.tzinfo else time.replace(tzinfo=timezone.utc))

    def opened(self, client_code: str | None = None) -> LedgerTable:
        """Return an existing ledger.

        :param client_code: Client code that it must have; None for any.
        :raises LedgerRefusedError: If there is no ledger, or it has another client code.
        """
        from airflow_provider_adobe_target.ledger.storage import Location
        from airflow_provider_adobe_target.ledger.table import LedgerTable, require_extra

        require_extra()
        table = LedgerTable(Location(self.path))
        table.open(client_code, creates=False)
        return table

    def opened_if_exists(self, client_code: str, location: Location | None = None) -> LedgerTable | None:
        """Return the ledger; None if it does not exist yet. Raises as :meth:`opened`.

        :param location: Location of :attr:`path`, if the caller has it.
        """
        from airflow_provider_adobe_target.ledger.storage import Location
        from airflow_provider_adobe_target.ledger.table import LedgerTable, require_extra

        require_extra()
        table = LedgerTable(location or Location(self.path))
        if not table.exists():
            return None
        table.open(client_code, creates=False)
        return table

    def summary(self, client_code: str) -> dict[str, Any] | None:
        """Return ``id_type`` and the number of ``profiles`` that are held; None if the ledger does not exist yet.

        Raises as :meth:`opened`.
        """
        from airflow_provider_adobe_target.ledger.lookup import count_profiles

        table = self.opened_if_exists(client_code)
        if table is None:
            return None
        return {"id_type": table.open(creates=False)["id_type"], "profiles": count_profiles(table.snapshot())}

    def __repr__(self) -> str:
        """Return the settings without suppressed ids, stable for the serialised DAG."""
        names = [name for name in vars(self) if name != "suppress"]
        return f"ProfileLedger({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def _is_template(suppress: Any) -> bool:
    """Return whether an argument is a path, or is resolved when the task runs."""
    return suppress is None or isinstance(suppress, (str, os.PathLike, HiddenIds)) or hasattr(suppress, "resolve")


def _is_number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _check_values(name: str, values: Any) -> None:
    if values is None:
        return
    if not isinstance(values, Mapping):
        raise LedgerRefusedError(f"{name} of ProfileLedger must be a dict of attributes and texts.")
    for attribute, value in values.items():
        if not isinstance(attribute, str) or not isinstance(value, str) or not value.strip():
            raise LedgerRefusedError(f"{name} of ProfileLedger: the value of {attribute!r} must be a text, not empty.")
        if any(sign in value for sign in ",\r\n"):
            raise LedgerRefusedError(f"{name} of ProfileLedger: the value of {attribute!r} has a comma or line break.")
