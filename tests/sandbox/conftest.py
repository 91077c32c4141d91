from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import requests
from defusedxml import ElementTree

from airflow_provider_adobe_target.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def move(self, *, seconds: float = 0, days: float = 0) -> None:
        self.now += seconds + days * 86_400


@dataclass
class Target:
    """The calls a client makes, written down once more so that the tests share no line with the client."""

    sandbox: Sandbox
    clock: Clock

    def submit(self, body: str | bytes, version: str = "v2", **options) -> requests.Response:
        part = "" if version == "v1" else "v2/"
        data = body.encode() if isinstance(body, str) else body
        options.setdefault("headers", FORM)
        return requests.post(f"{self.sandbox.url}/m2/acme/{part}profile/batchUpdate", data=data, timeout=10, **options)

    def status_url(self, body: str | bytes, version: str = "v2") -> str:
        return fields(self.submit(body, version))["batchStatus"]

    def status(self, url: str, *, details: bool = True) -> requests.Response:
        return requests.get(url + ("&showDetails=true" if details else ""), timeout=10)

    def load(self, body: str | bytes, version: str = "v2") -> dict[str, str]:
        return fields(self.status(self.status_url(body, version)))

    def fetch(self, path: str, client: str = "acme", **options) -> requests.Response:
        url = f"{self.sandbox.url}/rest/v1/profiles/{path}"
        return requests.get(url, params={"client": client}, timeout=10, **options)

    def attributes(self, path: str) -> dict[str, str]:
        found = self.fetch(path).json()["profileAttributes"]
        return {name: attribute["value"] for name, attribute in found.items()}

    def update(self, query: str, method: str = "POST", client: str = "acme", **options) -> requests.Response:
        url = f"{self.sandbox.url}/m2/{client}/profile/update?{query}"
        return requests.request(method, url, timeout=10, **options)

    def deliver(self, ids: dict | None = None, values: dict | None = None, **changes) -> requests.Response:
        mbox = {"index": 0, "name": "warehouse-link", "profileParameters": values or {}}
        body = {"context": {"channel": "web"}, "id": ids or {}, "execute": {"mboxes": [mbox]}, **changes}
        return self.deliver_body(body)

    def deliver_body(self, body: object, session: str = "s1", client: str = "acme") -> requests.Response:
        url = f"{self.sandbox.url}/rest/v1/delivery"
        return requests.post(url, params={"client": client, "sessionId": session}, json=body, timeout=10)


def fields(answer: requests.Response) -> dict[str, str]:
    return {child.tag: child.text or "" for child in ElementTree.fromstring(answer.text)}


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Sandbox, Clock]]:
    clock = Clock()
    with Sandbox(clock=clock) as sandbox:
        yield sandbox, clock


@pytest.fixture
def target(running: tuple[Sandbox, Clock]) -> Target:
    sandbox, clock = running
    sandbox.reset(processing_seconds=0)
    return Target(sandbox, clock)


@pytest.fixture
def sandbox(target: Target) -> Sandbox:
    return target.sandbox


@pytest.fixture
def clock(target: Target) -> Clock:
    return target.clock


@pytest.fixture
def read_fields() -> Callable[[requests.Response], dict[str, str]]:
    return fields
