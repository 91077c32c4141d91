"""HTTP transports: ``requests`` for worker threads, ``httpx`` for a triggerer's event loop.

Import this module inside functions. It is the only one that imports an HTTP library.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import socket
import ssl
import zlib
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import httpx
import requests
import urllib3

from airflow_provider_adobe_target.client.call_deadline import (
    CallDeadline,
    CallDeadlineExceededError,
    DeadlineAdapter,
)
from airflow_provider_adobe_target.client.hosts import is_loopback
from airflow_provider_adobe_target.client.protocol import (
    BatchBody,
    FailureKind,
    Flow,
    Request,
    Response,
    Send,
    SendResult,
    TransportFailure,
    Wait,
)
from airflow_provider_adobe_target.client.proxies import proxy_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from types import TracebackType

    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

T = TypeVar("T")

_BLOCK = 1 << 20
_READ_BLOCK = 1 << 16
_PARSED_IN_LOOP_BYTES = 1 << 14
# Cookies identify a visitor. They are not stored, so that none is sent with a call about another visitor.
_NO_COOKIES = DefaultCookiePolicy(allowed_domains=[])


class RequestsTransport:
    """Send requests from a thread with one ``requests`` session. A context manager.

    Redirects are not followed and ``.netrc`` is not read. Proxies of the environment are used if the connection has
    none.

    :param settings: Connection settings.
    """

    def __init__(self, settings: TargetSettings) -> None:
        self._settings = settings
        self._session = _Session()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, DeadlineAdapter())
        self._session.cookies.set_policy(_NO_COOKIES)

    def __enter__(self) -> RequestsTransport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def send(self, request: Request) -> SendResult:
        """Send one request and read the complete response.

        :raises OSError: If the batch file cannot be read.
        """
        body = _body(request)
        prepared = self._session.prepare_request(
            requests.Request(request.method, request.url, dict(request.headers), data=body, auth=_leave_headers_alone)
        )
        # Send the validated URL: requests may have normalized it.
        prepared.url = request.url
        options = self._session.merge_environment_settings(request.url, {}, True, self._settings.verify, None)
        proxy = proxy_for(self._settings, request.url)
        options["proxies"] = {"http": proxy, "https": proxy} if proxy else {}
        deadline = CallDeadline(request.max_seconds)
        try:
            with (
                _quiet_libraries(),
                deadline,
                self._session.send(prepared, timeout=request.timeout, allow_redirects=False, **options) as response,
            ):
                headers = {name.lower(): value for name, value in response.headers.items()}
                content = _Content(request.response_limit, headers)
                # urllib3's own ways to read chunks, and to unpack, have no bounds in all of its versions.
                while block := response.raw.read(_READ_BLOCK, decode_content=False):
                    content.add(block)
                deadline.check()
                return Response(response.status_code, headers, content.whole())
        except _UnfitContentError as error:
            return TransportFailure(error.kind, True, str(error))
        except (requests.RequestException, urllib3.exceptions.HTTPError, CallDeadlineExceededError) as error:
            timed_out = isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError))
            return _failure(error, body, request.url, timed_out=timed_out or deadline.is_exceeded)


class _Session(requests.Session):
    """A session that does not prepare to follow redirects."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: ``requests`` would read the whole body of a redirect into memory, without a limit."""


class HttpxTransport:
    """Send requests from an event loop with one ``httpx`` client. An asynchronous context manager.

    It has the same rules and trusted certificates as :class:`RequestsTransport`. A triggerer may hold a thousand
    instances for hours, so :meth:`rest` closes the connections between requests.

    :param settings: Connection settings.
    """

    def __init__(self, settings: TargetSettings) -> None:
        self._settings = settings
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> HttpxTransport:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.rest()

    async def rest(self) -> None:
        """Close all connections, and with them their file descriptors. The next request opens a new one."""
        client, self._client = self._client, None
        if client:
            await client.aclose()

    async def _open(self) -> httpx.AsyncClient:
        # Reading the certificates would block the event loop.
        verify = await asyncio.to_thread(_certificates, self._settings.verify)
        transport = _ProxyTransport(self._settings, verify)
        client = httpx.AsyncClient(transport=transport, trust_env=False, follow_redirects=False)
        client.cookies.jar.set_policy(_NO_COOKIES)
        return client

    async def send(self, request: Request) -> SendResult:
        """Send one request and read the complete response.

        :raises OSError: If the batch file or the certificates cannot be read.
        """
        self._client = self._client or await self._open()
        body = _body(request)
        headers = dict(request.headers)
        blocks = body.for_event_loop() if isinstance(body, _FileBlocks) else body
        if isinstance(body, _FileBlocks):
            headers["Content-Length"] = str(len(body))
        connect, read = request.timeout
        timeout = httpx.Timeout(connect=connect, read=read, write=read, pool=connect)
        client = self._client

        async def exchange() -> Response:
            async with client.stream(
                request.method, request.url, headers=headers, content=blocks, timeout=timeout
            ) as response:
                response_headers = dict(response.headers.items())
                content = _Content(request.response_limit, response_headers)
                async for block in response.aiter_raw():
                    content.add(block)
                return Response(response.status_code, response_headers, content.whole())

        try:
            with _quiet_libraries():
                return await asyncio.wait_for(exchange(), request.max_seconds)
        except _UnfitContentError as error:
            return TransportFailure(error.kind, True, str(error))
        except (httpx.HTTPError, httpx.InvalidURL, asyncio.TimeoutError) as error:
            timed_out = isinstance(error, (httpx.TimeoutException, asyncio.TimeoutError))
            return _failure(error, body, request.url, timed_out=timed_out)


def run(flow: Flow[T], transport: RequestsTransport, clock: Clock) -> T:
    """Run a flow in a thread and return its result."""
    try:
        command = next(flow)
        while True:
            answer: SendResult | None = None
            if isinstance(command, Wait):
                clock.sleep(command.seconds)
            else:
                answer = transport.send(command.request)
            command = flow.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        flow.close()


async def arun(flow: Flow[T], transport: HttpxTransport, clock: Clock) -> T:
    """Run a flow in an event loop and return its result.

    Large responses are parsed in a thread, because half a million listed rows would block the event loop for seconds.
    """
    try:
        command = next(flow)
        while True:
            answer: SendResult | None = None
            if isinstance(command, Wait):
                await transport.rest()
                await clock.asleep(command.seconds)
            else:
                answer = await transport.send(command.request)
            if isinstance(answer, Response) and len(answer.body) > _PARSED_IN_LOOP_BYTES:
                command = await _resume_in_thread(flow, answer)
            else:
                command = flow.send(answer)
    except (StopIteration, _FlowEnded) as end:
        result: T = end.value
        return result
    finally:
        flow.close()


class _FlowEnded(Exception):  # noqa: N818  # not an error
    """Carries a flow's result out of a thread, because a future cannot hold a ``StopIteration``."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


async def _resume_in_thread(flow: Flow[T], answer: SendResult) -> Send | Wait:
    thread = asyncio.ensure_future(asyncio.to_thread(_resume, flow, answer))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])  # a flow that runs cannot be closed
        thread.exception()  # the event loop would log one that nothing retrieves
        raise


def _resume(flow: Flow[T], answer: SendResult) -> Send | Wait:
    try:
        return flow.send(answer)
    except StopIteration as end:
        raise _FlowEnded(end.value) from None


class _ProxyTransport(httpx.AsyncBaseTransport):
    """Send each request through the proxy that :func:`proxy_for` returns, with one connection pool per proxy."""

    def __init__(self, settings: TargetSettings, verify: ssl.SSLContext | bool) -> None:
        self._settings = settings
        self._verify = verify
        self._transports: dict[str | None, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        proxy = proxy_for(self._settings, str(request.url))
        if proxy not in self._transports:
            self._transports[proxy] = httpx.AsyncHTTPTransport(
                verify=self._verify, proxy=self._with_certificates(proxy) if proxy else None, trust_env=False
            )
        return await self._transports[proxy].handle_async_request(request)

    def _with_certificates(self, proxy: str) -> httpx.Proxy:
        """Trust the same certificates for a proxy with TLS as for Target."""
        context = self._verify if isinstance(self._verify, ssl.SSLContext) else None
        url = proxy.replace("socks5h://", "socks5://", 1)  # httpx lets every SOCKS proxy resolve host names
        return httpx.Proxy(url, ssl_context=context if url.startswith("https://") else None)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()


class _FileBlocks:
    """A batch file as an iterable of blocks, so that it is never in memory as a whole. Each iteration reopens it."""

    def __init__(self, body: BatchBody) -> None:
        self._body = body
        self.sent = False
        self.error: OSError | None = None
        with body.path.open("rb"):
            pass  # raise for a missing file here, so that it does not count as a network failure

    def __len__(self) -> int:
        return self._body.size

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self._body.path.open("rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != self._body.size:
                    raise OSError(f"{self._body.path.name} is no longer of the size it was written with.")
                while block := file.read(_BLOCK):
                    yield block
        except OSError as error:
            self.error = error
            raise
        self.sent = True

    async def for_event_loop(self) -> AsyncIterator[bytes]:
        for block in self:
            yield block


def _body(request: Request) -> _FileBlocks | bytes | None:
    return _FileBlocks(request.body) if isinstance(request.body, BatchBody) else request.body


def _leave_headers_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stand where credentials would be, or ``requests`` would look for some in ``.netrc``."""
    return request


def _certificates(verify: bool | str) -> ssl.SSLContext | bool:
    """Return the ``verify`` argument for ``httpx`` with the certificates that ``requests`` trusts."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") if verify is True else verify
    if bundle is False:
        return False
    path = bundle if isinstance(bundle, str) else requests.utils.DEFAULT_CA_BUNDLE_PATH
    return _trusting(path, os.stat(path).st_mtime_ns)


@lru_cache(maxsize=8)
def _trusting(path: str, changed_at: int) -> ssl.SSLContext:
    """Read certificates once for all who trust them, until they change: each time takes 50 ms and 0.7 MB."""
    if os.path.isdir(path):
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


class _UnfitContentError(Exception):
    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Content:
    """An answer's body, up to a limit; also one that is compressed, although none was asked for."""

    def __init__(self, limit: int, headers: Mapping[str, str]) -> None:
        self._limit = limit
        self._received = 0
        self._content = io.BytesIO()  # its value is no copy
        coding = headers.get("content-encoding", "").strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise _UnfitContentError("broken", "an answer in a content encoding that was not asked for")
        # The 32 stands for gzip and zlib, whichever it is.
        self._packed = None if coding in ("", "identity") else zlib.decompressobj(32 + zlib.MAX_WBITS)

    def add(self, block: bytes) -> None:
        """Add the next block. Neither the received nor the decompressed size may exceed the limit."""
        self._received += len(block)
        try:
            room = self._limit - self._content.tell() + 1
            self._content.write(self._packed.decompress(block, room) if self._packed else block)
        except zlib.error:
            raise self._broken() from None
        if self._packed and self._packed.unused_data:  # zlib would keep all that follows the end of the stream
            raise self._broken()
        if max(self._received, self._content.tell()) > self._limit:
            raise _UnfitContentError("too_long", f"an answer of more than {self._limit:,} bytes")

    def whole(self) -> bytes:
        """Return the body, once nothing more comes."""
        if self._content.tell() and self._packed and not self._packed.eof:
            raise self._broken()
        return self._content.getvalue()

    @staticmethod
    def _broken() -> _UnfitContentError:
        return _UnfitContentError("broken", "an answer whose compression is broken")


def _failure(error: Exception, body: _FileBlocks | bytes | None, url: str, *, timed_out: bool) -> TransportFailure:
    """Say what happened, by its causes: the libraries' own texts repeat URLs, and those may hold an id."""
    if isinstance(body, _FileBlocks) and body.error is not None:
        raise body.error from None
    causes = list(_causes(error))
    timed_out |= any(isinstance(cause, TimeoutError) and cause.errno is None for cause in causes)  # while sending
    sent = body.sent if isinstance(body, _FileBlocks) else body is not None and not _is_connect_failure(causes)
    kind: FailureKind
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        kind, message = "name", "the host name cannot be resolved"
    elif certificate := next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None):
        kind, message = "tls", f"the server's certificate is not trusted ({certificate.verify_message})"
    elif timed_out:
        kind, message = "timeout", "no answer in time"
    elif any(isinstance(cause, ssl.SSLError) for cause in causes):
        kind, message = "tls", "no TLS connection could be agreed on"
    elif _is_connect_failure(causes):
        kind, message = "connect", "no connection could be made"
    else:
        kind, message = "broken", "the connection broke, or the answer was cut off"
    reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
    if kind in ("connect", "broken") and reason:
        message = f"{message} ({reason})"
    address = urlsplit(url)
    if kind == "connect" and is_loopback(address.hostname or ""):
        message = f"the sandbox is not running at {address.netloc}: {message}"
    return TransportFailure(kind, sent, message)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_connect_failure(causes: list[BaseException]) -> bool:
    names = {"ConnectError", "ConnectTimeout", "NewConnectionError", "ConnectTimeoutError", "ProxyError"}
    return any(type(cause).__name__ in names for cause in causes)


_ours: ContextVar[bool] = ContextVar("adobe_target_request", default=False)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not _ours.get()


# These loggers log URLs, and the URL of a profile contains an id. Their records are dropped during our requests only.
for log in ("urllib3.connectionpool", "httpx", "httpcore.http11", "httpcore.proxy"):
    logging.getLogger(log).addFilter(_is_not_ours)


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    mark = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(mark)
