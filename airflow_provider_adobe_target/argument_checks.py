"""Check arguments against choices and bounds. Operators call it at DAG parse time, so it has no heavy imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_adobe_target.exceptions import AdobeTargetError, ProfileDataError

_FAIL_OR_RESUBMIT = ("fail", "resubmit")
_FILE_FORMATS = (None, "parquet", "csv", "ndjson")
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "api_version": ("v1", "v2"),
    "attribute_case": ("keep", "lower"),
    "file_format": _FILE_FORMATS,
    "id_map_file_format": _FILE_FORMATS,
    "id_type": (None, "thirdPartyId", "pcId"),
    "if_not_found": ("fail", "skip", "send", "wait"),
    "on_duplicate_id": ("first", "last", "fail"),
    "on_no_rows": ("succeed", "skip", "fail"),
    "on_risky_value": ("replace", "reject", "encode"),
    "on_status_lost": _FAIL_OR_RESUBMIT,
    "on_stuck": _FAIL_OR_RESUBMIT,
    "universe_file_format": _FILE_FORMATS,
}
_WHOLE_NUMBERS = {
    "limit_rows": (1, 2**63 - 1),
    "max_bytes_per_file": (1, 49_999_999),
    "max_concurrent_calls": (1, 50),
    "max_concurrent_updates": (1, 32),
    "max_concurrent_uploads": (1, 10),
    "max_failed_rows": (0, 2**63 - 1),
    "max_linked_ids": (1, 1_000),
    "max_not_found_rows": (0, 2**63 - 1),
    "max_rows_per_file": (1, 499_999),
    "max_value_length": (1, 1_000_000),
    "sample_size": (1, 1_000),
    "seed": (-(2**63), 2**63 - 1),
    "switch_to_bulk_above": (0, 2**63 - 1),
    "updates_per_day": (1, 1_000_000),
}
_NUMBERS = {
    # Adobe advises not to go beyond 25 times the daily peak.
    "browser_interval": (0, 86_400),
    "calls_per_second": (0.001, 1_000),
    "max_failed_pct": (0, 100),
    "max_invalid_pct": (0, 100),
    "max_not_found_pct": (0, 100),
    "max_rows_deviation_pct": (0, 100_000),
    "min_days_left": (0, 36_500),
    "min_landed_pct": (0, 100),
    "updates_per_second": (0.001, 1_000),
}
_BOOLEANS = (
    "allow_no_members",
    "authenticated",
    "deferrable",
    "dry_run",
    "durable",
    "guaranteed_upload",
    "is_dry_run",
    "skip_invalid_records",
    "wait_for_completion",
)
_TEXTS = ("attribute_prefix", "audience_column", "fallback_id_column", "id_column", "mbox", "universe_id_column")
_OPTIONAL = (
    "authenticated",
    "fallback_id_column",
    "id_column",
    "limit_rows",
    "max_invalid_pct",
    "max_failed_rows",
    "max_not_found_pct",
    "max_not_found_rows",
    "max_rows_deviation_pct",
    "switch_to_bulk_above",
    "universe_id_column",
)


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Check the arguments that have choices, bounds or a plain type. Others are ignored.

    :param arguments: Arguments by name.
    :raises ProfileDataError: If an argument is invalid. The message names it and its valid values.
    """
    for name, value in arguments.items():
        if value is None and name in _OPTIONAL:
            continue
        if name in _CHOICES:
            check_choice(name, value, _CHOICES[name])
        elif name in _WHOLE_NUMBERS:
            check_number(name, value, *_WHOLE_NUMBERS[name], whole=True)
        elif name in _NUMBERS:
            check_number(name, value, *_NUMBERS[name])
        elif name in _BOOLEANS and not isinstance(value, bool):
            raise ProfileDataError(f"{name.removeprefix('is_')} must be True or False, not {type(value).__name__}.")
        elif name in _TEXTS and not isinstance(value, str):
            raise ProfileDataError(f"{name} must be text, not {type(value).__name__}.")
        elif name == "attributes" and isinstance(value, str):
            raise ProfileDataError(f"attributes={value!r} is not a list. Write [{value!r}].")


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Check that a value is one of several choices.

    :param name: Name of the argument.
    :param value: Value of the argument.
    :param choices: Valid values.
    :raises ProfileDataError: If the value is not one of them.
    """
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        listed = ", ".join(repr(choice) for choice in choices if choice is not None)
        raise ProfileDataError(f"{name}={value!r} is not one of {listed}.")


def check_number(
    name: str,
    value: object,
    minimum: float,
    maximum: float,
    *,
    whole: bool = False,
    error: type[AdobeTargetError] = ProfileDataError,
) -> None:
    """Check that a value is a number within bounds.

    :param name: Name of the argument.
    :param value: Value of the argument.
    :param minimum: Lower bound, inclusive.
    :param maximum: Upper bound, inclusive.
    :param whole: Whether the value must be a whole number.
    :param error: Class of the exception.
    :raises AdobeTargetError: If the value is not a number or out of bounds. The class is ``error``.
    """
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not is_number:
        kind = "a whole number" if whole else "a number"
        raise error(f"{name} must be {kind} between {minimum:,} and {maximum:,}.")
    if not minimum <= value <= maximum:  # type: ignore[operator]
        raise error(f"{name} must be between {minimum:,} and {maximum:,}.")
