"""The Admin API of the sandbox against the documented behaviour of Adobe, over real sockets."""

from __future__ import annotations

import json
import uuid
from datetime import datetime

import pytest
import requests

from support.sandbox_client import Ims

MEDIA_TYPE = "application/vnd.adobe.target.v1+json"


class Admin:
    def __init__(self, target, ims: Ims) -> None:
        self.url = target.sandbox.url
        self.headers = {"Authorization": f"Bearer {ims.token()}", "X-Api-Key": "id"}

    def call(self, method: str, *, tenant="acmeinc", scope="profile_api", parameter="authorizationScope", **headers):
        kind = "Accept" if method == "GET" else "Content-Type"
        sent = {**self.headers, kind: MEDIA_TYPE, **{name.replace("_", "-"): v for name, v in headers.items()}}
        url = f"{self.url}/{tenant}/target/authentication/token"
        sent = {name: value for name, value in sent.items() if value is not None}
        return requests.request(method, url, params={parameter: scope}, headers=sent, timeout=10)

    def read(self, **options) -> requests.Response:
        return self.call("GET", **options)

    def make(self, **options) -> requests.Response:
        return self.call("POST", **options)

    def settings(self) -> dict:
        return requests.get(f"{self.url}/acmeinc/target/clients/settings", headers=self.headers, timeout=10).json()


@pytest.fixture
def admin(target, ims) -> Admin:
    return Admin(target, ims)


def fetch_status(target, token: str) -> int:
    return target.fetch("1", headers={"Authorization": f"Bearer {token}"}).status_code


class TestAccessToAdmin:
    def test_needs_a_token_of_ims(self, admin):
        for wrong in (None, "Bearer eyJother", admin.headers["Authorization"].removeprefix("Bearer ")):
            assert admin.read(Authorization=wrong).status_code == 401

    def test_ends_when_the_token_does(self, target, admin):
        target.sandbox.settings.token = "secret"
        target.clock.move(seconds=86_398)
        assert admin.read().status_code == 200
        target.clock.move(seconds=1)
        assert admin.read().status_code == 401

    def test_needs_the_client_id_of_the_token_as_api_key(self, admin):
        assert admin.make(X_Api_Key=None).status_code == 401
        assert admin.make(X_Api_Key="other").status_code == 401
        assert admin.make().status_code == 201

    def test_is_by_tenant_and_not_by_client_code(self, admin):
        answer = admin.make(tenant="acme")
        content = answer.json()
        assert (answer.status_code, content["httpStatus"]) == (404, 404)
        assert str(uuid.UUID(content["requestId"])) == content["requestId"]
        assert [error["message"] for error in content["errors"]] == ["Unknown tenant"]

    def test_counts_as_one_of_fifty_calls_per_minute(self, target, admin):
        target.sandbox.settings.calls_per_minute = 2
        target.sandbox.settings.require_token = False
        assert [admin.make().status_code, admin.read().status_code, admin.read().status_code] == [201, 200, 503]
        assert target.submit("batch=thirdPartyId,a\n1,x").status_code == 503

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_accepts_version_one_which_is_the_default(self, target, admin, method):
        target.sandbox.settings.token = "secret"
        name = "Accept" if method == "GET" else "Content_Type"
        assert admin.call(method, **{name: "application/json"}).status_code in (200, 201)
        assert admin.call(method, **{name: "application/vnd.adobe.target.v9+json"}).status_code == 406

    def test_refusals_have_the_errors_of_the_admin_api(self, target, admin):
        answer = admin.read(scope="other")
        content = answer.json()
        assert (answer.status_code, content["httpStatus"]) == (400, 400)
        assert answer.headers["Content-Type"] == MEDIA_TYPE
        assert content["requestId"]
        assert datetime.fromisoformat(content["requestTime"]).timestamp() == target.clock.now
        assert set(content["errors"][0]) == {"errorCode", "message", "meta"}


class TestProfileToken:
    def test_that_exists_is_read_with_what_is_left_of_its_life(self, target, admin):
        target.sandbox.settings.token = "secret"
        target.clock.move(seconds=99)
        answer = admin.read()
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, MEDIA_TYPE)
        assert answer.json() == {
            "accessToken": "secret",
            "tokenType": "bearer",
            "scope": "profile_api",
            "expiresIn": 7_775_900,
        }

    def test_may_be_read_with_all_of_its_life(self, target, admin):
        target.sandbox.settings.expires_in = "original"
        admin.make()
        target.clock.move(seconds=99)
        assert admin.read().json()["expiresIn"] == 7_775_999

    def test_is_made_by_post_and_then_read_by_get(self, admin):
        made = admin.make()
        assert (made.status_code, made.json()["expiresIn"]) == (201, 7_775_999)
        assert admin.read().json() == made.json()
        assert admin.make().json()["accessToken"] != made.json()["accessToken"]

    @pytest.mark.parametrize("status", [403, 401])
    def test_that_is_made_ends_the_one_before(self, target, admin, status):
        target.sandbox.reset(token="old", missing_token_status=status)
        fresh = Admin(target, Ims(target))
        assert fetch_status(target, "old") == 404
        new = fresh.make().json()["accessToken"]
        assert (fetch_status(target, "old"), fetch_status(target, new)) == (status, 404)
        assert target.submit("batch=thirdPartyId,a\n1,x").status_code == status

    def test_that_is_made_may_leave_the_one_before(self, target, admin):
        target.sandbox.settings.token = "old"
        target.sandbox.settings.rotation_invalidates = False
        new = admin.make().json()["accessToken"]
        assert (fetch_status(target, "old"), fetch_status(target, new)) == (404, 404)
        target.clock.move(seconds=7_775_999)
        assert (fetch_status(target, "old"), fetch_status(target, new)) == (403, 403)

    def test_that_is_only_read_stays_as_it_is(self, target, admin):
        target.sandbox.settings.token = "secret"
        admin.read()
        assert target.sandbox.settings.token == "secret"
        assert fetch_status(target, "secret") == 404

    def test_ends_by_the_clock(self, target, admin):
        target.sandbox.settings.token_seconds = 60
        token = admin.make().json()["accessToken"]
        assert fetch_status(target, token) == 404
        target.clock.move(seconds=60)
        assert fetch_status(target, token) == 403
        assert admin.read().status_code == 404

    def test_that_does_not_exist_is_404_or_empty(self, target, admin):
        assert admin.read().status_code == 404
        target.sandbox.settings.no_token_status = 200
        answer = admin.read()
        assert (answer.status_code, answer.json()["accessToken"]) == (200, "")

    def test_is_another_than_the_debuggers_which_opens_no_profile(self, target, admin):
        target.sandbox.settings.token = "secret"
        made = admin.make(scope="debug_tools").json()
        assert (made["scope"], made["expiresIn"]) == ("debug_tools", 21_599)
        assert (fetch_status(target, made["accessToken"]), fetch_status(target, "secret")) == (403, 404)
        assert admin.read(scope="debug_tools").json() == made

    def test_is_requested_by_authorization_scope_or_by_scope(self, target, admin):
        assert admin.make(parameter="scope").status_code == 400
        target.sandbox.settings.token_scope_parameter = "scope"
        assert admin.make(parameter="scope").status_code == 201

    def test_is_required_unless_the_settings_turn_it_off(self, target, admin):
        assert admin.settings()["enableProfileApiAuthentication"] is False
        admin.make()
        assert admin.settings()["enableProfileApiAuthentication"] is True
        assert fetch_status(target, "other") == 403
        target.sandbox.settings.require_token = False
        assert admin.settings()["enableProfileApiAuthentication"] is False
        assert fetch_status(target, "other") == 404


@pytest.mark.parametrize("path", ["/", "/state.json"])
def test_no_token_and_no_secret_is_on_the_page(target, path):
    target.sandbox.reset(client_secret="client-secret", client_id="id")
    ims = Ims(target)
    given = ims.ask(client_secret="client-secret").json()["access_token"]
    ims.token = lambda: given
    made = Admin(target, ims).make().json()["accessToken"]
    text = requests.get(target.sandbox.url + path, timeout=10).text
    assert not [secret for secret in (given, made, "client-secret") if secret in text]
    assert "client_secret" in text
    settings = requests.get(target.sandbox.url + "/state.json", timeout=10).json()["settings"]
    assert json.dumps(settings).count('"set"') == 2
