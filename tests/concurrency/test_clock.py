"""Times as text."""

import pytest

from airflow_provider_adobe_target.concurrency.clock import six_digits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T00:00:00.5+02:00", "2026-01-31T00:00:00.500000+02:00"),
        ("2026-01-31T00:00:00.1234567-05:00", "2026-01-31T00:00:00.123456-05:00"),
        ("2026-01-31 00:00:00.12", "2026-01-31 00:00:00.120000"),
        ("00:00:00.123456", "00:00:00.123456"),
        ("2026-01-31T00:00:00+00:00", "2026-01-31T00:00:00+00:00"),
        ("2026-01-31", "2026-01-31"),
    ],
)
def test_a_fraction_of_a_second_gets_six_digits(text, expected):
    assert six_digits(text) == expected
