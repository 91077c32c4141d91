"""Options for reading files: format, and delimiter and encoding of CSV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_adobe_target.argument_checks import check_arguments
from airflow_provider_adobe_target.exceptions import ProfileDataError

FORMATS = ("parquet", "csv", "ndjson")
_NOT_DELIMITERS = '"\r\n\0'


@dataclass(frozen=True)
class FileOptions:
    """Options for reading files.

    :param file_format: ``parquet``, ``csv`` or ``ndjson``; None to derive it from the suffix of each file.
    :param delimiter: ASCII character between CSV cells.
    :param encoding: Name of the Python codec of CSV files.
    """

    file_format: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"

    @classmethod
    def checked(cls, file_format: str | None, csv_options: Mapping[str, Any] | None, prefix: str = "") -> FileOptions:
        """Return the options of an operator's arguments.

        :param file_format: Argument ``file_format``.
        :param csv_options: Argument ``csv_options``.
        :param prefix: Prefix of the arguments' names, for the messages: ``id_map_`` or ``universe_``.
        :raises ProfileDataError: If an argument is invalid.
        """
        check_arguments({f"{prefix}file_format": file_format})
        if csv_options is None:
            return cls(file_format)
        if not isinstance(csv_options, Mapping):
            raise ProfileDataError(f"{prefix}csv_options is {type(csv_options).__name__}, not a dict: {_EXAMPLE}.")
        unknown = [repr(name) for name in csv_options if name not in ("delimiter", "encoding")]
        if unknown:
            raise ProfileDataError(
                f"{prefix}csv_options has {', '.join(unknown)}. It accepts 'delimiter' and 'encoding'."
            )
        options = cls(file_format, **csv_options)
        options._check_delimiter(prefix)
        options._check_encoding(prefix)
        return options

    def _check_delimiter(self, prefix: str) -> None:
        value = self.delimiter
        if not (isinstance(value, str) and len(value) == 1 and value.isascii() and value not in _NOT_DELIMITERS):
            raise ProfileDataError(
                f"{prefix}csv_options: delimiter={value!r} is not one ASCII character such as ';', '\\t' or '|'."
            )

    def _check_encoding(self, prefix: str) -> None:
        try:
            "".encode(self.encoding)
        except (LookupError, TypeError, ValueError):
            raise ProfileDataError(
                f"{prefix}csv_options: encoding={self.encoding!r} is not a text encoding of Python, such as 'utf-8', "
                "'cp1252' or 'utf-16'."
            ) from None


_EXAMPLE = "csv_options={'delimiter': ';', 'encoding': 'cp1252'}"
