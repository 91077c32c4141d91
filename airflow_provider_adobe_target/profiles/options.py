"""Options of the profile pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.mapping import AttributeCase
from airflow_provider_adobe_target.profiles.validation import MAX_ID_CHARACTERS, RiskyValue

DuplicateId = Literal["first", "last", "fail"]


@dataclass(frozen=True)
class ProfileOptions:
    """Options for rows and files. Names and defaults as in ``BulkProfileUpdateOperator``."""

    id_column: str | None = None
    id_type: str | None = None
    attributes: Sequence[str] | Mapping[str, str] | None = None
    attribute_case: AttributeCase = "keep"
    max_rows_per_file: int = 50_000
    max_bytes_per_file: int = 49_000_000
    skip_invalid_records: bool = True
    max_invalid_pct: float | None = None
    on_duplicate_id: DuplicateId = "first"
    on_risky_value: RiskyValue = "replace"
    max_value_length: int = 5_000

    def __post_init__(self) -> None:
        """Check the options.

        :raises ProfileDataError: If an option has an invalid value.
        """
        _check_choice("id_type", self.id_type, (None, *MAX_ID_CHARACTERS))
        _check_choice("attribute_case", self.attribute_case, ("keep", "lower"))
        _check_choice("on_duplicate_id", self.on_duplicate_id, ("first", "last", "fail"))
        _check_choice("on_risky_value", self.on_risky_value, ("replace", "reject", "encode"))
        _check_range("max_rows_per_file", self.max_rows_per_file, 1, 499_999)
        _check_range("max_bytes_per_file", self.max_bytes_per_file, 1, 49_999_999)
        _check_range("max_value_length", self.max_value_length, 1, 1_000_000)
        if self.max_invalid_pct is not None:
            _check_range("max_invalid_pct", self.max_invalid_pct, 0, 100, kinds=(int, float))
        if isinstance(self.attributes, str):
            raise ProfileDataError(f"attributes={self.attributes!r} is not a list. Write [{self.attributes!r}].")

    @property
    def checks_all_rows_first(self) -> bool:
        """Whether all rows must be checked before the first file is sent."""
        return (
            not self.skip_invalid_records
            or self.max_invalid_pct is not None
            or self.on_duplicate_id in ("fail", "last")
        )


def _check_choice(argument: str, value: object, choices: Sequence[object]) -> None:
    if value not in choices:
        raise ProfileDataError(f"{argument}={value!r} is not one of {', '.join(map(repr, choices))}.")


def _check_range(argument: str, value: float, least: int, most: int, *, kinds: tuple[type, ...] = (int,)) -> None:
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        number = "number" if float in kinds else "whole number"
        raise ProfileDataError(f"{argument}={value!r} is not a {number} from {least:,} to {most:,}.")
