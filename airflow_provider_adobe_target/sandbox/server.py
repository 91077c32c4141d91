"""The sandbox as a context manager: a server in a thread, on two loopback ports."""

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
    """HTTP/1.1 that hands its transport to the application, which can then break the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Sandbox:
    """A local stand-in for Adobe Target, running for as long as the ``with`` block lasts.

    It listens on the loopback interface only, on two ports that serve the same: the client host's, and the
    edge host's that status URLs name.

    :param port: port of the client host; 0 takes a free one.
    :param edge_port: port of the edge host; 0 takes a free one.
    :param clock: gives the seconds since the epoch; everything that lasts, lasts by this clock.
    :param settings: any field of :class:`SandboxSettings`, such as ``client_code`` or ``token``.
    :raises OSError: on entering, if a port is taken.
    :raises TypeError: if a setting does not exist.
    :raises ValueError: if a setting's value is none of its choices.
    """

    def __init__(
        self, *, port: int = 0, edge_port: int = 0, clock: Callable[[], float] = time.time, **settings: Any
    ) -> None:
        self._ports = (port, edge_port)
        self._state = State(SandboxSettings(**settings), clock)
        self.url = ""
        self.edge_url = ""

    def __enter__(self) -> Sandbox:
        """Start to listen."""
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
                log_config=None,  # the logging of the host process is its own
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )
        # Out of the main thread, uvicorn installs no signal handlers.
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": sockets}, name="adobe-target-sandbox", daemon=True
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.002)
        if not self._server.started:
            raise RuntimeError("The sandbox did not start; its thread's traceback says why.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop listening; what was recorded can still be read."""
        self._server.should_exit = True
        self._thread.join()

    def reset(self, **settings: Any) -> None:
        """Forget everything and go on with fresh settings, which is much faster than starting anew.

        :param settings: as of the constructor; what is not given gets its default, not its former value.
        """
        with self._state.lock:
            self._state.begin(SandboxSettings(**settings))

    @property
    def settings(self) -> SandboxSettings:
        """The switches; they may be changed while the sandbox runs."""
        return self._state.settings

    @property
    def batches(self) -> list[Batch]:
        """The accepted files, oldest first, in their present state."""
        with self._state.lock:
            self._state.settle()
            return list(self._state.batches.values())

    @property
    def calls(self) -> list[Call]:
        """The calls that came in, oldest first."""
        with self._state.lock:
            return list(self._state.calls)

    def profile(self, profile_id: str, id_type: IdType = "thirdPartyId") -> dict[str, str] | None:
        """Return the stored attributes of a profile, also those that fetch does not show yet.

        :param profile_id: the id.
        :param id_type: ``thirdPartyId``, ``pcId`` or ``marketingCloudVisitorId``.
        :returns: names and values, or None where there is no such profile.
        """
        with self._state.lock:
            profile = self._state.profiles.find((id_type, profile_id), self._state.settle())
            if profile is None:
                return None
            return {name: attribute.value for name, attribute in profile.attributes.items()}

    def put_profile(self, profile_id: str, attributes: Mapping[str, str], id_type: IdType = "thirdPartyId") -> None:
        """Have a visitor come by who leaves attributes, which also makes the profile known.

        :param profile_id: the id.
        :param attributes: names and values.
        :param id_type: as in :meth:`profile`.
        """
        with self._state.lock:
            origin = self._state.profiles.origin("visitor", self._state.settle())
            self._state.profiles.write((id_type, profile_id), attributes, origin, create=True)

    def script(self, route: Route, *answers: Answer, forever: bool = False) -> None:
        """Set what the next calls of a route get, in place of what was left of an earlier script.

        After the last answer the real handling comes back; without any answer, at once. A scripted call is
        not checked and does not count as one of a minute, unless its answer is :meth:`Answer.real`.

        :param route: ``submit``, ``status``, ``single``, ``fetch``, ``delivery``, ``ims``, ``admin``, ``interact``,
            ``collect``, ``page``, ``state``, ``reset`` or ``unknown``, which is any other path.
        :param answers: the answers, in order.
        :param forever: repeat the last one without end.
        :raises ValueError: if there is no such route.
        """
        if route not in get_args(Route):
            raise ValueError(f"The sandbox has no route {route!r}, only {', '.join(get_args(Route))}.")
        with self._state.lock:
            self._state.script(route, answers, forever=forever)

    def watch(self, watcher: Callable[[Call, Moment], None]) -> None:
        """Have a function called at each call's moments, in the sandbox's own thread: to end a caller there, say.

        :param watcher: takes the call, and ``arrived`` (its body is not read yet), ``handled`` (nothing is answered
            yet) or ``ended``; to be quick, as the sandbox waits for it.
        """
        self._state.watcher = watcher


def _listen(ports: tuple[int, ...]) -> list[socket.socket]:
    with contextlib.ExitStack() as opened:
        sockets = []
        for port in ports:
            # Named as TCP, or asyncio would not switch Nagle's algorithm off: 40 ms for each call of a kept connection.
            listener = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((LOOPBACK, port))
                listener.listen()
            except OSError as error:
                message = f"Port {port} cannot be used ({error.strerror}). Stop what has it, or choose another."
                raise OSError(error.errno, message) from None
            sockets.append(listener)
        opened.pop_all()
        return sockets
