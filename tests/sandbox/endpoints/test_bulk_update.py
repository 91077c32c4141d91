"""Bulk updates of the sandbox against the documented behaviour of Adobe Target, over real sockets."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

import pytest
import requests

ONE_ROW = "batch=thirdPartyId,tier\nU1,gold"
TOKEN = {"Authorization": "Bearer secret"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


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

    def test_has_the_requested_host_in_the_status_url(self, target, read_fields):
        answer = target.submit(ONE_ROW, headers={**FORM, "Host": "localhost:8900"})
        assert urlsplit(read_fields(answer)["batchStatus"]).hostname == "localhost"

    def test_answers_the_status_at_the_client_host_only_if_configured(self, target):
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
    def test_without_a_batch_file_answers_200_with_success_false(self, target, read_fields, body):
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
