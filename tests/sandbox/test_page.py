from __future__ import annotations

import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
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
        "interrupted",
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


def test_it_loads_nothing_from_other_hosts(target):
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


def test_an_unknown_profile_is_shown_as_unknown(target):
    assert "This profile does not exist" in get(target, "/", id="U9").text


def test_it_can_only_be_read(target):
    assert requests.post(target.sandbox.url, timeout=10).status_code == 405
    assert requests.get(target.sandbox.url + "/reset", timeout=10).status_code == 405


def test_it_can_be_reset_to_its_settings(target):
    target.sandbox.settings.refuse_status = 400
    target.load("batch=thirdPartyId,tier\nU1,gold")
    target.sandbox.script("fetch", Answer(500))
    answer = requests.post(target.sandbox.url + "/reset", timeout=10)
    assert answer.history[0].status_code == 303
    state = get(target, "/state.json", id="U1").json()
    assert (state["batches"], state["calls"], state["call_counts"], state["profile_count"]) == ([], [], {}, 0)
    assert not state["profile"]["is_known"]
    assert (target.sandbox.settings.refuse_status, target.sandbox.settings.processing_seconds) == (400, 0)
    assert target.fetch("thirdPartyId/U1").status_code == 404


@pytest.mark.parametrize(
    ("origin", "status"), [("https://elsewhere.example", 403), ("null", 403), ("http://127.0.0.1:1", 403), (None, 303)]
)
def test_pages_of_other_sites_cannot_reset_it(target, origin, status):
    target.submit("batch=thirdPartyId,tier\nU1,gold")
    headers = {"Origin": origin or target.sandbox.url}
    answer = requests.post(target.sandbox.url + "/reset", headers=headers, allow_redirects=False, timeout=10)
    assert answer.status_code == status
    assert len(target.sandbox.batches) == (status == 403)


def test_a_reset_closes_the_calls_of_a_session(target):
    target.sandbox.settings.session_concurrency = 1
    target.sandbox.script("delivery", Answer.real(delay=0.5))
    with ThreadPoolExecutor(1) as threads:
        open_call = threads.submit(target.deliver, {"thirdPartyId": "U1"}, {"tier": "gold"})
        while target.sandbox.profile("U1") is None:
            time.sleep(0.01)
        target.sandbox.reset(session_concurrency=1)
        assert target.deliver().status_code == 200
        open_call.result()


WIDTHS = {"desktop": "1280,800", "phone": "412,800"}


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", WIDTHS)
def test_no_browser_breaks_a_word_of_a_status(target, tmp_path, width):
    target.load("batch=thirdPartyId,tier\nU1,gold")
    browser = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={tmp_path}", f"--window-size={WIDTHS[width]}", "--dump-dom"),
            _probe(tmp_path, get(target, "/").text),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = {word: int(count) for word, count in re.findall(r"\[(\w+) (\d+)\]", browser.stdout)}
    assert lines == {"complete": 1, "submit": 1, "decode_order": 1, "version": 1}


def _probe(folder, page: str) -> str:
    """Save the page with a script that counts the lines of each word's cell, and return its address."""
    script = """<script>for (const cell of document.querySelectorAll("td, th")) {
      const range = document.createRange(); range.selectNodeContents(cell);
      const word = cell.textContent;
      if (["complete", "submit", "decode_order", "version"].includes(word)) document.body.append(
        `[${word} ${new Set([...range.getClientRects()].map((line) => line.top)).size}]`) }</script>"""
    file = folder / "page.html"
    file.write_text(page.replace("</body>", script + "</body>"))
    return file.as_uri()
