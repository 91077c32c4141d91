"""Whatever bytes a client sends, the sandbox answers as Adobe Target would: it never breaks down."""

from __future__ import annotations

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_adobe_target.sandbox import Sandbox

EXAMPLES = max(settings.default.max_examples // 5, 1)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(calls_per_minute=None, processing_seconds=0) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        yield session


pieces = st.sampled_from(
    [
        *(b"batch=", b"thirdPartyId", b"pcId", b"mbox3rdPartyId", b"mboxPC=", b"profile.a=", b"U1", b"a" * 5000),
        *(b",", b"\n", b"\r", b"%", b"%FF", b"%00", b"+", b"&", b"=", b'"', b"<", b"&amp;"),
        *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80"),
    ]
)
bodies = st.binary(max_size=100) | st.lists(pieces, max_size=12).map(b"".join)
bodies |= bodies.map(lambda body: b"batch=thirdPartyId,tier\n" + body)


@settings(max_examples=EXAMPLES)
@given(body=bodies, path=st.sampled_from(["v2/profile/batchUpdate", "profile/batchUpdate", "profile/update"]))
def test_no_body_breaks_the_sandbox(body, path, sandbox, session):
    answer = session.post(f"{sandbox.url}/m2/acme/{path}", data=body, headers=FORM, timeout=10)
    assert answer.status_code < 500
    for batch in sandbox.batches[-1:]:
        status = session.get(
            f"{sandbox.url}/m2/acme/profile/batchStatus", params={"batchId": batch.batch_id, "showDetails": "true"}
        )
        assert status.status_code < 500


@settings(max_examples=EXAMPLES)
@given(
    segment=st.text(max_size=20),
    query=st.dictionaries(st.sampled_from(["client", "batchId", "x"]), st.text(max_size=9)),
)
def test_no_address_breaks_the_sandbox(segment, query, sandbox, session):
    for path in ("rest/v1/profiles", "rest/v1/profiles/thirdPartyId", "m2/acme", "m2/acme/profile", "rest/v1/delivery"):
        url = f"{sandbox.url}/{path}/{requests.utils.quote(segment, safe='')}"
        assert session.get(url, params=query, timeout=10).status_code < 500


@settings(max_examples=EXAMPLES)
@given(body=st.binary(max_size=60) | st.recursive(st.just("1"), lambda inner: st.lists(inner).map(str)).map(str.encode))
def test_no_delivery_call_breaks_the_sandbox(body, sandbox, session):
    for content in (body, b'{"id": {"thirdPartyId": "U1"}, "execute": ' + body + b"}"):
        answer = session.post(
            f"{sandbox.url}/rest/v1/delivery",
            params={"client": "acme", "sessionId": "s"},
            data=content,
            headers={"Content-Type": "application/json"},
            timeout=10,
        )
        assert answer.status_code < 500
