from __future__ import annotations

import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.sources.record_batches import record_batch
from support.pipeline import run_pipeline


class Source:
    """Batches of 10 rows, which counts how many were read and whether it was closed."""

    schema = None

    def __init__(self):
        self.read = 0
        self.is_closed = False

    def record_batches(self, columns=None):
        import pyarrow as pa

        try:
            for start in range(0, 100, 10):
                self.read += 1
                numbers = range(start, start + 10)
                columns = {"thirdPartyId": pa.array([f"U{n}" for n in numbers]), "n": pa.array(numbers)}
                yield record_batch(columns, 10)
        finally:
            self.is_closed = True


@pytest.mark.parametrize(("limit", "batches"), [(1, 1), (10, 1), (11, 2), (95, 10), (100, 10), (1_000, 10)])
def test_no_more_rows_are_read(limit, batches):
    source = Source()
    result = run_pipeline(source, limit_rows=limit)
    assert result.lines == [f"U{n},{n}" for n in range(min(limit, 100))]
    assert (result.read, source.read, source.is_closed) == (min(limit, 100), batches, True)


def test_all_rows_are_read_without_a_limit():
    assert run_pipeline(Source()).read == 100


def test_the_limit_is_one_of_rows_read_not_sent():
    rows = [{"thirdPartyId": None, "v": 1}, {"thirdPartyId": "U1", "v": 1}, {"thirdPartyId": "U2", "v": 1}]
    result = run_pipeline(rows, limit_rows=2)
    assert (result.read, result.sent, result.reasons) == (2, 1, {"missing_id": 1})


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "10"])
def test_another_value_is_refused(value):
    with pytest.raises(ProfileDataError, match="limit_rows must be"):
        ProfileOptions(limit_rows=value)
