from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_adobe_target.client.batch import BatchStatus
from airflow_provider_adobe_target.client.parsing import (
    ResponseParseError,
    StatusResponse,
    SubmitResponse,
    excerpt,
    parse_json_object,
    parse_status,
    parse_submit,
    printable,
)

COMPLETE = BatchStatus("complete", 1, 1, 1, 0, 0)
DETAILS = """
<response>
    <batchId>demo4-1701473848678-13029383</batchId>
    <status>complete</status>
    <batchSize>1</batchSize>
    <consumedCount>1</consumedCount>
    <successfulUpdates>1</successfulUpdates>
    <profilesNotFound>0</profilesNotFound>
    <failedUpdates>0</failedUpdates>
</response>
"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (DETAILS, COMPLETE),
        ('<?xml version="1.0" encoding="UTF-8" standalone="yes"?>' + DETAILS.replace("\n", ""), COMPLETE),
        ("\ufeff" + DETAILS, COMPLETE),
        (
            DETAILS.replace("<response>", '<t:response xmlns:t="urn:x" xmlns="urn:y">').replace(
                "</response>", "</t:response>"
            ),
            COMPLETE,
        ),
        (DETAILS.replace("complete", " <![CDATA[complete]]>\n"), COMPLETE),
        (
            "<response><failedUpdates>0</failedUpdates><profilesNotFound>0</profilesNotFound><successfulUpdates>1"
            "</successfulUpdates><new><status>stuck</status></new><consumedCount>1</consumedCount><batchSize>1</batchSize>"
            "<status>complete</status></response>",
            COMPLETE,
        ),
        (
            "<response><status>complete</status><batchSize>1</batchSize></response>",
            BatchStatus("complete", 1),
        ),
        ("<response><status>complete</status></response>", BatchStatus("complete")),
        ("<response><status>complete</status><failedUpdates/></response>", BatchStatus("complete")),
        ("<response><status>thinking</status></response>", BatchStatus("thinking")),
        (
            "<response><status>complete</status><batchSize>164</batchSize><profile><id>PERSON</id><status>failed</status>"
            "</profile><profile><status>error</status><id>PERSON</id></profile><profile><id>PERSON</id><status>success"
            "</status></profile><profile/></response>",
            BatchStatus("complete", 164, listed_failures=2),
        ),
        (
            {
                "batchId": "x",
                "status": "complete",
                "batchSize": 1,
                "consumedCount": "1",
                "successfulUpdates": 1,
                "profilesNotFound": 0,
                "failedUpdates": 0,
            },
            COMPLETE,
        ),
        ({"response": {"status": "incomplete", "batchSize": None}}, BatchStatus("incomplete")),
        (
            {"status": "complete", "profile": {"id": "PERSON", "status": "failed"}},
            BatchStatus("complete", listed_failures=1),
        ),
        (
            {"status": "complete", "profile": [{"status": "error"}, {"status": "success"}, 5, None]},
            BatchStatus("complete", listed_failures=1),
        ),
    ],
)
def test_every_shape_of_a_status_is_read_by_name(body, expected):
    text = json.dumps(body) if isinstance(body, dict) else body
    answer = parse_status(text.encode())
    assert answer == StatusResponse(None, expected)
    assert "PERSON" not in repr(answer)


@pytest.mark.parametrize(
    "body",
    [
        "<response/>",
        "<response><status/></response>",
        "<response><success>false</success><message>unknown batch</message></response>",
        "<response><batch><status>complete</status></batch></response>",
        "<error>gone</error>",
        "{}",
        '{"status": 404, "message": "x"}',
        '{"status": null}',
    ],
)
def test_a_well_formed_answer_may_name_no_status(body):
    assert parse_status(body.encode()).status is None


@pytest.mark.parametrize(
    "body",
    [
        "",
        "complete",
        "null",
        "[]",
        "[{}]",
        "{",
        "{'status': 'complete'}",
        "<response><status>complete</status>",
        "<response><status>complete</status></response><response/>",
        "<!DOCTYPE html><html><body>Access denied</body></html>",
        "<html><body><status>complete</status></body></html>",
        '<HTML xmlns="http://www.w3.org/1999/xhtml"><status>complete</status></HTML>',
        "<html><p>one<br>two</html>",
        '<?xml version="1.0" encoding="no-such"?><response/>',
        "<!DOCTYPE r [<!ENTITY a 'aaaa'>]><response><status>&a;</status></response>",
        "<!DOCTYPE r SYSTEM 'file:///etc/passwd'><response><status>complete</status></response>",
        "<response><status>&undefined;</status></response>",
        "<a>" * 100_000,
        '{"a":' * 100_000,
        '{"status": "complete", "batchSize": ' + "9" * 5000 + "}",
        *(
            f"<response><status>complete</status><failedUpdates>{value}</failedUpdates></response>"
            for value in ("-1", "many", "1.5", "1e3", "1,000", "9" * 13, "NaN", "٣")
        ),
        '{"status": "complete", "failedUpdates": true}',
        '{"status": "complete", "failedUpdates": 1.0}',
        '{"status": "complete", "failedUpdates": [1]}',
        '{"status": "complete", "failedUpdates": -1}',
        '{"status": "complete", "failedUpdates": Infinity}',
    ],
)
def test_other_formats_and_invalid_counters_are_unreadable(body):
    with pytest.raises(ResponseParseError):
        parse_status(body.encode())


def test_an_entity_expansion_bomb_is_unreadable():
    entities = "".join(f"<!ENTITY a{n + 1} '{f'&a{n};' * 10}'>" for n in range(9))
    with pytest.raises(ResponseParseError):
        parse_status(f"<!DOCTYPE r [<!ENTITY a0 'ha'>{entities}]><response><status>&a9;</status></response>".encode())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "<response>\n <success>true</success>\n <batchStatus> http://e.tt.omtrdc.net/s?batchId=1&amp;m2Node=00\n"
            "</batchStatus><message>Batch submitted for processing</message></response>",
            SubmitResponse(True, "http://e.tt.omtrdc.net/s?batchId=1&m2Node=00", "Batch submitted for processing"),
        ),
        (
            "<response><message>Batch is \x7f\n\nempty</message><success>false</success></response>",
            SubmitResponse(False, "", "Batch is \x7f\n\nempty"),
        ),
        ("<response/>", SubmitResponse(None, "", "")),
        ("<response><success>perhaps</success></response>", SubmitResponse(None, "", "")),
        (
            '{"success": true, "batchStatus": "http://e/s?a=1&b=2", "message": null}',
            SubmitResponse(True, "http://e/s?a=1&b=2", ""),
        ),
        ('{"success": "false", "message": "\\ud800\\u0000no"}', SubmitResponse(False, "", "\ud800\x00no")),
    ],
)
def test_every_shape_of_a_submit_answer_is_read_by_name(body, expected):
    assert parse_submit(body.encode()) == expected


def test_an_excerpt_is_the_visible_text_and_never_what_was_sent():
    page = b"<html><head><style>p {}</style></head><body><p>Access\n denied</p>\x07</body></html>"
    assert printable(excerpt(page)) == "Access denied"
    assert excerpt(b"you sent batch=thirdPartyId,x U1,secret") == ""


def test_half_a_million_listed_rows_are_counted_without_a_tree():
    row = "<profile><id>1000000000000-100000.01</id><status>failed</status></profile>"
    body = f"<response><status>complete</status>{row * 50_000}</response>".encode()
    assert parse_status(body).status == BatchStatus("complete", listed_failures=50_000)


_NAMES = [
    "response",
    "status",
    "batchSize",
    "failedUpdates",
    "profile",
    "success",
    "batchStatus",
    "message",
    "html",
    "x:y",
]
_XML = st.recursive(
    st.text(max_size=5)
    | st.sampled_from(["complete", "incomplete", "true", "7", "-7", "9" * 40, "&amp;", "&a;", "<![CDATA["]),
    lambda inner: st.builds(
        lambda name, parts: f"<{name}>{''.join(parts)}</{name}>",
        st.sampled_from(_NAMES),
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["complete", "7"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_NAMES), inner),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(
    st.binary()
    | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
    | _XML.map(lambda text: f"<response>{text}</response>".encode("utf-8", "surrogatepass"))
    | st.dictionaries(st.sampled_from(_NAMES), _JSON).map(lambda value: json.dumps(value).encode())
)
def test_no_answer_brings_anything_but_a_result_or_our_error(body):
    for parse in (parse_status, parse_submit, parse_json_object):
        try:
            answer = parse(body)
        except ResponseParseError:
            continue
        if isinstance(answer, StatusResponse) and answer.status:
            assert answer.status.status.isprintable()
    assert printable(excerpt(body)).isprintable()


@given(st.text())
def test_printable_text_is_one_short_line(text):
    line = printable(text, 10)
    assert line.isprintable()
    assert len(line) <= 10
