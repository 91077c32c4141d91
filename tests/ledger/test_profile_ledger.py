"""Settings of the ledger."""

from datetime import datetime, timezone

import pytest

from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.ledger.errors import LedgerRefusedError

NOW = datetime(2026, 2, 1, tzinfo=timezone.utc)
SECOND = 1_769_817_600 * 1_000_000  # 2026-01-31T00:00:00Z


@pytest.mark.parametrize(
    ("as_of", "micros"),
    [
        ("2026-01-31T00:00:00Z", 0),
        ("2026-01-31T00:00:00.5Z", 500_000),
        ("2026-01-31T02:00:00.1234567+02:00", 123_456),
        (" 2026-01-31 00:00:00.12 ", 120_000),
        ("2026-01-31", 0),
    ],
)
def test_as_of_may_have_any_number_of_digits_in_a_second(as_of, micros):
    assert ProfileLedger("/ledger", as_of=as_of).as_of_micros(None, NOW) == SECOND + micros


@pytest.mark.parametrize("as_of", ["yesterday", "2026-01-31T00:00:00.", "31.01.2026"])
def test_as_of_that_is_no_time_is_refused(as_of):
    with pytest.raises(LedgerRefusedError, match="as_of"):
        ProfileLedger("/ledger", as_of=as_of).as_of_micros(None, NOW)
