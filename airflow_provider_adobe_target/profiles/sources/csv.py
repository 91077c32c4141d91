"""Rows of CSV files."""

from __future__ import annotations

import csv
import io
import logging
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.attribute_names import id_type_of
from airflow_provider_adobe_target.profiles.sources.csv_quotes import QuoteChecker
from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions
from airflow_provider_adobe_target.profiles.sources.file_streams import (
    File,
    LineBytes,
    opened,
)
from airflow_provider_adobe_target.profiles.sources.record_batches import (
    check_column_names,
    record_batch,
    recut,
    wanted,
)
from airflow_provider_adobe_target.profiles.values.python_values import TextCells

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


log = logging.getLogger(__name__)

_OTHER_DELIMITERS = {";": "';'", "\t": "'\\t'", "|": "'|'"}
_AROUND_NAMES = "\ufeff \t"  # a byte order mark and blanks
_CSV_BLOCK_BYTES = 8 * 1024 * 1024  # upper limit for a row


class CsvRows:
    """Rows of a CSV file.

    :param file: Path of the file.
    :param options: Delimiter and encoding.
    """

    def __init__(self, file: File, options: FileOptions) -> None:
        self._file = file
        self._delimiter = options.delimiter
        self._encoding = options.encoding
        self._headers = 0

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the header, all of type string.

        :raises ProfileDataError: If the header cannot be read, is missing, or has duplicate names.
        """
        with opened(self._file, self._encoding) as stream:
            try:
                rows = csv.reader(self._lines(stream), delimiter=self._delimiter)
                header = next((cells for cells in rows if cells), None)
            except UnicodeDecodeError:
                raise self._not_utf8() from None
            except csv.Error:
                raise ProfileDataError(f"The header of {self._file} cannot be read. Is the file CSV?") from None
        if header is None:
            raise ProfileDataError(
                f"The CSV file has no header: {self._file}. Write the column names into its first line."
            )
        self._check_delimiter(header)
        check_column_names(header, str(self._file))
        return pa.schema([(name, pa.string()) for name in header])

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows; see :meth:`.Rows.record_batches`.

        :raises ProfileDataError: If a row is malformed or too long, or the file is not in the encoding.
        """
        names = wanted(self.schema.names, columns)
        self._headers = 0
        with opened(self._file, self._encoding) as stream:
            quotes = QuoteChecker(stream, self._delimiter)
            try:
                with arrow_csv.open_csv(io.BufferedReader(quotes), **self._options(names)) as reader:
                    for batch in reader:
                        self._check_quotes(quotes)
                        yield from recut(self._without_headers(batch.select(names)))
            except pa.ArrowInvalid:  # the message contains values of the row
                raise self._broken_row() or self._long_row() from None
            self._check_quotes(quotes)
        if self._headers:
            log.warning(
                "%s CSV lines repeat the header. They are rejected as unsupported_value. File: %s",
                self._headers,
                self._file,
            )

    def _check_delimiter(self, header: list[str]) -> None:
        """Check for the wrong delimiter: a header with one column whose name contains another common delimiter.

        :raises ProfileDataError: If the delimiter seems to be wrong.
        """
        found = [text for mark, text in _OTHER_DELIMITERS.items() if len(header) == 1 and mark in header[0]]
        if found:
            raise ProfileDataError(
                f"No id column was found: {self._file} has one column, whose name contains {found[0]}. Set the "
                f"delimiter: csv_options={{'delimiter': {found[0]}}}."
            )

    def _without_headers(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Mark header lines, as in concatenated files, as rows without a text form.

        All cells of such a line are names of columns, or an id has the name of its column.
        """
        if not batch.num_columns:
            return batch
        names = pa.array([_plain_name(name) for name in self.schema.names])
        cells = [pc.utf8_lower(pc.utf8_trim(column, _AROUND_NAMES)) for column in batch.columns]
        header = reduce(pc.and_, (pc.is_in(column, names) for column in cells))
        for name, column in zip(batch.schema.names, cells, strict=True):
            if id_type_of(_plain_name(name)):
                header = pc.or_(header, pc.fill_null(pc.equal(column, _plain_name(name)), False))
        count = pc.sum(header).as_py() or 0
        if not count:
            return batch
        self._headers += count
        columns = [_with_unsupported(column, header) for column in batch.columns]
        return record_batch(dict(zip(batch.schema.names, columns, strict=True)), len(batch))

    def _check_quotes(self, quotes: QuoteChecker) -> None:
        """Parse the file strictly if a quote is misplaced, because pyarrow would merge the rows up to the next quote.

        If the strict parser accepts the file, further quotes are not checked.

        :raises ProfileDataError: If the strict parser rejects the file.
        """
        if quotes.is_malformed:
            if error := self._broken_row(strict=True):
                raise error
            quotes.stop()

    def _options(self, names: list[str]) -> dict[str, Any]:
        return {
            "read_options": arrow_csv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False),
            "parse_options": arrow_csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            "convert_options": arrow_csv.ConvertOptions(
                column_types=self.schema, include_columns=names, strings_can_be_null=True, null_values=[""]
            ),
        }

    def _broken_row(self, *, strict: bool = False) -> ProfileDataError | None:
        """Read the file with Python's parser to find the malformed line.

        :param strict: Whether misplaced quotes are errors.
        :return: The error; None if Python's parser accepts the file.
        """
        line = 1
        default_limit = csv.field_size_limit(_CSV_BLOCK_BYTES)
        with opened(self._file, self._encoding) as stream:
            rows = csv.reader(self._lines(stream), delimiter=self._delimiter, strict=strict)
            try:
                for cells in rows:
                    if cells and len(cells) != len(self.schema):
                        return ProfileDataError(
                            f"CSV line {line}: the row has {len(cells)} cells, the header {len(self.schema)}. Quote "
                            f"cells that contain the delimiter, and write the file again. File: {self._file}."
                        )
                    line = rows.line_num + 1
            except UnicodeDecodeError:
                return self._not_utf8()
            except csv.Error:
                return ProfileDataError(
                    f"CSV line {line} or after it: a quoted cell is not closed or has text after its closing quote, or "
                    "a row has more or fewer cells than the header. Quote cells that contain the delimiter, and double "
                    f"the quotes in them. File: {self._file}."
                )
            finally:
                csv.field_size_limit(default_limit)
        return None

    def _lines(self, stream: LineBytes) -> Iterator[str]:
        """Yield the lines for Python's parser.

        :raises ProfileDataError: If a line is longer than a row may be.
        """
        text = io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", newline="")
        while line := text.readline(_CSV_BLOCK_BYTES):
            if len(line) == _CSV_BLOCK_BYTES:
                raise self._long_row()
            yield line

    def _long_row(self) -> ProfileDataError:
        return ProfileDataError(
            f"The CSV file has a row of more than {_CSV_BLOCK_BYTES >> 20} MiB: {self._file}. Remove it."
        )

    def _not_utf8(self) -> ProfileDataError:
        return ProfileDataError(
            f"The CSV file is not UTF-8: {self._file}. Write it again in UTF-8, or set its encoding: "
            "csv_options={'encoding': 'cp1252'}."
        )


def _plain_name(name: str) -> str:
    return name.strip(_AROUND_NAMES).lower()


def _with_unsupported(column: pa.Array, unsupported: pa.BooleanArray) -> pa.Array:
    """Convert a string column to ``TextCells`` in which the masked cells have no text form."""
    texts = pc.if_else(unsupported, None, column)
    missing = pc.and_(texts.is_null(), pc.invert(unsupported))
    storage = pa.StructArray.from_arrays([texts, unsupported], fields=list(TextCells.STORAGE), mask=missing)
    return pa.ExtensionArray.from_storage(TextCells(), storage)
