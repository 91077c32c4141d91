"""``adobe-target conn``."""

from __future__ import annotations

import pytest


def test_a_working_connection_ends_with_exit_code_0(call, sandbox):
    outcome = call("conn", "test", "--json", code=0)
    assert outcome.json["works"] is True
    assert outcome.json["base_url"] == sandbox.url
    assert "token is valid" in call("conn", "test", code=0).out


def test_a_wrong_token_ends_with_exit_code_1(call, environment):
    environment.setenv("ADOBE_TARGET_TOKEN", "another-token")
    outcome = call("conn", "test", "--json", code=1)
    assert outcome.json["works"] is False
    assert "another-token" not in outcome.out


def test_an_unreachable_host_ends_with_exit_code_1(call, environment):
    environment.setenv("ADOBE_TARGET_HOST", "http://127.0.0.1:1")
    assert "127.0.0.1" in call("conn", "test", "--json", code=1).json["message"]


@pytest.mark.parametrize("client_code", ["", "two words", "a/b"])
def test_an_invalid_client_code_ends_with_exit_code_2(call, environment, client_code):
    environment.setenv("ADOBE_TARGET_CLIENT_CODE", client_code)
    call("conn", "test", code=2)
