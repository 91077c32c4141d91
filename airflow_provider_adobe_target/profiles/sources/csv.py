"""Read CSV files."""

from __future__ import annotations

import csv
import io
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as arrow_csv

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.csv_quotes import QuoteChecker
from airflow_provider_adobe_target.profiles.sources.file import (
    File,
    _Bytes,
    _opened,
)
from airflow_provider_adobe_target.profiles.sources.record_batches import (
    check_column_names,
    recut,
    wanted,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


_CSV_BLOCK_BYTES = 8 * 1024 * 1024  # a row has to fit


class CsvRows:
    """Rows of a CSV file.

    :param file: its path.
    """

    def __init__(self, file: File) -> None:
        self._file = file

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that the header names, all of them text."""
        with _opened(self._file) as stream:
            try:
                header = next((cells for cells in csv.reader(self._lines(stream)) if cells), None)
            except UnicodeDecodeError:
                raise self._not_utf8() from None
            except csv.Error:
                raise ProfileDataError(f"The header of {self._file} cannot be read. Is the file CSV?") from None
        if header is None:
            raise ProfileDataError(f"{self._file} has no header. Write the column names into its first line.")
        check_column_names(header, str(self._file))
        return pa.schema([(name, pa.string()) for name in header])

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows, as every source does."""
        names = wanted(self.schema.names, columns)
        with _opened(self._file) as stream:
            quotes = QuoteChecker(stream)
            try:
                with arrow_csv.open_csv(io.BufferedReader(quotes), **self._options(names)) as reader:
                    for batch in reader:
                        self._check_quotes(quotes)
                        yield from recut(batch.select(names))
            except pa.ArrowInvalid:  # whose message quotes the row
                raise self._broken_row() or self._long_row() from None
            self._check_quotes(quotes)

    def _check_quotes(self, quotes: QuoteChecker) -> None:
        """Look closely at a file with an odd quote: pyarrow lets one swallow the rows up to the next, or to the end."""
        if quotes.is_malformed:
            if error := self._broken_row(strict=True):
                raise error
            quotes.stop()

    def _options(self, names: list[str]) -> dict[str, Any]:
        return {
            "read_options": arrow_csv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False),
            "parse_options": arrow_csv.ParseOptions(newlines_in_values=True),
            "convert_options": arrow_csv.ConvertOptions(
                column_types=self.schema, include_columns=names, strings_can_be_null=True, null_values=[""]
            ),
        }

    def _broken_row(self, *, strict: bool = False) -> ProfileDataError | None:
        """Read once more, slowly, to say on which line the file is broken."""
        line = 1
        usual_limit = csv.field_size_limit(_CSV_BLOCK_BYTES)
        with _opened(self._file) as stream:
            rows = csv.reader(self._lines(stream), strict=strict)
            try:
                for cells in rows:
                    if cells and len(cells) != len(self.schema):
                        return ProfileDataError(
                            f"{self._file}, line {line}: the row has {len(cells)} cells, the header "
                            f"{len(self.schema)}. Quote cells that hold commas, and write the file again."
                        )
                    line = rows.line_num + 1
            except UnicodeDecodeError:
                return self._not_utf8()
            except csv.Error:
                return ProfileDataError(
                    f"{self._file}, line {line} or after it: a quoted cell is not closed or has text behind its quote, "
                    "or a row has more or fewer cells than the header. Quote cells that hold commas, double their "
                    "quotes."
                )
            finally:
                csv.field_size_limit(usual_limit)
        return None

    def _lines(self, stream: _Bytes) -> Iterator[str]:
        """Read line by line for Python's own parser, none longer than a row may be."""
        text = io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", newline="")
        while line := text.readline(_CSV_BLOCK_BYTES):
            if len(line) == _CSV_BLOCK_BYTES:
                raise self._long_row()
            yield line

    def _long_row(self) -> ProfileDataError:
        return ProfileDataError(f"{self._file} has a row of more than {_CSV_BLOCK_BYTES >> 20} MiB. Leave it out.")

    def _not_utf8(self) -> ProfileDataError:
        return ProfileDataError(f"{self._file} is not UTF-8. Write it again in UTF-8.")
