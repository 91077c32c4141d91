"""Answers and recorded calls of the sandbox, as data classes."""

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
    """One HTTP answer, or one way to interrupt the connection.

    :param status: HTTP status.
    :param body: Body, as text or bytes.
    :param headers: Additional headers. They override generated ones; an empty value omits the header.
    :param content_type: ``Content-Type``. Empty omits the header.
    :param delay: Seconds between the processing of the call and the answer.
    :param reset: Reset the TCP connection instead of answering: ``"before"`` the body is read, ``"in"`` the
        middle of it, or ``"after"`` the call was processed, so that only its acknowledgement is lost.
    :param cut: Number of body bytes to send before the connection is closed. ``Content-Length`` covers the whole body.
    :param drip: Seconds between two bytes of the body. 0 sends it at once.
    :param is_real: Whether the endpoint generates the answer; see :meth:`real`.
    :param is_processed: Whether the call is processed before this answer is sent, as behind a gateway that times out.
    :param settings: Settings of the sandbox for this call only, by name.
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
        """Return a script entry that lets the endpoint handle the call.

        Its answer may be late, slow, cut or lost, and other settings may apply to the call. Headers are added to those
        of the endpoint's answer.
        """
        return cls(delay=delay, cut=cut, drip=drip, reset=reset, headers=headers or {}, is_real=True, settings=settings)

    @property
    def payload(self) -> bytes:
        """The body as bytes, text in UTF-8."""
        return self.body.encode() if isinstance(self.body, str) else self.body


@dataclass
class Call:
    """One received call.

    :param route: Name of the route.
    :param method: HTTP method.
    :param raw_path: Path as sent, percent-encoded.
    :param query: Query string as sent, without ``?``.
    :param headers: Request headers, including ``Authorization``. Names are case-insensitive.
    :param body: Body, as far as it was read.
    :param at: Time of arrival in seconds since the epoch, by the sandbox's clock.
    :param port: Port that received the call.
    :param status: HTTP status of the answer. None before the answer, and if the connection was interrupted or the
        caller had disconnected.
    :param is_acknowledged: Whether the endpoint's own answer was sent completely.
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
    """Return the token of a call's ``Authorization: Bearer``, or an empty string."""
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
    """Return a JSON error in the format of profile fetch and Delivery."""
    return json_answer(status, {"status": status, "message": message})


def text_answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a plain-text answer."""
    return Answer(status, text, headers or {}, content_type="text/plain;charset=UTF-8")


def method_not_allowed(*allowed: str) -> Answer:
    """Return a 405 answer with the allowed methods."""
    return text_answer(405, "Method not allowed", {"Allow": ", ".join(allowed)})
