"""Options of the profile pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from airflow_provider_adobe_target.argument_checks import check_arguments
from airflow_provider_adobe_target.derived_attributes import (
    NO_DERIVED_ATTRIBUTES,
    DerivedAttributes,
    RunStamp,
    check_derived,
)
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.privacy import NO_PRIVACY_OPTIONS, PrivacyRules
from airflow_provider_adobe_target.profiles.mapping import AttributeCase
from airflow_provider_adobe_target.profiles.row_counts import RowCountLimit
from airflow_provider_adobe_target.profiles.validation import RiskyValue

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
    privacy_rules: PrivacyRules = NO_PRIVACY_OPTIONS
    fallback_id_column: str | None = None
    limit_rows: int | None = None
    derived: DerivedAttributes = NO_DERIVED_ATTRIBUTES
    run_stamp: RunStamp | None = None
    row_count_limit: RowCountLimit | None = None

    def __post_init__(self) -> None:
        """Check the options.

        :raises ProfileDataError: If an option has an invalid value.
        """
        check_arguments(vars(self))
        check_derived(self.derived)

    @property
    def stamps(self) -> dict[str, str]:
        """Texts of the stamps by attribute name.

        :raises ProfileDataError: If there are stamps, and no ``run_stamp``.
        """
        if not self.derived.stamp_names:
            return {}
        if self.run_stamp is None:
            raise ProfileDataError("sent_at and run_id of DerivedAttributes require run_stamp=RunStamp(…).")
        return self.derived.stamps(self.run_stamp)

    @property
    def checks_all_rows_first(self) -> bool:
        """Whether all rows must be checked before the first file is sent."""
        return (
            not self.skip_invalid_records
            or self.max_invalid_pct is not None
            or self.on_duplicate_id in ("fail", "last")
            or self.privacy_rules.checks_all_rows_first
            or (self.row_count_limit is not None and self.row_count_limit.is_known)
        )
