from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import quote

import pytest
import requests

from airflow_provider_adobe_target.sandbox import Answer

HOSTILE = "\"'><script>alert(1)</script>&amp;<img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """All element names and attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def get(target, path: str, **parameters: str) -> requests.Response:
    return requests.get(target.sandbox.url + path, params=parameters, timeout=10)


def test_it_shows_batches_calls_and_settings(target):
    target.submit("batch=thirdPartyId,tier\nU1,gold")
    target.sandbox.script("submit", Answer(reset="after"))
    with pytest.raises(requests.ConnectionError):
        target.submit("batch=thirdPartyId,tier\nU1,gold\nU1,silver")
    shown = Elements(get(target, "/").text).text
    for expected in (
        target.sandbox.batches[0].batch_id,
        "complete",
        "broken off",
        "In all: submit 2.",
        "decode_order",
        "repeats ids",
    ):
        assert expected in shown


def test_it_shows_where_each_attribute_of_a_profile_came_from(target):
    target.sandbox.put_profile("U1", {"seen": "1"})
    target.load("batch=thirdPartyId,tier\nU1,gold")
    target.update("mbox3rdPartyId=U1&profile.phone=2")
    target.deliver({"thirdPartyId": "U1"}, {"shoe": "42"})
    profile = get(target, "/state.json", id_type="thirdPartyId", id="U1").json()["profile"]
    origins = {entry["name"]: (entry["value"], entry["origin"]) for entry in profile["attributes"]}
    assert origins == {
        "seen": ("1", "visitor"),
        "tier": ("gold", target.sandbox.batches[0].batch_id),
        "phone": ("2", "single update"),
        "shoe": ("42", "delivery"),
    }
    shown = Elements(get(target, "/", id_type="thirdPartyId", id="U1").text).text
    assert all(part in shown for origin in origins.values() for part in origin)


def test_it_escapes_every_value(target):
    text = quote(HOSTILE, safe="")
    target.submit(f"batch=pcId,{text}\n{text},{text}")
    target.update(f"mboxPC={text}")
    page = get(target, "/", id_type=HOSTILE, id=HOSTILE).text
    page += get(target, "/", id_type="pcId", id=HOSTILE).text
    elements = Elements(page)
    assert not elements.names & {"script", "img"}
    assert "onerror" not in elements.attributes
    assert HOSTILE in elements.text


def test_it_loads_nothing_from_elsewhere(target):
    answer = get(target, "/")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "http://" not in answer.text.replace(target.sandbox.url, "")
    assert "https://" not in answer.text


@pytest.mark.parametrize("path", ["/", "/state.json"])
def test_it_never_shows_a_token(target, path):
    target.sandbox.settings.token = "secret-token"
    target.fetch("1", headers={"Authorization": "Bearer secret-token"})
    target.fetch("1", headers={"Authorization": "Bearer wrong-token"})
    text = get(target, path).text
    assert "secret-token" not in text
    assert "wrong-token" not in text
    assert get(target, "/state.json").json()["settings"]["token"] == "set"


def test_looking_at_it_is_no_call_to_target(target):
    target.sandbox.settings.calls_per_minute = 1
    for _ in range(3):
        assert get(target, "/").status_code == 200
    assert get(target, "/state.json").json()["calls"] == []


def test_an_unknown_profile_is_said_to_be_unknown(target):
    assert "no such profile" in get(target, "/", id="U9").text


def test_it_can_only_be_read(target):
    assert requests.post(target.sandbox.url, timeout=10).status_code == 405
