"""The sandbox as a context manager: an HTTP server in a thread, on two loopback ports."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, get_args

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_adobe_target.sandbox.app import make_app
from airflow_provider_adobe_target.sandbox.messages import Answer, Call, Moment, Route
from airflow_provider_adobe_target.sandbox.settings import SandboxSettings
from airflow_provider_adobe_target.sandbox.state import Batch, State

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from airflow_provider_adobe_target.sandbox.profile_store import IdType

LOOPBACK = "127.0.0.1"


class _BreakableProtocol(H11Protocol):
    """HTTP/1.1 protocol that gives the application access to its transport, so that it can reset the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Sandbox:
    """A local stand-in for Adobe Target that runs during a ``with`` block.

    It listens on two ports of the loopback interface with the same routes: the port of the client host, and the port of
    the edge host, which status URLs name.

    :param port: Port of the client host. 0 selects a free port.
    :param edge_port: Port of the edge host. 0 selects a free port.
    :param clock: Function that returns the time in seconds since the epoch. All durations are measured with it.
    :param settings: Any field of :class:`SandboxSettings`, such as ``client_code`` or ``token``.
    :raises OSError: On entering, if a port is in use.
    :raises TypeError: If a setting does not exist.
    :raises ValueError: If the value of a setting is not one of its choices.
    """

    def __init__(
        self, *, port: int = 0, edge_port: int = 0, clock: Callable[[], float] = time.time, **settings: Any
    ) -> None:
        self._ports = (port, edge_port)
        self._state = State(SandboxSettings(**settings), clock)
        self.url = ""
        self.edge_url = ""

    def __enter__(self) -> Sandbox:
        """Start the server."""
        sockets = _listen(self._ports)
        port, edge_port = (listener.getsockname()[1] for listener in sockets)
        self._state.edge_port = edge_port
        self.url, self.edge_url = f"http://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{edge_port}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                make_app(self._state),
                http=_BreakableProtocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,  # do not change the logging of the host process
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )
        # uvicorn installs signal handlers in the main thread only.
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": sockets}, name="adobe-target-sandbox", daemon=True
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.002)
        if not self._server.started:
            raise RuntimeError("The sandbox did not start. See the traceback of its thread.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server. Recorded batches, calls and profiles stay readable."""
        self._server.should_exit = True
        self._thread.join()

    def reset(self, **settings: Any) -> None:
        """Delete everything and apply new settings. This is much faster than a restart.

        :param settings: As of the constructor. Missing ones get their default, not their previous value.
        """
        with self._state.lock:
            self._state.begin(SandboxSettings(**settings))

    @property
    def settings(self) -> SandboxSettings:
        """The settings. They may be changed while the sandbox runs."""
        return self._state.settings

    @property
    def batches(self) -> list[Batch]:
        """The accepted files, oldest first, in their current state."""
        with self._state.lock:
            self._state.apply_due_batches()
            return list(self._state.batches.values())

    @property
    def calls(self) -> list[Call]:
        """The received calls, oldest first."""
        with self._state.lock:
            return list(self._state.calls)

    def profile(self, profile_id: str, id_type: IdType = "thirdPartyId") -> dict[str, str] | None:
        """Return the stored attributes of a profile, including those that profile fetch does not return yet.

        :param profile_id: Id of the profile.
        :param id_type: ``thirdPartyId``, ``pcId`` or ``marketingCloudVisitorId``.
        :return: Names and values, or None if the profile does not exist.
        """
        with self._state.lock:
            profile = self._state.profiles.find((id_type, profile_id), self._state.apply_due_batches())
            if profile is None:
                return None
            return {name: attribute.value for name, attribute in profile.attributes.items()}

    def put_profile(self, profile_id: str, attributes: Mapping[str, str], id_type: IdType = "thirdPartyId") -> None:
        """Create or update a profile, as a website visit would.

        :param profile_id: Id of the profile.
        :param attributes: Names and values.
        :param id_type: As in :meth:`profile`.
        """
        with self._state.lock:
            origin = self._state.profiles.origin("visitor", self._state.apply_due_batches())
            self._state.profiles.write((id_type, profile_id), attributes, origin, create=True)

    def script(self, route: Route, *answers: Answer, forever: bool = False) -> None:
        """Set the answers to the next calls of a route. They replace the rest of an earlier script.

        After the last answer, the endpoint handles calls again. A scripted call is not checked and does not count
        against the rate limit, unless its answer is :meth:`Answer.real`.

        :param route: ``submit``, ``status``, ``single``, ``fetch``, ``delivery``, ``ims``, ``admin``, ``interact``,
            ``collect``, ``page``, ``state``, ``reset`` or ``unknown`` (any other path).
        :param answers: Answers, in order. Without any, the script ends.
        :param forever: Whether to repeat the last answer indefinitely.
        :raises ValueError: If the route does not exist.
        """
        if route not in get_args(Route):
            raise ValueError(f"The sandbox has no route {route!r}. Choose one of {', '.join(get_args(Route))}.")
        with self._state.lock:
            self._state.script(route, answers, forever=forever)

    def watch(self, watcher: Callable[[Call, Moment], None]) -> None:
        """Set a callback that runs in the sandbox's thread at each stage of a call, for example to kill the caller.

        :param watcher: Function of the call and its stage: ``arrived`` (before its body is read), ``handled`` (before
            the answer is sent) or ``ended``. It blocks the sandbox and must return quickly.
        """
        self._state.watcher = watcher


def _listen(ports: tuple[int, ...]) -> list[socket.socket]:
    with contextlib.ExitStack() as opened:
        sockets = []
        for port in ports:
            # asyncio disables Nagle's algorithm (40 ms per call of a persistent connection) for IPPROTO_TCP only.
            listener = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((LOOPBACK, port))
                listener.listen()
            except OSError as error:
                message = f"Port {port} cannot be used ({error.strerror}). Choose another port, or free this one."
                raise OSError(error.errno, message) from None
            sockets.append(listener)
        opened.pop_all()
        return sockets
