from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.privacy import PrivacyOptions, PrivacyRules
from airflow_provider_adobe_target.profiles.suspicious_ids import SuspiciousIds
from support.pipeline import run_pipeline

ECID = "1" * 38
CASES = [
    ([ECID, "U2"], "1 have 38 digits"),
    (["ann@example.com", "b@c.ch"], "2 are e-mail addresses"),
    (["a1b2c3.28_0", "U2"], "1 look like Target ids"),
    ([" U1", "U2 ", "U 3"], "2 begin or end with blanks"),
    (["abc", "ABC", "Abc", "x"], "2 differ in case only"),
]


def messages(caplog):
    return [record.getMessage() for record in caplog.records if "Ids in" in record.getMessage()]


def rows(ids):
    return [{"thirdPartyId": id, "v": 1} for id in ids]


def with_action(action):
    return PrivacyRules(PrivacyOptions(on_suspicious_id=action))


@pytest.mark.parametrize(("ids", "text"), CASES)
def test_a_warning_has_the_count_and_no_id(caplog, ids, text):
    result = run_pipeline(rows(ids))
    assert result.sent == len(ids)
    [message] = messages(caplog)
    assert message.startswith("Ids in 'thirdPartyId': ")
    assert text in message
    assert f"{len(ids)} were checked" in message
    assert not any(id in message for id in ids if len(id) > 4)


@pytest.mark.parametrize(("ids", "text"), CASES)
def test_fail_ends_the_task(ids, text):
    with pytest.raises(ProfileDataError, match=text):
        run_pipeline(rows(ids), privacy_rules=with_action("fail"))
    assert with_action("fail").checks_all_rows_first


@pytest.mark.parametrize(("ids", "text"), CASES)
def test_ignore_does_not_check(caplog, ids, text):
    run_pipeline(rows(ids), privacy_rules=with_action("ignore"))
    assert messages(caplog) == []


def test_plain_ids_cause_no_warning(caplog):
    run_pipeline(rows(["U1", "1234567890", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "1" * 37, "A.1", "x@", "a_b.c"]))
    assert messages(caplog) == []


def test_target_ids_are_expected_in_a_column_of_target_ids(caplog):
    run_pipeline([{"pcId": "a1b2c3.28_0", "v": 1}, {"pcId": ECID, "v": 1}])
    [message] = messages(caplog)
    assert "Target ids" not in message
    assert "1 have 38 digits" in message


def test_all_ids_of_a_run_are_counted(caplog):
    table = pa.table({"thirdPartyId": [f"u{n}@example.com" for n in range(60_000)], "v": [1] * 60_000})
    run_pipeline(table)
    assert len(messages(caplog)) == 1
    assert "Of 60,000 ids: 60,000 are e-mail addresses." in caplog.text


def test_missing_ids_are_not_counted(caplog):
    result = run_pipeline(rows([None, "U1"]))
    assert result.reasons == {"missing_id": 1}
    assert messages(caplog) == []


def test_letter_case_is_compared_in_bounded_memory():
    check = SuspiciousIds("warn")
    for number in range(20):
        check.add(pa.array([f"id-{number}-{n}" for n in range(10_000)]), "id", "thirdPartyId")
    check.add(pa.array(["ID-0-0"]), "id", "thirdPartyId")
    assert len(check._sample) == 50_000
    assert check.counts["case"] == 0
