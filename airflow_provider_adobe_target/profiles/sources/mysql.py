"""Converters that make PyMySQL and mysqlclient return the same values for dates and times of MySQL and MariaDB.

``TIME`` is a time of day, as in other databases; the drivers return a duration. A zero date such as ``0000-00-00`` is
null. Dates and times that Python's types cannot represent become ``BEYOND_PYTHON``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

from airflow_provider_adobe_target.concurrency.clock import six_digits
from airflow_provider_adobe_target.profiles.sources.driver_errors import driver_name
from airflow_provider_adobe_target.profiles.values.python_values import BEYOND_PYTHON

_TIMESTAMP, _DATE, _TIME, _DATETIME = 7, 10, 11, 12  # field types of the protocol


def read_mysql_values(connection: Any) -> None:
    """Set the converters of a connection of PyMySQL or mysqlclient. Other connections are unchanged."""
    attribute = _CONVERTERS.get(driver_name(connection))
    if attribute:
        getattr(connection, attribute).update(
            {
                _DATE: _reader(date.fromisoformat),
                _DATETIME: _reader(datetime.fromisoformat),
                _TIMESTAMP: _reader(datetime.fromisoformat),
                _TIME: _reader(time.fromisoformat),
            }
        )


def _reader(parse: Callable[[str], object]) -> Callable[[str | bytes], object]:
    def read(value: str | bytes) -> object:
        text = value.decode("ascii") if isinstance(value, bytes) else value
        if text.startswith("0000-00-00"):
            return None
        try:
            return parse(six_digits(text))
        except ValueError:
            return BEYOND_PYTHON

    return read


_CONVERTERS = {"pymysql": "decoders", "MySQLdb": "converter"}
