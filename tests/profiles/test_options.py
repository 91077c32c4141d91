"""Wrong profile options are refused by name."""

import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from support.pipeline import run_pipeline

WRONG_RULES = [
    ({"id_type": "tntId"}, "id_type='tntId'"),
    ({"on_duplicate_id": "any"}, "on_duplicate_id='any' is not one of 'first', 'last', 'fail'"),
    ({"on_risky_value": "drop"}, "on_risky_value='drop' is not one of 'replace', 'reject', 'encode'"),
    ({"max_rows_per_file": 0}, "max_rows_per_file must be between 1 and 499,999"),
    ({"max_rows_per_file": 500_000}, "max_rows_per_file"),
    ({"max_rows_per_file": 1.5}, "max_rows_per_file must be a whole number between 1 and 499,999"),
    ({"max_rows_per_file": True}, "max_rows_per_file"),
    ({"max_rows_per_file": "9"}, "max_rows_per_file"),
    ({"max_bytes_per_file": 50_000_000}, "max_bytes_per_file"),
    ({"max_value_length": 0}, "max_value_length"),
    ({"max_invalid_pct": 101}, "max_invalid_pct must be between 0 and 100"),
    ({"max_invalid_pct": float("nan")}, "max_invalid_pct"),
]


@pytest.mark.parametrize(
    ("rules", "error"), WRONG_RULES, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_a_rule_that_cannot_be_is_named(rules, error):
    with pytest.raises(ProfileDataError, match=error):
        run_pipeline([{"thirdPartyId": "U1", "v": 1}], **rules)
