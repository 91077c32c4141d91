"""Connections with any JSON in any field: settings, or an error that names the field and no secret."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import ConnectionSettingsError

EXAMPLES = settings.default.max_examples
SECRET = "canary-5c1f"
FIELDS = ("login", "password", "host", "port", "schema", "extra")
EXTRA = ("uses_ecid", "calls_per_minute", "allowed_status_hosts", "timeout", "verify", "proxies", "property_token")
PLAIN: dict[str, Any] = {"login": "acme", "password": "token", "host": None, "port": None, "schema": None, "extra": {}}

texts = st.text(max_size=9) | st.sampled_from(
    [
        *(
            "true",
            "10, 300",
            "[1]",
            "[" * 5000,
            "{}",
            "9" * 5000,
            "1e999",
            "nan",
            "-1",
            "0x10",
            "\u0663",
            "\ud800",
            "\0",
        ),
        *(
            "http://127.0.0.1",
            "https://u:p@h",
            "[::1%eth0]",
            "[::",
            "a" * 300,
            "xn--e1afmkfd.example",
            "/",
            "//",
            "::1",
        ),
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.just("https"), inner, max_size=3),
    max_leaves=6,
)


def outcome(field: str, value: Any) -> str:
    """Return the settings, or the error, as text."""
    fields = {**PLAIN, "extra": {field: value}} if field in EXTRA else {**PLAIN, field: value}
    try:
        return repr(TargetSettings.from_fields(**fields))
    except ConnectionSettingsError as error:
        return str(error)


@pytest.mark.parametrize("field", [*FIELDS, *EXTRA])
@settings(max_examples=max(EXAMPLES // 2, 1))
@given(values)
@example("9" * 5000)
@example(int("9" * 4000) * 10**1000)
@example(float("nan"))
@example({"https": {"https": "\ud800"}})
@example([["10"], 300])
def test_any_value_makes_settings_or_an_error_that_names_the_field(field, value):
    names = {"port": ("host", "port"), "schema": ("host", "schema")}.get(field, (field,))
    said = outcome(field, value)
    assert said.startswith(("TargetSettings(", *names))
    assert said.isprintable()


wrapped = st.recursive(
    st.sampled_from(
        [
            *(SECRET, f"{SECRET} ", f"a {SECRET}", f"{SECRET}\n{SECRET}", f"{SECRET}\xe9", f"u:{SECRET}@p"),
            *(f"http://{SECRET}:{SECRET}@p:99999", f"http://u:{SECRET}@p:1", f"ftp://u:{SECRET}@p"),
            f'{{"https": "http://{SECRET}@a..b"}}',
        ]
    ),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2)
        | st.dictionaries(st.sampled_from(["https", "http", "all", "no_proxy", "ftp", SECRET]), inner, min_size=1)
    ),
    max_leaves=3,
)


@pytest.mark.parametrize("field", ["password", "property_token", "proxies", "host", "verify", "extra"])
@given(wrapped)
def test_no_error_and_no_repr_shows_what_a_secret_field_holds(field, value):
    found = outcome(field, value)
    if field not in ("host", "verify"):  # which are shown, but for a user part
        assert SECRET not in found
    assert f"{SECRET}@" not in found
