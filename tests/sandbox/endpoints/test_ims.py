"""The IMS token endpoint of the sandbox against the documented behaviour of Adobe, over real sockets."""

from __future__ import annotations

import pytest
import requests


class TestIms:
    def test_returns_a_bearer_token_with_its_lifetime_in_seconds(self, ims):
        answer = ims.ask()
        content = answer.json()
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json;charset=UTF-8")
        assert content.pop("access_token").startswith("eyJ")
        assert content == {"token_type": "bearer", "expires_in": 86_399}

    def test_must_be_a_post_of_a_form(self, ims):
        assert requests.get(ims.url, timeout=10).status_code == 405
        answer = requests.post(ims.url, json={"client_id": "id"}, timeout=10)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"grant_type": None}, "unsupported_grant_type"),
            ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
            ({"client_id": None}, "invalid_client"),
            ({"client_secret": ""}, "invalid_client"),
            ({"scope": None}, "invalid_scope"),
        ],
    )
    def test_refuses_what_is_missing_with_400_and_an_error(self, ims, changes, error):
        answer = ims.ask(**changes)
        assert (answer.status_code, answer.json()["error"]) == (400, error)
        assert answer.json()["error_description"]

    @pytest.mark.parametrize("status", [400, 401])
    def test_refuses_a_wrong_client_where_one_is_set(self, target, ims, status):
        target.sandbox.reset(client_id="id", client_secret="s", ims_refuse_status=status)
        assert ims.ask().status_code == 200
        for changes in ({"client_id": "other"}, {"client_secret": "other"}):
            answer = ims.ask(**changes)
            assert (answer.status_code, answer.json()["error"]) == (status, "invalid_client")

    def test_throttles_too_many_token_requests(self, target, ims):
        target.sandbox.settings.ims_tokens_per_minute = 2
        answers = [ims.ask() for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        target.clock.move(seconds=int(answers[2].headers["Retry-After"]))
        assert ims.ask().status_code == 200

    def test_does_not_count_as_one_of_fifty_calls_per_minute(self, target, ims):
        target.sandbox.settings.calls_per_minute = 1
        assert [ims.ask().status_code for _ in range(3)] == [200] * 3
        assert target.submit("batch=thirdPartyId,a\n1,x").status_code == 200
