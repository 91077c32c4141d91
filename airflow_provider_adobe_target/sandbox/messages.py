"""What the sandbox answers, as plain values, and what it recorded of a call."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

Route = Literal[
    "submit",
    "status",
    "single",
    "fetch",
    "delivery",
    "ims",
    "admin",
    "interact",
    "collect",
    "page",
    "state",
    "reset",
    "unknown",
]
Moment = Literal["arrived", "handled", "ended"]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, or one way to break off.

    :param status: HTTP status.
    :param body: the body, as text or bytes.
    :param headers: further headers, which also replace those that are made; an empty value sends none.
    :param content_type: the ``Content-Type``; empty sends none.
    :param delay: seconds to wait before the answer is sent (after the call was processed).
    :param reset: break the TCP connection instead of answering: ``"before"`` the body is read, ``"in"`` the
        middle of it, or ``"after"`` the call was really processed, so that only its acknowledgement is lost.
    :param cut: send so many bytes of the body only, under the ``Content-Length`` of all of it, and close.
    :param drip: seconds between two bytes of the body; 0 sends it as a whole.
    :param is_real: let the real handling make the answer; see :meth:`real`.
    :param is_processed: process the call, but give this answer all the same, as a gateway that lost patience does.
    :param settings: settings of the sandbox that hold for this one call, by name.
    """

    status: int = 200
    body: str | bytes = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/xml;charset=UTF-8"
    delay: float = 0.0
    reset: Literal["before", "in", "after"] | None = None
    cut: int | None = None
    drip: float = 0.0
    is_real: bool = False
    is_processed: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def real(
        cls,
        *,
        delay: float = 0.0,
        cut: int | None = None,
        drip: float = 0.0,
        reset: Literal["before", "in", "after"] | None = None,
        headers: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Answer:
        """Let a call through to the real handling, if wanted with a late, slow, cut or lost answer, or other settings.

        Headers are added to those of the real answer.
        """
        return cls(delay=delay, cut=cut, drip=drip, reset=reset, headers=headers or {}, is_real=True, settings=settings)

    @property
    def payload(self) -> bytes:
        """The body as bytes, text in UTF-8."""
        return self.body.encode() if isinstance(self.body, str) else self.body


@dataclass
class Call:
    """One call that came in.

    :param route: what was called.
    :param method: HTTP method.
    :param raw_path: the path as sent, percent-encoded.
    :param query: the query string as sent, without ``?``.
    :param headers: the request headers with the ``Authorization`` value, looked up in any letter case.
    :param body: the body, as far as it was read.
    :param at: when it came, in seconds since the epoch by the sandbox's clock.
    :param port: the port that it came to.
    :param status: the HTTP status of the answer; None before it, and where the connection was broken, or the caller
        had gone.
    :param is_acknowledged: whether the answer was the real one, and went out whole.
    """

    route: Route
    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at: float
    port: int
    status: int | None = None
    is_acknowledged: bool = False

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        return unquote(self.raw_path)

    @property
    def host(self) -> str:
        """The ``Host`` header."""
        return self.headers.get("host", "")

    @property
    def body_bytes(self) -> int:
        """The size of the body."""
        return len(self.body)

    @property
    def segments(self) -> list[str]:
        """The segments of the path, percent-decoded after splitting."""
        return [unquote(segment) for segment in self.raw_path.split("/")[1:]]

    def parameter(self, name: str) -> str | None:
        """Return the first query parameter of a name, or None."""
        return dict(reversed(parse_qsl(self.query, keep_blank_values=True))).get(name)


def bearer(call: Call) -> str:
    """Return the token of a call's ``Authorization: Bearer``, or nothing."""
    kind, _, value = call.headers.get("authorization", "").partition(" ")
    return value if kind == "Bearer" else ""


def json_answer(
    status: int,
    content: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json;charset=UTF-8",
) -> Answer:
    """Return a JSON answer."""
    return Answer(status, json.dumps(content, indent=2), headers or {}, content_type)


def error_answer(status: int, message: str) -> Answer:
    """Return a JSON error of the form that profile fetch and Delivery share."""
    return json_answer(status, {"status": status, "message": message})


def text_answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a plain-text answer."""
    return Answer(status, text, headers or {}, content_type="text/plain;charset=UTF-8")


def method_not_allowed(*allowed: str) -> Answer:
    """Return the 405 that names what is allowed."""
    return text_answer(405, "Method not allowed", {"Allow": ", ".join(allowed)})
