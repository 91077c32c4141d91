"""Calls to the sandbox, written without the client of this package, so that the tests share no code with it."""

from __future__ import annotations

from dataclasses import dataclass

import requests
from defusedxml import ElementTree

from airflow_provider_adobe_target.sandbox import Sandbox

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SCOPES = "openid,AdobeID,read_organizations,additional_info.projectedProductContext,target_sdk"

COUNTERS = ("batchSize", "consumedCount", "successfulUpdates", "profilesNotFound", "failedUpdates")


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
    """Call the endpoints as a client does."""

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


class Ims:
    def __init__(self, target) -> None:
        self.url = f"{target.sandbox.url}/ims/token/v3"

    def ask(self, **changes: str | None) -> requests.Response:
        form = {"client_id": "id", "client_secret": "s", "grant_type": "client_credentials", "scope": SCOPES, **changes}
        return requests.post(self.url, data={name: v for name, v in form.items() if v is not None}, timeout=10)

    def token(self) -> str:
        return self.ask().json()["access_token"]


def fields(answer: requests.Response) -> dict[str, str]:
    return {child.tag: child.text or "" for child in ElementTree.fromstring(answer.text)}


def counts(status: dict[str, str]) -> tuple[int, ...]:
    return tuple(int(status[name]) for name in COUNTERS)
