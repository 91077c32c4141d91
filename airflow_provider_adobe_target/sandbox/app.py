"""The ASGI application: routes, transmission of answers and interruption of connections."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.routing import Route as StarletteRoute
from starlette.routing import Router

from airflow_provider_adobe_target.sandbox import page, snapshot
from airflow_provider_adobe_target.sandbox.endpoints import admin, bulk_update, delivery, edge_network, ims, profile
from airflow_provider_adobe_target.sandbox.endpoints.batch_status import status
from airflow_provider_adobe_target.sandbox.messages import Answer, Call, Route, text_answer
from airflow_provider_adobe_target.sandbox.state import State

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

Handler = Callable[[State, Call], Answer]


def make_app(state: State) -> Router:
    """Return the ASGI application.

    :param state: State of the sandbox.
    """

    def route(path: str, name: Route, handler: Handler) -> StarletteRoute:
        return StarletteRoute(path, Endpoint(name, handler, state))

    return Router(
        [
            route("/m2/{client}/profile/batchUpdate", "submit", bulk_update.submit),
            route("/m2/{client}/v2/profile/batchUpdate", "submit", bulk_update.submit),
            route("/m2/{client}/profile/batchStatus", "status", status),
            route("/m2/{client}/v2/profile/batchStatus", "status", status),
            route("/m2/{client}/profile/update", "single", profile.update),
            route("/rest/v1/profiles/{id:path}", "fetch", profile.fetch),
            route("/rest/v1/delivery", "delivery", delivery.deliver),
            route("/ims/token/v3", "ims", ims.token),
            route("/{tenant}/target/authentication/token", "admin", admin.authentication_token),
            route("/{tenant}/target/clients/settings", "admin", admin.client_settings),
            *(route(f"{base}/interact", "interact", edge_network.interact) for base in edge_network.BASES),
            *(route(f"{base}/collect", "collect", edge_network.collect) for base in edge_network.BASES),
            route("/", "page", page.page),
            route("/state.json", "state", snapshot.state_json),
            route("/reset", "reset", page.reset),
        ],
        redirect_slashes=False,
        default=Endpoint("unknown", lambda state, call: text_answer(404, "Not found"), state),
    )


class Endpoint:
    """One route as an ASGI application: record the call, then send the scripted answer or handle the call.

    :param route: Name under which calls are recorded and scripts are stored.
    :param handler: Function that returns the answer. It runs in a thread that holds the lock of the state.
    :param state: State of the sandbox.
    """

    def __init__(self, route: Route, handler: Handler, state: State) -> None:
        self._route = route
        self._handler = handler
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        with self._state.lock:
            script = self._state.scripted(self._route)
            call = self._call(scope)
            self._state.calls.append(call)
        self._state.watcher(call, "arrived")
        try:
            if script.reset in ("before", "in"):
                if script.reset == "in":
                    call.body = (await receive()).get("body", b"")
                await _break_connection(scope, receive, is_reset=True)
            elif await _read_body(call, receive):
                await self._answer(script, call, scope, receive, send)
        finally:
            with self._state.lock:
                self._state.close_delivery(call)
            self._state.watcher(call, "ended")

    async def _answer(self, script: Answer, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        answer = script
        if script.is_real or script.is_processed or script.reset == "after":
            real = await run_in_threadpool(self._handle, call, script.settings)
            if not script.is_processed:
                answer = replace(
                    real,
                    delay=script.delay,
                    reset=script.reset,
                    cut=script.cut,
                    drip=script.drip,
                    headers={**real.headers, **script.headers},
                )
        self._state.watcher(call, "handled")
        if answer.delay:
            await _wait(answer.delay, receive)
        if answer.reset is not None:
            await _break_connection(scope, receive, is_reset=True)
        elif scope["state"]["transport"].is_closing():
            await _wait_for_disconnect(receive)  # otherwise uvicorn logs an error about a missing answer
        else:
            call.status = answer.status
            call.is_acknowledged = script.is_real and answer.cut is None and not answer.drip
            is_whole = await _send(answer, scope, receive, send)
            call.is_acknowledged |= script.is_real and is_whole

    def _call(self, scope: Scope) -> Call:
        return Call(
            route=self._route,
            method=scope["method"],
            raw_path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=Headers(scope=scope),
            body=b"",
            at=self._state.clock(),
            port=scope["server"][1],
        )

    def _handle(self, call: Call, settings: Mapping[str, Any]) -> Answer:
        with self._state.lock, self._state.overridden_settings(settings):
            return self._handler(self._state, call)


async def _read_body(call: Call, receive: Receive) -> bool:
    """Read the body. Return whether it is complete; a caller may disconnect before its end."""
    parts = []
    message: Message = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    call.body = b"".join(parts)
    return bool(message["type"] == "http.request")


async def _wait(seconds: float, receive: Receive) -> None:
    """Wait until the time has passed or the caller disconnects."""
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_wait_for_disconnect(receive), seconds)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(answer: Answer, scope: Scope, receive: Receive, send: Send) -> bool:
    """Send an answer. Return whether all of it was sent."""
    body = answer.payload
    headers = {
        "content-length": "" if answer.status == 204 else str(len(body)),
        "content-type": answer.content_type,
        **{name.lower(): value for name, value in answer.headers.items()},
    }
    raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items() if value]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw_headers})
    if answer.drip:
        for byte in body:
            await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
            await _wait(answer.drip, receive)
            if scope["state"]["transport"].is_closing():
                return False
        await send({"type": "http.response.body", "body": b""})
    elif answer.cut is None:
        await send({"type": "http.response.body", "body": body})
    else:
        await send({"type": "http.response.body", "body": body[: answer.cut], "more_body": True})
        await _break_connection(scope, receive, is_reset=False)
        return False
    return True


async def _break_connection(scope: Scope, receive: Receive, *, is_reset: bool) -> None:
    """Close the TCP connection: by a reset, or after all pending data was sent."""
    transport = scope["state"]["transport"]
    if is_reset:
        # With a linger time of 0 the kernel sends RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()
    await _wait_for_disconnect(receive)  # otherwise uvicorn logs an error about an incomplete answer
