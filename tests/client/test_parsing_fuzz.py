"""Answers that are broken, hostile or strange: each is a result, another try, or an error of ours, and soon."""

from __future__ import annotations

import encodings.aliases
import json
import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_adobe_target.client import json_reader, parsing
from airflow_provider_adobe_target.client.batch import BatchStatus
from airflow_provider_adobe_target.client.endpoints.batch_status import parse_status_response
from airflow_provider_adobe_target.client.endpoints.bulk_update import parse_submit_response
from airflow_provider_adobe_target.client.endpoints.profile import parse_profile_response
from airflow_provider_adobe_target.client.parsing import (
    ResponseParseError,
    StatusResponse,
    parse_failed_ids,
    parse_json_object,
    parse_status,
    parse_submit,
)
from airflow_provider_adobe_target.client.profile import TargetProfile
from airflow_provider_adobe_target.client.protocol import STATUS_RESPONSE_LIMIT, Response
from airflow_provider_adobe_target.client.retry_policy import FailedAttempt, attempt_from_response
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import AdobeTargetError

EXAMPLES = settings.default.max_examples
TOKEN = "bbf8ae69-6e29-4b8e-b3d6-f7567723f5b0"
PERSON = "person-of-the-tests"
CONNECTION = TargetSettings.from_fields("acme", TOKEN, None, None, {})
COUNTERS = ("batchSize", "consumedCount", "successfulUpdates", "profilesNotFound", "failedUpdates")

SUBMITTED = (
    "<response><success>true</success><batchStatus>http://e.tt.omtrdc.net/m2/acme/profile/batchStatus?batchId=acme-1-1"
    "&amp;m2Node=00</batchStatus><message>Batch submitted for processing</message></response>"
)
COMPLETE = (
    "<response><batchId>acme-1-1</batchId><status>complete</status><batchSize>3</batchSize><consumedCount>3"
    "</consumedCount><successfulUpdates>2</successfulUpdates><profilesNotFound>0</profilesNotFound><failedUpdates>1"
    f"</failedUpdates><profile><id>{PERSON}</id><status>failed</status></profile></response>"
)
VALID = [
    SUBMITTED,
    COMPLETE,
    json.dumps({"success": True, "batchStatus": "http://e.tt.omtrdc.net/s?batchId=1", "message": "queued"}),
    json.dumps(
        {
            "response": {
                "status": "complete",
                **dict.fromkeys(COUNTERS, 3),
                "profile": [{"id": PERSON, "status": "failed"}],
            }
        }
    ),
    json.dumps({"status": 404, "message": f"No profile found for client: acme and thirdPartyId: {PERSON}"}),
    json.dumps({"thirdPartyId": PERSON, "profileAttributes": {"tier": {"value": "gold"}}}),
    f"<html><head><title>403</title></head><body>Bearer {TOKEN} is not welcome</body></html>",
    f"batch=thirdPartyId,tier\n{PERSON},gold",
]
PIECES = [
    *('<!DOCTYPE r [<!ENTITY a "aa">]>', "<!DOCTYPE r SYSTEM 'http://127.0.0.1:9/x.dtd'>", "&a;", "&#0;", "&#x110000;"),
    *("<![CDATA[", "]]>", "<!--", "-->", "<?x", "?>", "<", ">", "</response>", "<response>", "<status>stuck</status>"),
    *('xmlns:a="u"', "a:", "\0", "\ufeff", "\ud800", "\u0663", "{", "}", "[", "]", ":", ",", '"', "\\u0000", "null"),
    *("NaN", "-Infinity", "1e999", "-0", "9" * 13, "9" * 100_000, "<a>" * 100_000, "[" * 100_000, '{"a":' * 100_000),
    *('"status": "stuck",', '"profile": 7,', '"success": [true],', TOKEN),
]


@st.composite
def mutated(draw):
    """A valid answer, of which parts are taken out, doubled, turned over or put in."""
    body = draw(st.sampled_from(VALID)).encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        stop = min(len(body), start + draw(st.integers(0, 40)))
        match draw(st.sampled_from(["cut", "double", "flip", "insert", "end"])):
            case "cut":
                body = body[:start] + body[stop:]
            case "double":
                body = body[:stop] + body[start:]
            case "flip" if stop > start:
                body = body[:start] + bytes([body[start] ^ draw(st.integers(1, 255))]) + body[start + 1 :]
            case "insert":
                piece = draw(st.sampled_from(PIECES) | st.text(max_size=5)).encode("utf-8", "surrogatepass")
                body = body[:start] + piece + body[start:]
            case "end":
                body = body[:start]
    return body


ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "latin-1", "cp1252", "cp037"]
bodies = (
    st.binary(max_size=200)
    | mutated()
    | st.builds(lambda text, encoding: text.encode(encoding), st.sampled_from(VALID), st.sampled_from(ENCODINGS))
)
headers = st.dictionaries(
    st.sampled_from(["content-type", "retry-after", "location"]),
    st.text(max_size=9) | st.sampled_from(["text/html", "application/xml", "9" * 400, TOKEN]),
)
responses = st.builds(Response, st.sampled_from([200, 200, 200, 204, 302, 400, 404, 503]), headers, bodies)


@settings(max_examples=4 * EXAMPLES)
@given(responses)
def test_every_answer_is_a_result_another_try_or_an_error_of_ours(response):
    readers = {
        str: lambda: parse_submit_response(CONNECTION, response),
        (BatchStatus, FailedAttempt, type(None)): lambda: parse_status_response(CONNECTION, response, "acme-1-1"),
        (TargetProfile, type(None)): lambda: parse_profile_response(CONNECTION, response),
        (FailedAttempt, type(None)): lambda: attempt_from_response(response, 1_767_225_600.0),
    }
    for kinds, read in readers.items():
        try:
            result = read()
        except AdobeTargetError as error:
            result, kinds = str(error), object
            assert result.isprintable()
        assert isinstance(result, kinds)
        assert TOKEN not in repr(result)
        if kinds is not str:  # whose URL is Target's own, and must be shown
            assert PERSON not in repr(result) or "Response: " in repr(result)


@settings(max_examples=2 * EXAMPLES)
@given(st.binary(max_size=300) | mutated())
def test_every_body_is_read_or_unreadable(body):
    for parse in (parse_status, parse_submit, parse_json_object):
        try:
            answer = parse(body)
        except ResponseParseError:
            continue
        if isinstance(answer, StatusResponse) and answer.status is not None:
            counts = [getattr(answer.status, name) for name in ("batch_size", "failed_updates", "consumed_count")]
            assert all(count is None or 0 <= count < 10**12 for count in counts)


words = st.sampled_from(["complete", "incomplete", "stuck", "7", "07", "-7", "1.0", "", " ", "true", "\n 7 \n"])
fields = st.lists(st.tuples(st.sampled_from(["status", "success", *COUNTERS]), words), max_size=8)


def expected(pairs):
    """Return how a response with these fields must be parsed. None for unreadable."""
    values = {}
    for name, word in pairs:
        if values.setdefault(name, word.strip()) != word.strip():
            return None
    success = {"true": True, "false": False}.get(values.get("success", ""))
    word = values.get("status", "")
    if not word or word.isdigit():
        return StatusResponse(success, None)
    counts = [values.get(name) or None for name in COUNTERS]
    if not all(count is None or count.isdigit() for count in counts):
        return None
    return StatusResponse(success, BatchStatus(word, *(count and int(count) for count in counts)))


@given(fields)
def test_a_field_is_read_once_or_the_answer_is_unreadable(pairs):
    xml = "".join(f"<{name}>{word}</{name}>" for name, word in pairs)
    members = ", ".join(f"{json.dumps(name)}: {json.dumps(word.strip())}" for name, word in pairs)
    for text in (f"<response>{xml}</response>", f"{{{members}}}", f'{{"response": {{{members}}}}}'):
        try:
            read = parse_status(text.encode())
        except ResponseParseError:
            read = None
        assert read == expected(pairs)


@pytest.mark.parametrize(
    "body",
    [
        "<response><status>complete</status><status>stuck</status></response>",
        "<response><status>complete</status><batchSize>10</batchSize><batchSize>9</batchSize></response>",
        "<response><status>complete</status><batchSize>1<b/>0</batchSize></response>",
        "<response><status>complete</status><batchSize><b>9</b>10</batchSize></response>",
        '{"status": "complete", "status": "stuck"}',
        '{"response": {"status": "complete", "failedUpdates": 0, "failedUpdates": 9}}',
        '{"response": {"status": "complete"}, "response": {"status": "stuck"}}',
        '{"status": "complete", "profile": [{"status": "failed"}], "profile": []}',
    ],
)
def test_a_contradictory_response_has_no_status(body):
    with pytest.raises(ResponseParseError):
        parse_status(body.encode())


def test_a_listed_row_that_failed_and_did_not_has_failed():
    row = "<profile><status>failed</status><status>success</status></profile>"
    assert parse_status(f"<response><status>complete</status>{row}</response>".encode()).status.listed_failures == 1


@pytest.mark.parametrize("encoding", sorted({*ENCODINGS, *encodings.aliases.aliases.values()}))
def test_an_encoding_changes_nothing_or_makes_an_answer_unreadable(encoding):
    whole = [parse_status(text.encode()).status for text in (COMPLETE, VALID[3])]
    for text in (f'<?xml version="1.0" encoding="{encoding}"?>{COMPLETE}', COMPLETE, VALID[3]):
        for said, written in ((encoding, encoding), (encoding, "utf-8"), (encoding, "utf-16")):
            try:
                body = text.replace("@", said).encode(written)
            except (LookupError, UnicodeError):
                continue
            with suppress(ResponseParseError):
                assert parse_status(body).status in whole


def many(piece, bytes_in_all):
    return piece * (bytes_in_all // len(piece) + 1)


MIB = 1 << 20
BOMBS = {
    "attributes": lambda: b"<response " + b" ".join(b'a%d=""' % number for number in range(MIB)) + b"/>",
    "names": lambda: b"<response>" + b"".join(b"<a%d/>" % number for number in range(MIB)),
    "name spaces": lambda: b"<r " + b" ".join(b'xmlns:a%d="u"' % number for number in range(4_000)) + b"/>",
    "one tag": lambda: b"<response><a " + many(b"x", 16 * MIB),
    "one comment": lambda: b"<response><!--" + many(b"x", 16 * MIB) + b"--></response>",
    "nesting": lambda: many(b"<a>", 16 * MIB),
    "JSON lists": lambda: b'{"a":[' + many(b"[],", 16 * MIB) + b"0]}",
    "JSON objects": lambda: b'{"a":[' + many(b'{"a":0},', 16 * MIB) + b"0]}",
    "JSON numbers": lambda: b'{"a":[' + many(b"1000,", 16 * MIB) + b"0]}",
    "JSON nesting": lambda: b'{"a":' + many(b"[", 16 * MIB),
    "digits": lambda: b'{"status":"complete","batchSize":' + many(b"9", 16 * MIB) + b"}",
    "XML digits": lambda: b"<r><status>complete</status><batchSize>" + many(b"9", 16 * MIB) + b"</batchSize></r>",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_response_takes_long_or_much_memory(bomb):
    body = BOMBS[bomb]()
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(ResponseParseError):
            parse_status(body)
        seconds = time.process_time() - began
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < 2
    assert peak < 4 * len(body) + 4 * MIB


def test_more_elements_than_any_answer_has_are_not_read(monkeypatch):
    monkeypatch.setattr(parsing, "_MAX_PARTS", 1000)
    with pytest.raises(ResponseParseError):
        parse_status(b"<response><status>complete</status>" + b"<a/>" * 1000 + b"</response>")


def test_the_longest_answer_there_can_be_is_read():
    row = "<profile><id>12345678901234567890</id><status>success</status></profile>"
    body = f"<response><status>complete</status>{row * 499_999}</response>".encode()
    assert len(body) < STATUS_RESPONSE_LIMIT
    assert parse_status(body).status == BatchStatus("complete")


def test_the_longest_json_answer_there_can_be_is_read():
    row = b'{"id": "12345678901234567890-12345678901234567890", "status": "failed"}'
    body = b'{"status": "complete", "profile": [' + b", ".join([row] * 499_999) + b'], "batchSize": 499999}'
    assert 32 * MIB < len(body) < STATUS_RESPONSE_LIMIT
    tracemalloc.start()
    try:
        assert parse_status(body).status == BatchStatus("complete", 499_999, listed_failures=499_999)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def test_json_that_would_take_much_memory_is_refused():
    body = b'{"status": "complete", "a": "' + "😀".encode() * 5_000_000 + b'"}'
    tracemalloc.start()
    try:
        with pytest.raises(ResponseParseError):
            parse_status(body)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", [COMPLETE, VALID[3]])
def test_a_text_longer_than_any_is_refused(body):
    with pytest.raises(ResponseParseError):
        parse_status(body.replace("complete", "x" * MIB).encode())


@pytest.mark.parametrize("size", range(1, 40))
def test_json_is_read_the_same_at_any_block_boundary(monkeypatch, size):
    monkeypatch.setattr(json_reader, "_BLOCK_BYTES", size)
    monkeypatch.setattr(json_reader, "_MAX_VALUE_CHARACTERS", 100)
    rows = [{"id": f"Zürich 😀 {number}", "status": "failed"} for number in range(9)]
    text = json.dumps({"status": "complete", "batchSize": 12, "profile": rows}, ensure_ascii=False, indent=3)
    assert parse_status(text.encode()).status == BatchStatus("complete", 12, listed_failures=9)
    assert parse_failed_ids(text.encode()) == {row["id"] for row in rows}


@pytest.mark.parametrize(
    "text",
    [
        '{"status": "complete"',
        '{"status": "complete"} {}',
        '{"status": "complete",}',
        '{"status" "complete"}',
        '{1: "complete"}',
        '{"status": "complete", "profile": [{}',
        '{"status": "complete", "profile": [{},]}',
        '{"status": "complete", "profile": [{} {}]}',
        '{"status": "complete", "profile": {}, "profile": []}',
        '{"response": {"status": "complete"}, "response": {}}',
    ],
)
def test_json_that_is_malformed_is_refused(text):
    with pytest.raises(ResponseParseError):
        parse_status(text.encode())
