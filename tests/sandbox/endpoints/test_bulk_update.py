"""The sandbox against what is known of Adobe Target, fact by fact, over real sockets."""

from __future__ import annotations

import hashlib
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from defusedxml import ElementTree

ONE_ROW = "batch=thirdPartyId,tier\nU1,gold"
TOKEN = {"Authorization": "Bearer secret"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
COUNTERS = ("batchSize", "consumedCount", "successfulUpdates", "profilesNotFound", "failedUpdates")


def counts(status: dict[str, str]) -> tuple[int, ...]:
    return tuple(int(status[name]) for name in COUNTERS)


class TestBulkSubmit:
    def test_answers_success_a_status_url_and_a_message_as_xml(self, target, read_fields):
        answer = target.submit(ONE_ROW)
        (batch,) = target.sandbox.batches
        url = f"{target.sandbox.edge_url}/m2/acme/profile/batchStatus?batchId={batch.batch_id}"
        assert answer.status_code == 200
        assert read_fields(answer) == {
            "success": "true",
            "batchStatus": url,
            "message": "Batch submitted for processing",
        }

    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_names_the_unversioned_status_path_in_both_versions(self, target, version):
        assert urlsplit(target.status_url(ONE_ROW, version)).path == "/m2/acme/profile/batchStatus"

    def test_names_a_status_url_on_another_port(self, target):
        port = urlsplit(target.status_url(ONE_ROW)).port
        assert port == urlsplit(target.sandbox.edge_url).port
        assert port != urlsplit(target.sandbox.url).port

    def test_names_the_host_that_was_asked_in_the_status_url(self, target, read_fields):
        answer = target.submit(ONE_ROW, headers={**FORM, "Host": "localhost:8900"})
        assert urlsplit(read_fields(answer)["batchStatus"]).hostname == "localhost"

    def test_answers_the_status_at_the_edge_host_and_at_the_client_host_only_if_asked_to(self, target):
        at_edge = target.status_url(ONE_ROW)
        at_client = at_edge.replace(target.sandbox.edge_url, target.sandbox.url)
        assert [target.status(url).status_code for url in (at_edge, at_client)] == [200, 404]
        target.sandbox.settings.status_on_client_host = True
        assert target.status(at_client).text == target.status(at_edge).text
        target.sandbox.reset(processing_seconds=0, edge_base=target.sandbox.url)
        assert target.status(target.status_url(ONE_ROW)).status_code == 200

    def test_names_another_place_for_the_status_where_edge_base_is_set(self, target):
        target.sandbox.settings.edge_base = "https://elsewhere.example"
        assert target.status_url(ONE_ROW).startswith("https://elsewhere.example/m2/acme/profile/batchStatus?")

    def test_makes_batch_ids_of_client_code_milliseconds_and_a_number(self, target):
        target.submit(ONE_ROW)
        client_code, milliseconds, number = target.sandbox.batches[0].batch_id.split("-")
        assert (client_code, milliseconds) == ("acme", str(int(target.clock.now * 1000)))
        assert number.isdigit()

    def test_is_remembered_with_decoded_rows_and_the_hash_of_its_body(self, target):
        body = b"batch=thirdPartyId,tier,city\nU1,gold,New%20York\nU2,,Z%C3%BCrich\nU3"
        target.submit(body)
        (batch,) = target.sandbox.batches
        assert (batch.version, batch.key, batch.names) == ("v2", "thirdPartyId", ["tier", "city"])
        assert batch.rows == [
            {"thirdPartyId": "U1", "tier": "gold", "city": "New York"},
            {"thirdPartyId": "U2", "tier": "", "city": "Zürich"},
            {"thirdPartyId": "U3"},
        ]
        assert (batch.body_bytes, batch.sha256) == (len(body), hashlib.sha256(body).hexdigest())

    def test_must_be_a_post(self, target):
        answer = requests.get(f"{target.sandbox.url}/m2/acme/v2/profile/batchUpdate", timeout=10)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")

    def test_to_another_client_code_is_unknown(self, target):
        url = f"{target.sandbox.url}/m2/other/v2/profile/batchUpdate"
        answer = requests.post(url, data=ONE_ROW, headers=FORM, timeout=10)
        assert (answer.status_code, answer.text) == (404, "Unknown client")

    def test_needs_no_token_unless_one_is_set(self, target, read_fields):
        target.sandbox.settings.token = "secret"
        answer = target.submit(ONE_ROW)
        assert answer.status_code == 403
        assert read_fields(answer)["success"] == "false"
        assert target.submit(ONE_ROW, headers={**FORM, "Authorization": "Bearer other"}).status_code == 403
        assert target.submit(ONE_ROW, headers={**FORM, **TOKEN}).status_code == 200

    @pytest.mark.parametrize("status", [401, 200])
    def test_without_the_token_is_refused_with_the_status_that_is_set(self, target, read_fields, status):
        target.sandbox.reset(token="secret", missing_token_status=status)
        answer = target.submit(ONE_ROW)
        assert (answer.status_code, read_fields(answer)["success"]) == (status, "false")

    def test_with_a_body_that_is_too_large_answers_413(self, target, read_fields):
        target.sandbox.settings.max_body_bytes = len(ONE_ROW)
        answer = target.submit(ONE_ROW)
        assert (answer.status_code, read_fields(answer)["success"]) == (413, "false")

    def test_with_a_body_that_is_too_large_may_answer_200(self, target, read_fields):
        target.sandbox.reset(max_body_bytes=10, too_large_status=200)
        answer = target.submit(ONE_ROW)
        assert (answer.status_code, read_fields(answer)["success"]) == (200, "false")

    @pytest.mark.parametrize(
        "body",
        [
            "thirdPartyId,tier\nU1,gold",  # no prefix
            "\ufeffbatch=thirdPartyId,tier\nU1,gold",  # a byte order mark displaces it
            "batch=",
            "batch=mbox3rdPartyId,tier\nU1,gold",
            "batch=thirdpartyid,tier\nU1,gold",
            "batch=tier,thirdPartyId\ngold,U1",
            "batch=thirdPartyId\nU1",  # no attribute
            "batch=thirdPartyId,tier,tier\nU1,a,b",
            "batch=thirdPartyId,profile.tier\nU1,gold",
            "batch=thirdPartyId,tier",  # no row
            "batch=thirdPartyId,tier\n",
        ],
    )
    def test_that_is_no_batch_file_answers_200_with_success_false_and_no_url(self, target, read_fields, body):
        answer = target.submit(body)
        told = read_fields(answer)
        assert (answer.status_code, told["success"], told["batchStatus"]) == (200, "false", "")
        assert told["message"]
        assert target.sandbox.batches == []

    def test_that_is_refused_may_answer_400(self, target):
        target.sandbox.settings.refuse_status = 400
        assert target.submit("nothing").status_code == 400

    def test_with_too_many_rows_is_refused(self, target, read_fields):
        target.sandbox.settings.max_rows = 1
        assert read_fields(target.submit(ONE_ROW))["success"] == "true"
        assert read_fields(target.submit(ONE_ROW + "\nU2,x"))["success"] == "false"

    def test_of_any_content_type_is_taken_unless_switched_off(self, target, read_fields):
        assert read_fields(target.submit(ONE_ROW, headers={"Content-Type": "text/csv"}))["success"] == "true"
        target.sandbox.settings.reject_content_type = True
        assert read_fields(target.submit(ONE_ROW, headers={"Content-Type": "text/csv"}))["success"] == "false"
        assert read_fields(target.submit(ONE_ROW))["success"] == "true"

    def test_may_answer_in_json_with_the_same_keys(self, target):
        target.sandbox.settings.answer_format = "json"
        assert target.submit(ONE_ROW).json()["success"] is True
        assert target.submit("nothing").json()["batchStatus"] == ""


class TestCallsPerMinute:
    def test_beyond_fifty_submits_and_polls_answer_503_without_retry_after(self, target):
        url = target.status_url(ONE_ROW)
        assert {target.status(url).status_code for _ in range(49)} == {200}
        for answer in (target.status(url), target.submit(ONE_ROW)):
            assert answer.status_code == 503
            assert "Retry-After" not in answer.headers

    def test_are_free_again_after_a_minute(self, target):
        target.sandbox.settings.calls_per_minute = 1
        assert [target.submit(ONE_ROW).status_code for _ in range(2)] == [200, 503]
        target.clock.move(seconds=60)
        assert target.submit(ONE_ROW).status_code == 200

    def test_stay_used_up_by_retries_in_haste(self, target):
        target.sandbox.settings.calls_per_minute = 1
        answers = []
        for _ in range(4):
            answers.append(target.submit(ONE_ROW).status_code)
            target.clock.move(seconds=30)
        assert answers == [200, 503, 503, 503]

    def test_may_name_the_wait_in_retry_after(self, target):
        target.sandbox.reset(calls_per_minute=1, retry_after=61)
        target.submit(ONE_ROW)
        assert target.submit(ONE_ROW).headers["Retry-After"] == "61"

    def test_do_not_concern_single_updates_fetch_and_delivery(self, target):
        target.sandbox.settings.calls_per_minute = 1
        answers = [
            target.update("mboxPC=1&profile.a=x"),
            target.deliver(),
            target.deliver(),
            target.fetch("1"),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 404]


class TestBatchRows:
    def test_values_names_and_ids_are_percent_decoded_once(self, target):
        target.load("batch=thirdPartyId,city%20name\nU%20%C3%BC,w10%7Cw32%252C")
        assert target.sandbox.profile("U ü") == {"city name": "w10|w32%2C"}

    def test_a_final_newline_is_no_row(self, target):
        assert counts(target.load(ONE_ROW + "\n")) == (1, 1, 1, 0, 0)

    def test_short_rows_and_empty_cells_leave_values_as_they_are(self, target):
        target.sandbox.put_profile("U1", {"a": "old", "b": "old", "c": "old"})
        target.load("batch=thirdPartyId,a,b,c\nU1,,new")
        assert target.sandbox.profile("U1") == {"a": "old", "b": "new", "c": "old"}

    def test_a_batch_of_empty_cells_is_taken_and_skipped(self, target):
        status = target.load("batch=thirdPartyId,a,b\nU1,,\nU2")
        assert status["status"] == "complete"
        assert counts(status) == (2, 2, 0, 0, 0)
        assert target.sandbox.profile("U1") is None

    @pytest.mark.parametrize(
        "row",
        [
            "U1,gold,more",  # longer than the header
            ",gold",  # no id
            "a%2Bb,gold",
            "a%2Fb,gold",
            "a" * 257 + ",gold",
            "U1," + "x" * 65_536,  # above 64 KB
        ],
    )
    def test_a_bad_row_fails_and_is_listed(self, target, row):
        url = target.status_url(f"batch=thirdPartyId,tier\n{row}\nU2,silver")
        for details in (True, False):
            listed = ElementTree.fromstring(target.status(url, details=details).content).findall("profile")
            assert [profile.findtext("status") for profile in listed] == ["failed"]
        assert target.sandbox.batches[0].failed == 1
        assert target.sandbox.profile("U2") == {"tier": "silver"}

    def test_a_plus_in_a_target_id_is_no_fault(self, target):
        assert counts(target.load("batch=pcId,tier\na%2Bb,gold")) == (1, 1, 1, 0, 0)

    def test_the_64_kilobytes_are_of_the_whole_profile(self, target):
        target.sandbox.put_profile("U1", {"a": "x" * 40_000})
        assert counts(target.load("batch=thirdPartyId,b\nU1," + "x" * 40_000))[-1] == 1
        assert set(target.sandbox.profile("U1")) == {"a"}

    def test_names_and_values_are_case_sensitive(self, target):
        target.load("batch=thirdPartyId,Tier,tier\nU1,GOLD,gold\nu1,x,y")
        assert target.sandbox.profile("U1") == {"Tier": "GOLD", "tier": "gold"}
        assert target.sandbox.profile("u1") == {"Tier": "x", "tier": "y"}

    def test_of_two_rows_for_one_id_the_last_wins_with_a_warning(self, target):
        target.load("batch=thirdPartyId,tier\nU1,gold\nU1,silver")
        assert target.sandbox.profile("U1") == {"tier": "silver"}
        assert target.sandbox.batches[0].repeated_ids == 1

    def test_v2_creates_unknown_profiles(self, target):
        assert counts(target.load(ONE_ROW, "v2")) == (1, 1, 1, 0, 0)
        assert target.sandbox.profile("U1") == {"tier": "gold"}

    def test_v1_does_not_create_unknown_profiles(self, target):
        target.sandbox.put_profile("U2", {})
        assert counts(target.load(ONE_ROW + "\nU2,silver", "v1")) == (2, 2, 1, 1, 0)
        assert target.sandbox.profile("U1") is None
        assert target.sandbox.profile("U2") == {"tier": "silver"}

    def test_target_ids_and_customer_ids_are_two_spaces(self, target):
        target.load("batch=pcId,tier\n1,gold")
        assert target.sandbox.profile("1") is None
        assert target.sandbox.profile("1", "pcId") == {"tier": "gold"}


class TestDecodeOrder:
    def test_splitting_first_keeps_encoded_delimiters_inside_values(self, target):
        target.sandbox.settings.decode_order = "split-then-decode"
        target.load("batch=thirdPartyId,a,b\nU1,x%2Cy,1%0A2\nU2,p%2Bq,r%26s")
        assert target.sandbox.profile("U1") == {"a": "x,y", "b": "1\n2"}
        assert target.sandbox.profile("U2") == {"a": "p+q", "b": "r&s"}

    def test_form_parsing_tears_rows_at_encoded_delimiters(self, target):
        assert counts(target.load("batch=thirdPartyId,a\nU1,x%2Cy"))[-1] == 1
        assert counts(target.load("batch=thirdPartyId,a\nU1,x%0Ay"))[0] == 2

    def test_form_parsing_loses_everything_after_a_bare_ampersand(self, target):
        assert counts(target.load("batch=thirdPartyId,a\nU1,x&y\nU2,z")) == (1, 1, 1, 0, 0)
        assert target.sandbox.profile("U1") == {"a": "x"}

    def test_form_parsing_makes_a_bare_plus_a_space(self, target):
        target.load("batch=thirdPartyId,a\nU1,x+y%2Bz%26")
        assert target.sandbox.profile("U1") == {"a": "x y+z&"}

    @pytest.mark.parametrize("order", ["decode-then-split", "split-then-decode"])
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("batch=thirdPartyId,a\nU1,50% off", "Unexpected error"),
            ("batch=thirdPartyId,a\nU1,50%2", "Unexpected error"),
            ("batch=thirdPartyId,a\nU1,x&y%zz", "Unexpected error"),
            ("batch=&thirdPartyId,a\nU1,x", "Batch is empty"),
            ("batch=thirdPartyId,a&b\nU1,x", "Batch is empty"),
        ],
    )
    def test_an_unusable_form_is_refused_in_both_orders(self, target, read_fields, order, body, message):
        target.sandbox.settings.decode_order = order
        answer = target.submit(body)
        assert answer.status_code == 200
        assert read_fields(answer) == {"success": "false", "batchStatus": "", "message": message}
        assert not target.sandbox.batches

    @pytest.mark.parametrize(("order", "rows"), [("decode-then-split", 3), ("split-then-decode", 2)])
    def test_a_file_without_profiles_is_counted_in_the_same_order(self, target, order, rows):
        target.sandbox.settings.keep_profiles = False
        target.sandbox.settings.decode_order = order
        body = "batch=thirdPartyId,a\nU1,x\nU2,y" + ("%0aU3%2Cz" if rows == 3 else "%0A") + "\n"
        assert counts(target.load(body))[0] == rows


class TestOverride:
    FIRST, SECOND = "batch=thirdPartyId,a,b\nU1,1,2", "batch=thirdPartyId,b\nU1,3"

    def test_a_second_v2_row_takes_away_what_the_first_one_wrote(self, target):
        target.load(self.FIRST)
        target.load(self.SECOND)
        assert target.sandbox.profile("U1") == {"b": "3"}

    def test_a_delivery_call_in_between_makes_the_first_row_stay(self, target):
        target.load(self.FIRST)
        target.deliver({"thirdPartyId": "U1"})
        target.load(self.SECOND)
        assert target.sandbox.profile("U1") == {"a": "1", "b": "3"}

    def test_what_others_wrote_stays(self, target):
        target.sandbox.put_profile("U1", {"visitor": "x"})
        target.load(self.FIRST)
        target.update("mbox3rdPartyId=U1&profile.single=y")
        target.load(self.SECOND)
        assert target.sandbox.profile("U1") == {"visitor": "x", "single": "y", "b": "3"}

    def test_v1_rows_merge(self, target):
        target.sandbox.put_profile("U1", {})
        target.load(self.FIRST, "v1")
        target.load(self.SECOND, "v1")
        assert target.sandbox.profile("U1") == {"a": "1", "b": "3"}

    def test_may_be_per_attribute(self, target):
        target.sandbox.settings.override = "merge"
        target.load(self.FIRST)
        target.load(self.SECOND)
        assert target.sandbox.profile("U1") == {"a": "1", "b": "3"}


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

    def test_has_counters_only_where_details_are_asked_for(self, target, read_fields):
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

    def test_is_forgotten_after_a_day(self, target):
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

    def test_may_tell_another_size_and_fewer_counters(self, target):
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

    def test_with_noise_says_the_same_awkwardly(self, target, read_fields):
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


class TestSingleUpdate:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_writes_prefixed_attributes_of_a_known_profile(self, target, read_fields, method):
        target.sandbox.put_profile("U1", {})
        answer = target.update("mbox3rdPartyId=U1&profile.tier=gold&profile.city=New%20York&other=x", method)
        assert target.sandbox.profile("U1") == {"tier": "gold", "city": "New York"}
        told = {"success": "true", "pcId": "", "message": "Request successfully submitted"}
        assert read_fields(answer) == told

    def test_knows_a_profile_by_target_id(self, target):
        target.sandbox.put_profile("1.28_0", {}, "pcId")
        target.update("mboxPC=1.28_0&profile.tier=gold")
        assert target.sandbox.profile("1.28_0", "pcId") == {"tier": "gold"}

    def test_takes_pairs_from_the_form_body_after_those_of_the_query(self, target):
        target.sandbox.put_profile("U1", {})
        target.update("mbox3rdPartyId=U1&profile.a=query", data={"profile.a": "body", "profile.b": "body"})
        assert target.sandbox.profile("U1") == {"a": "query", "b": "body"}

    def test_of_an_unknown_profile_says_success_and_writes_nothing(self, target, read_fields):
        assert read_fields(target.update("mbox3rdPartyId=U9&profile.tier=gold"))["success"] == "true"
        assert target.sandbox.profile("U9") is None

    def test_takes_the_client_code_or_the_word_client_in_the_path(self, target):
        assert target.update("mboxPC=1&profile.a=x", client="client").status_code == 200
        assert target.update("mboxPC=1&profile.a=x", client="other").status_code == 404

    @pytest.mark.parametrize("query", ["", "mbox3rdPartyId=&", "mboxPC=&", "mboxPC=&mbox3rdPartyId=&", "mboxpc=1&"])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_without_an_id_is_refused(self, target, read_fields, query, method):
        told = {"success": "false", "pcId": "", "message": "mboxPC or mbox3rdPartyId is required"}
        assert read_fields(target.update(f"{query}profile.tier=gold", method)) == told

    def test_with_one_empty_id_is_for_the_other(self, target, read_fields):
        target.sandbox.put_profile("1.28_0", {}, "pcId")
        assert read_fields(target.update("mbox3rdPartyId=&mboxPC=1.28_0&profile.a=x"))["success"] == "true"
        assert target.sandbox.profile("1.28_0", "pcId") == {"a": "x"}

    def test_needs_the_token_once_it_is_set(self, target, read_fields):
        target.sandbox.settings.token = "secret"
        refused = target.update("mboxPC=1&profile.a=x")
        assert (refused.status_code, list(read_fields(refused))) == (403, ["success", "pcId", "message"])
        assert target.update("mboxPC=1&profile.a=x", headers=TOKEN).status_code == 200

    def test_has_8_kilobytes_by_get_and_60_by_post(self, target):
        value = "x" * 8_192
        assert target.update(f"mboxPC=1&profile.a={value}", "GET").status_code == 413
        assert target.update(f"mboxPC=1&profile.a={value}", "POST").status_code == 200
        assert target.update("mboxPC=1", data={"profile.a": "x" * 61_440}).status_code == 413

    def test_ignores_empty_values(self, target):
        target.sandbox.put_profile("U1", {"a": "old"})
        target.update("mbox3rdPartyId=U1&profile.a=")
        assert target.sandbox.profile("U1") == {"a": "old"}


class TestFetch:
    def test_gives_names_without_prefix_values_as_text_and_times(self, target):
        target.load("batch=thirdPartyId,tier,score\nU1,gold,1")
        content = target.fetch("thirdPartyId/U1").json()
        assert (content["client"], content["visitorId"]) == ("acme", "U1")
        assert content["profileAttributes"]["tier"]["value"] == "gold"
        assert content["profileAttributes"]["score"]["value"] == "1"
        for moment in (content["modifiedAt"], content["profileAttributes"]["tier"]["modifiedAt"]):
            assert datetime.fromisoformat(moment).timestamp() == target.clock.now

    @pytest.mark.parametrize(
        ("path", "words"),
        [("thirdPartyId/U9", "third party id=U9"), ("123", "mboxPC=123")],
    )
    def test_of_an_unknown_profile_answers_404_with_a_json_body(self, target, path, words):
        answer = target.fetch(path)
        assert answer.status_code == 404
        assert answer.json() == {"status": 404, "message": f"No profile found for client acme with {words}"}

    def test_takes_the_id_as_one_percent_encoded_segment(self, target):
        target.sandbox.put_profile("a b/ü?+", {"a": "x"})
        assert target.attributes("thirdPartyId/a%20b%2F%C3%BC%3F%2B") == {"a": "x"}
        assert target.fetch("thirdPartyId/a%20b/%C3%BC%3F%2B").status_code == 404

    def test_knows_a_profile_by_each_of_its_ids(self, target):
        ids = {"thirdPartyId": "U1", "tntId": "1.28_0", "marketingCloudVisitorId": "42"}
        target.deliver(ids, {"a": "x"})
        for path in ("thirdPartyId/U1", "1.28_0", "marketingCloudVisitorId/42"):
            assert target.attributes(path) == {"a": "x"}

    def test_for_another_client_code_is_unknown(self, target):
        for answer in (target.fetch("thirdPartyId/U1", client="other"), target.fetch("U1", client="")):
            assert answer.headers["Content-Type"].startswith("application/json")
            assert (answer.status_code, answer.json()) == (404, {"status": 404, "message": "Unknown client"})

    def test_needs_the_token_once_it_is_set(self, target):
        target.sandbox.settings.token = "secret"
        assert target.fetch("1").status_code == 403
        assert target.fetch("1", headers=TOKEN).status_code == 404

    def test_shows_values_only_after_a_while(self, target):
        target.load(ONE_ROW)
        target.sandbox.settings.visible_after_seconds = 60
        target.load("batch=thirdPartyId,tier\nU1,silver\nU2,new")
        assert target.attributes("thirdPartyId/U1") == {"tier": "gold"}
        assert target.fetch("thirdPartyId/U2").status_code == 404
        assert target.sandbox.profile("U2") == {"tier": "new"}
        target.clock.move(seconds=60)
        assert target.attributes("thirdPartyId/U1") == {"tier": "silver"}
        assert target.attributes("thirdPartyId/U2") == {"tier": "new"}


class TestLifetime:
    def test_a_profile_is_gone_after_fourteen_idle_days(self, target):
        target.sandbox.put_profile("U1", {"a": "x"})
        target.clock.move(days=14)
        assert target.fetch("thirdPartyId/U1").status_code == 200
        target.clock.move(seconds=1)
        assert target.fetch("thirdPartyId/U1").status_code == 404
        assert counts(target.load(ONE_ROW, "v1")) == (1, 1, 0, 1, 0)

    def test_a_batch_does_not_prolong_it(self, target):
        target.sandbox.put_profile("U1", {"a": "x"})
        target.clock.move(days=10)
        target.load(ONE_ROW)
        target.clock.move(days=5)
        assert target.sandbox.profile("U1") is None

    def test_a_batch_may_prolong_it(self, target):
        target.sandbox.settings.batch_resets_idle_clock = True
        target.sandbox.put_profile("U1", {"a": "x"})
        target.clock.move(days=10)
        target.load(ONE_ROW)
        target.clock.move(days=5)
        assert target.sandbox.profile("U1") == {"a": "x", "tier": "gold"}

    def test_a_visit_prolongs_it(self, target):
        target.load(ONE_ROW)
        target.clock.move(days=10)
        target.deliver({"thirdPartyId": "U1"})
        target.clock.move(days=5)
        assert target.sandbox.profile("U1") == {"tier": "gold"}
