"""Single updates and profile fetches of the sandbox, over real sockets."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

import pytest

ONE_ROW = "batch=thirdPartyId,tier\nU1,gold"
TOKEN = {"Authorization": "Bearer secret"}


class TestSingleUpdate:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_writes_prefixed_attributes_of_a_known_profile(self, target, read_fields, method):
        target.sandbox.put_profile("U1", {})
        answer = target.update("mbox3rdPartyId=U1&profile.tier=gold&profile.city=New%20York&other=x", method)
        assert target.sandbox.profile("U1") == {"tier": "gold", "city": "New York"}
        told = {"success": "true", "pcId": "", "message": "Request successfully submitted"}
        assert read_fields(answer) == told

    def test_finds_a_profile_by_target_id(self, target):
        target.sandbox.put_profile("1.28_0", {}, "pcId")
        target.update("mboxPC=1.28_0&profile.tier=gold")
        assert target.sandbox.profile("1.28_0", "pcId") == {"tier": "gold"}

    def test_takes_pairs_from_the_form_body_after_those_of_the_query(self, target):
        target.sandbox.put_profile("U1", {})
        target.update("mbox3rdPartyId=U1&profile.a=query", data={"profile.a": "body", "profile.b": "body"})
        assert target.sandbox.profile("U1") == {"a": "query", "b": "body"}

    def test_of_an_unknown_profile_succeeds_and_writes_nothing(self, target, read_fields):
        assert read_fields(target.update("mbox3rdPartyId=U9&profile.tier=gold"))["success"] == "true"
        assert target.sandbox.profile("U9") is None

    @pytest.mark.parametrize("profile_id", ["U/1", "U+1"])
    def test_of_a_customer_id_that_adobe_forbids_writes_nothing(self, target, read_fields, profile_id):
        target.sandbox.put_profile(profile_id, {"seen": "yes"})
        target.sandbox.put_profile(profile_id, {}, "pcId")
        query = quote(profile_id, safe="")
        assert read_fields(target.update(f"mbox3rdPartyId={query}&profile.tier=gold"))["success"] == "true"
        assert target.sandbox.profile(profile_id) == {"seen": "yes"}
        target.update(f"mboxPC={query}&profile.tier=gold")
        assert target.sandbox.profile(profile_id, "pcId") == {"tier": "gold"}

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
    def test_returns_names_without_prefix_values_as_text_and_times(self, target):
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

    def test_finds_a_profile_by_each_of_its_ids(self, target):
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
