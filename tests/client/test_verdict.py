from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airflow_provider_adobe_target.client.batch import Batch, BatchStatus
from airflow_provider_adobe_target.client.verdict import OutcomeLimits, evaluate_batches, outcome_of
from airflow_provider_adobe_target.exceptions import AdobeTargetError, BatchOutcomeError, ProfileDataError

STATUS_URL = "https://e.tt.omtrdc.net/s?batchId=acme-1-1"


def batch(rows=1000, status="complete", failed=0, not_found=0, *, size=..., batch_id="acme-1-1", listed=0):
    size = rows if size is ... else size
    successful = None if None in (rows, failed, not_found) else rows - failed - not_found
    return Batch(
        batch_id=batch_id,
        status_url="https://e/s",
        rows=rows,
        bytes=9,
        sha256="ab",
        status=status,
        batch_size=size,
        consumed_count=size,
        successful_updates=successful,
        profiles_not_found=not_found,
        failed_updates=failed,
        listed_failures=listed,
    )


def verdict(*batches, max_failed_pct=0.0, max_not_found_pct=None):
    return evaluate_batches(batches, OutcomeLimits(max_failed_pct, max_not_found_pct))


def test_a_batch_is_written_as_the_report_has_it():
    submitted = Batch(
        batch_id="acme-1-1",
        status_url=STATUS_URL,
        rows=7,
        bytes=123,
        sha256="ab",
        submitted_at="2026-01-01T00:00:00Z",
    )
    assert json.dumps(submitted.to_dict()) == json.dumps(
        {
            "batch_id": "acme-1-1",
            "status_url": "https://e.tt.omtrdc.net/s?batchId=acme-1-1",
            "rows": 7,
            "bytes": 123,
            "sha256": "ab",
            "submitted_at": "2026-01-01T00:00:00Z",
            "status": "submitted",
            "batch_size": None,
            "consumed_count": None,
            "successful_updates": None,
            "profiles_not_found": None,
            "failed_updates": None,
        }
    )
    assert Batch.from_dict(submitted.to_dict()) == submitted


def test_listed_failures_are_in_events_and_in_reports():
    known = batch(failed=None, listed=3)
    assert Batch.from_dict(json.loads(json.dumps(known.to_event()))) == known
    assert known.to_dict()["listed_failures"] == 3
    assert "listed_failures" not in batch().to_dict()


def test_a_dry_run_has_no_counters_of_target():
    planned = Batch(rows=7, bytes=123, sha256="ab", status="dry_run").to_dict()
    assert {name for name, value in planned.items() if value is not None} == {
        "rows",
        "bytes",
        "sha256",
        "status",
    }
    assert planned["status"] == "dry_run"


def test_a_batch_of_which_only_the_url_is_known_has_an_id():
    known = Batch.from_status_url(STATUS_URL)
    assert (known.batch_id, known.rows, known.final) == ("acme-1-1", None, False)
    assert Batch.from_dict({"status_url": STATUS_URL}) == known


@pytest.mark.parametrize("entry", [{"rows": "7"}, {"rows": True}, {"status_url": 5}, {"status": []}])
def test_what_is_no_entry_of_a_report_is_refused(entry):
    with pytest.raises(AdobeTargetError, match=next(iter(entry))):
        Batch.from_dict(entry)


def test_a_new_status_replaces_the_earlier_one():
    known = batch(failed=5, listed=2).with_status(BatchStatus("complete"))
    assert (known.rows, known.failed_updates, known.batch_size, known.listed_failures) == (
        1000,
        None,
        None,
        0,
    )


@pytest.mark.parametrize(
    ("status", "final"), [("complete", True), ("stuck", True), ("incomplete", False), ("new", False)]
)
def test_only_two_words_are_final(status, final):
    assert batch(status=status).final is final
    assert BatchStatus(status).final is final


def test_a_clean_end_has_no_warnings():
    assert verdict(batch(), batch()) == []


@pytest.mark.parametrize(("failed", "limit"), [(1, 0.1), (29, 2.9), (1000, 100), (0, 0)])
def test_failures_up_to_the_limit_pass(failed, limit):
    assert verdict(batch(failed=failed), max_failed_pct=limit) == []


@pytest.mark.parametrize(("failed", "limit"), [(1, 0), (2, 0.1), (30, 2.9), (1000, 99.9)])
def test_failures_beyond_the_limit_fail(failed, limit):
    with pytest.raises(BatchOutcomeError, match=rf"{failed} of 1000 rows failed.*max_failed_pct={limit}.*acme-1-1"):
        verdict(batch(failed=failed), max_failed_pct=limit)


def test_the_limits_are_of_the_rows_of_all_batches_together():
    small, large = batch(10, failed=10, batch_id="small"), batch(990, batch_id="large")
    assert verdict(small, large, max_failed_pct=1) == []
    with pytest.raises(BatchOutcomeError, match=r"10 of 1000 rows.*in small\."):
        verdict(small, large, max_failed_pct=0.9)


def test_unknown_rows_are_taken_from_the_batch_size():
    known = batch(None, size=100, failed=1)
    assert verdict(known, max_failed_pct=1) == []
    with pytest.raises(BatchOutcomeError, match="1 of 100 rows"):
        verdict(known, max_failed_pct=0.5)


def test_not_found_rows_matter_only_where_there_is_a_limit():
    assert verdict(batch(not_found=500)) == []
    assert verdict(batch(not_found=10), max_not_found_pct=1) == []
    with pytest.raises(BatchOutcomeError, match=r"11 of 1000 rows were not found.*max_not_found_pct"):
        verdict(batch(not_found=11), max_not_found_pct=1)


def test_no_id_found_in_any_batch_is_a_warning_without_a_limit():
    unknown = batch(not_found=1000)
    (warning,) = verdict(unknown, batch(10, not_found=10, batch_id="acme-1-2"))
    assert "no profile for any of the 1010 rows, in acme-1-1, acme-1-2" in warning
    assert verdict(unknown, max_not_found_pct=100) == []
    (warning,) = verdict(unknown, batch(10))
    assert "no profile for 1000 of the 1010 rows" in warning
    assert verdict(unknown, batch(1000)) == []
    assert verdict(batch(0)) == []


@pytest.mark.parametrize(("failed", "listed", "failures"), [(None, 3, 3), (0, 3, 3), (2, 40, 40), (5, 3, 5)])
def test_the_larger_of_counter_and_listed_rows_counts_as_failures(failed, listed, failures):
    with pytest.raises(BatchOutcomeError, match=f"{failures} of 1000 rows failed"):
        verdict(batch(failed=failed, listed=listed))


def test_more_failures_listed_than_counted_are_a_warning():
    (warning,) = verdict(batch(failed=2, listed=40), max_failed_pct=4)
    assert "40 rows are listed as failed, and failedUpdates is 2" in warning


@pytest.mark.parametrize(
    ("counters", "words"),
    [
        ({"consumed_count": 60}, "consumedCount is 60 of 1000"),
        ({"successful_updates": 0}, "successfulUpdates is 0, and its counters add up to 0 of 1000"),
        ({"successful_updates": 0, "profiles_not_found": None}, "successfulUpdates is 0"),
        ({"successful_updates": 7, "profiles_not_found": None, "failed_updates": None}, "successfulUpdates is 7"),
        ({"consumed_count": 1001}, "consumedCount is 1001, more than its 1000"),
        ({"successful_updates": 1200, "profiles_not_found": None}, "successfulUpdates is 1200, more than its 1000"),
        ({"profiles_not_found": 1001}, "profilesNotFound is 1001, more than its 1000"),
    ],
)
def test_contradictory_counters_are_a_warning_with_both_numbers(counters, words):
    assert words in " ".join(verdict(replace(batch(), **counters)))


def test_without_known_rows_counters_are_compared_with_batch_size():
    (warning,) = verdict(replace(batch(None, size=100, failed=0), consumed_count=60))
    assert "consumedCount is 60 of 100" in warning


def test_a_stuck_batch_fails_by_name():
    with pytest.raises(BatchOutcomeError, match="acme-1-1 is stuck"):
        verdict(batch(), batch(status="stuck"), max_failed_pct=100)


def test_a_batch_size_other_than_the_rows_sent_fails():
    with pytest.raises(BatchOutcomeError, match="acme-1-1 was sent with 1000 rows, but its batchSize is 999"):
        verdict(batch(size=999), max_failed_pct=100)


def test_every_broken_rule_is_named():
    with pytest.raises(BatchOutcomeError, match=r"stuck.*batchSize.*max_failed_pct.*max_not_found_pct"):
        verdict(batch(status="stuck"), batch(size=9, failed=5), batch(not_found=5), max_not_found_pct=0)


def test_a_batch_that_is_not_final_fails():
    with pytest.raises(BatchOutcomeError, match="incomplete"):
        verdict(batch(status="incomplete"))


def test_complete_without_counters_is_a_warning():
    (warning,) = verdict(Batch(batch_id="acme-1-1", status_url="u", rows=7).with_status(BatchStatus("complete")))
    assert "acme-1-1" in warning
    assert "no counters" in warning


def test_a_missing_counter_is_a_warning_where_it_matters():
    (warning,) = verdict(batch(failed=None))
    assert "failedUpdates" in warning
    assert verdict(batch(not_found=None)) == []
    (warning,) = verdict(batch(not_found=None), max_not_found_pct=5)
    assert "profilesNotFound" in warning


def test_counters_that_do_not_add_up_are_a_warning():
    (warning,) = verdict(replace(batch(), successful_updates=990))
    assert "990 of 1000" in warning


def test_no_batches_pass():
    assert verdict() == []


@pytest.mark.parametrize("limit", [-0.1, 100.1, float("nan"), "5", True, None])
def test_a_limit_that_is_no_per_cent_is_named(limit):
    with pytest.raises(AdobeTargetError, match="max_failed_pct"):
        OutcomeLimits(limit, None)
    if limit is not None:
        with pytest.raises(AdobeTargetError, match="max_not_found_pct"):
            OutcomeLimits(0, limit)


def test_a_dry_run_is_final_and_not_judged():
    planned = Batch(rows=7, bytes=123, sha256="0" * 64, status="dry_run")
    assert planned.final
    assert evaluate_batches([planned], OutcomeLimits(0, 0)) == []


def test_a_message_about_a_thousand_batches_stays_short():
    many = [batch(batch_id=f"acme-1-{number}", status="stuck") for number in range(1_000)]
    with pytest.raises(BatchOutcomeError) as caught:
        verdict(*many)
    message = str(caught.value)
    assert message.startswith("Batch acme-1-0 is stuck")
    assert message.endswith("for 990 more.")
    assert len(message) < 2_000
    failed = [batch(batch_id=f"acme-1-{number}", failed=1) for number in range(1_000)]
    with pytest.raises(BatchOutcomeError, match=r"^1000 of 1000000 rows failed.* acme-1-9 and 990 more\.$"):
        verdict(*failed)


class TestRowLimits:
    @pytest.mark.parametrize(("limit", "is_exceeded"), [(0, True), (2, True), (3, False)])
    def test_failed_rows_are_limited_by_number(self, limit, is_exceeded):
        batches = [batch(10, failed=2), batch(5, failed=1)]
        limits = OutcomeLimits(max_failed_rows=limit)
        if is_exceeded:
            with pytest.raises(BatchOutcomeError, match=f"3 rows failed, beyond max_failed_rows={limit}, in "):
                evaluate_batches(batches, limits)
        else:
            evaluate_batches(batches, limits)

    def test_a_percentage_above_0_applies_as_well(self):
        with pytest.raises(BatchOutcomeError, match="beyond max_failed_pct=10"):
            evaluate_batches([batch(10, failed=2)], OutcomeLimits(max_failed_pct=10, max_failed_rows=5))

    @pytest.mark.parametrize(("limit", "is_exceeded"), [(0, True), (3, True), (4, False)])
    def test_rows_that_were_not_found_are_limited_by_number(self, limit, is_exceeded):
        limits, batches = OutcomeLimits(max_not_found_rows=limit), [batch(10, not_found=4)]
        if is_exceeded:
            with pytest.raises(BatchOutcomeError, match="4 rows were not found, beyond max_not_found_rows"):
                evaluate_batches(batches, limits)
        else:
            assert evaluate_batches(batches, limits) == []

    @pytest.mark.parametrize("value", [-1, 1.5, True, "1"])
    def test_a_limit_must_be_a_whole_number(self, value):
        for name in ("max_failed_rows", "max_not_found_rows"):
            with pytest.raises(ProfileDataError, match=f"{name} must be"):
                OutcomeLimits(**{name: value})


@pytest.mark.parametrize(("not_found", "warns"), [(5, False), (6, True), (10, True)])
def test_more_than_half_of_the_ids_not_found_is_a_warning(not_found, warns):
    warnings = evaluate_batches([batch(10, not_found=not_found)], OutcomeLimits())
    assert any("Target found no profile for" in warning for warning in warnings) is warns


@pytest.mark.parametrize(
    ("counters", "rejected", "outcome"),
    [
        ({"rows": 10}, 0, "complete"),
        ({"rows": 10}, 1, "partial"),
        ({"rows": 10, "failed": 1}, 0, "partial"),
        ({"rows": 10, "not_found": 1}, 0, "partial"),
    ],
)
def test_the_outcome_of_final_batches(counters, rejected, outcome):
    assert outcome_of([batch(**counters)], rejected) == outcome


def test_the_outcome_of_a_batch_that_did_not_complete_is_partial():
    assert outcome_of([batch(10, status="stuck")], 0) == "partial"


def test_the_outcome_of_batches_that_are_not_final():
    submitted = batch(1, status="submitted")
    assert outcome_of([batch(1), submitted], 0) == "submitted"
    assert outcome_of([replace(submitted, status="dry_run", status_url=None)], 1) == "dry_run"
    assert outcome_of([], 0) == "complete"
