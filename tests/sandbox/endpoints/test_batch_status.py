"""Batch statuses of the sandbox against the documented behaviour of Adobe Target, over real sockets."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import requests
from defusedxml import ElementTree

from support.sandbox_client import COUNTERS, counts

ONE_ROW = "batch=thirdPartyId,tier\nU1,gold"
TOKEN = {"Authorization": "Bearer secret"}


class TestBatchStatus:
    def test_is_incomplete_for_a_while_and_then_complete(self, target, read_fields):
        target.sandbox.settings.processing_seconds = 10
        url = target.status_url(ONE_ROW)
        early = read_fields(target.status(url))
        assert (early["status"], counts(early)) == ("incomplete", (1, 0, 0, 0, 0))
        assert target.sandbox.profile("U1") is None
        target.clock.move(seconds=10)
        assert read_fields(target.status(url))["status"] == "complete"
        assert target.sandbox.profile("U1") == {"tier": "gold"}

    def test_has_counters_only_if_details_are_requested(self, target, read_fields):
        url = target.status_url(ONE_ROW)
        (batch,) = target.sandbox.batches
        plain = {"batchId": batch.batch_id, "status": "complete", "batchSize": "1"}
        assert read_fields(target.status(url, details=False)) == plain
        assert list(read_fields(target.status(url))) == ["batchId", "status", *COUNTERS]

    def test_must_be_a_get(self, target):
        assert requests.post(target.status_url(ONE_ROW), timeout=10).status_code == 405

    def test_needs_the_token_once_it_is_set(self, target):
        url = target.status_url(ONE_ROW)
        target.sandbox.settings.token = "secret"
        assert target.status(url).status_code == 403
        assert requests.get(url, headers=TOKEN, timeout=10).status_code == 200

    def test_may_end_stuck_with_part_of_the_rows_applied(self, target):
        target.sandbox.settings.final_status = "stuck"
        assert target.load(ONE_ROW + "\nU2,silver")["status"] == "stuck"
        assert (target.sandbox.profile("U1"), target.sandbox.profile("U2")) == ({"tier": "gold"}, None)

    def test_may_be_any_word(self, target):
        target.sandbox.reset(processing_seconds=10, processing_status="queued")
        assert target.load(ONE_ROW)["status"] == "queued"

    def test_is_deleted_after_a_day(self, target):
        url = target.status_url(ONE_ROW)
        target.clock.move(days=1)
        assert target.status(url).status_code == 200
        target.clock.move(seconds=1)
        assert target.status(url).status_code == 404

    def test_of_an_unknown_batch_may_be_a_refusal_or_have_no_status(self, target, read_fields):
        url = target.status_url(ONE_ROW) + "0"
        target.sandbox.settings.lost_status = "refusal"
        assert read_fields(target.status(url))["success"] == "false"
        target.sandbox.settings.lost_status = "no-status"
        assert list(read_fields(target.status(url))) == ["batchId"]

    def test_may_return_another_size_and_fewer_counters(self, target):
        target.sandbox.reset(processing_seconds=0, batch_size_offset=-1, omit_counters=("consumedCount",))
        status = target.load(ONE_ROW)
        assert status["batchSize"] == "0"
        assert "consumedCount" not in status

    def test_lists_rows_that_were_chosen_to_fail(self, target, read_fields):
        target.sandbox.reset(processing_seconds=0, fail_ids=("U1",), failed_row_word="error")
        answer = target.status(target.status_url(ONE_ROW + "\nU2,x"))
        (listed,) = ElementTree.fromstring(answer.content).findall("profile")
        assert (listed.findtext("id"), listed.findtext("status")) == ("U1", "error")
        assert counts(read_fields(answer)) == (2, 2, 1, 0, 1)

    def test_may_list_no_rows(self, target, read_fields):
        target.sandbox.reset(processing_seconds=0, fail_ids=("U1",), list_failed_rows=False)
        assert "profile" not in target.load(ONE_ROW)

    def test_may_be_json(self, target):
        target.sandbox.reset(processing_seconds=0, fail_ids=("U1",))
        url = target.status_url(ONE_ROW)
        target.sandbox.settings.answer_format = "json"
        told = target.status(url).json()
        assert (told["status"], told["failedUpdates"]) == ("complete", 1)
        assert told["profile"] == [{"id": "U1", "status": "failed"}]

    def test_hides_rows_that_count_as_successful_and_are_lost(self, target):
        target.sandbox.settings.loss_rate = 0.5
        rows = "".join(f"\nU{number},x" for number in range(100))
        assert counts(target.load("batch=thirdPartyId,a" + rows)) == (100, 100, 100, 0, 0)
        stored = [number for number in range(100) if target.sandbox.profile(f"U{number}")]
        assert 25 < len(stored) < 75

    def test_with_noise_has_the_same_content(self, target, read_fields):
        target.sandbox.reset(processing_seconds=0, noise=True)
        submitted = target.submit(ONE_ROW)
        assert "&amp;" in submitted.text
        url = read_fields(submitted)["batchStatus"]
        assert len(parse_qs(urlsplit(url).query)) > 1
        answer = target.status(url)
        status = read_fields(answer)
        assert counts(status) == (1, 1, 1, 0, 0)
        assert status["batchId"].startswith("acme4-")
        assert "\n" in answer.text
        assert list(status) != ["batchId", "status", *COUNTERS]

    def test_escapes_what_rows_hold(self, target):
        target.sandbox.settings.fail_ids = ("<&>\x01",)
        url = target.status_url("batch=thirdPartyId,a\n%3C%26%3E%01,x")
        listed = ElementTree.fromstring(target.status(url).content).find("profile")
        assert listed.findtext("id") == "<&>\ufffd"
