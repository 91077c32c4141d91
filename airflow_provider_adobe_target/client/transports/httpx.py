"""HTTP over ``httpx``, for event loops."""

from __future__ import annotations

import asyncio
import os
import ssl
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import requests

from airflow_provider_adobe_target.client.protocol import (
    Flow,
    Request,
    Response,
    Send,
    SendResult,
    TransportFailure,
    Wait,
)
from airflow_provider_adobe_target.client.proxies import proxy_for
from airflow_provider_adobe_target.client.transports.bodies import (
    FileBlocks,
    ResponseContent,
    UnfitContentError,
    request_body,
)
from airflow_provider_adobe_target.client.transports.failures import quiet_libraries, transport_failure

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

T = TypeVar("T")

_PARSED_IN_LOOP_BYTES = 1 << 14
# Cookies identify a visitor. They are not stored, so that none is sent with a call about another visitor.
_NO_COOKIES = DefaultCookiePolicy(allowed_domains=[])


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
        body = request_body(request)
        headers = dict(request.headers)
        blocks = body.for_event_loop() if isinstance(body, FileBlocks) else body
        if isinstance(body, FileBlocks):
            headers["Content-Length"] = str(len(body))
        connect, read = request.timeout
        timeout = httpx.Timeout(connect=connect, read=read, write=read, pool=connect)
        client = self._client

        async def exchange() -> Response:
            async with client.stream(
                request.method, request.url, headers=headers, content=blocks, timeout=timeout
            ) as response:
                response_headers = dict(response.headers.items())
                content = ResponseContent(request.response_limit, response_headers)
                async for block in response.aiter_raw():
                    content.add(block)
                return Response(response.status_code, response_headers, content.whole())

        try:
            with quiet_libraries():
                return await asyncio.wait_for(exchange(), request.max_seconds)
        except UnfitContentError as error:
            return TransportFailure(error.kind, True, str(error))
        except (httpx.HTTPError, httpx.InvalidURL, asyncio.TimeoutError) as error:
            timed_out = isinstance(error, (httpx.TimeoutException, asyncio.TimeoutError))
            return transport_failure(error, body, request.url, timed_out=timed_out)


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
        """Return a proxy whose TLS certificate is verified as that of Target."""
        context = self._verify if isinstance(self._verify, ssl.SSLContext) else None
        url = proxy.replace("socks5h://", "socks5://", 1)  # httpx lets every SOCKS proxy resolve host names
        return httpx.Proxy(url, ssl_context=context if url.startswith("https://") else None)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()


def _certificates(verify: bool | str) -> ssl.SSLContext | bool:
    """Return the ``verify`` argument for ``httpx`` with the certificates that ``requests`` trusts."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") if verify is True else verify
    if bundle is False:
        return False
    path = bundle if isinstance(bundle, str) else requests.utils.DEFAULT_CA_BUNDLE_PATH
    return _trusting(path, os.stat(path).st_mtime_ns)


@lru_cache(maxsize=8)
def _trusting(path: str, changed_at: int) -> ssl.SSLContext:
    """Return the TLS context of a certificate file, cached until it changes: loading takes 50 ms and 0.7 MB."""
    if os.path.isdir(path):
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


async def arun(flow: Flow[T], transport: HttpxTransport, clock: Clock, *, may_block: bool = False) -> T:
    """Run a flow in an event loop and return its result.

    Large responses are parsed in a thread, because half a million listed rows would block the event loop for seconds.

    :param may_block: Whether the flow's rate limiter may block. All steps of the flow then run in threads.
    """
    try:
        command = await _resume_in_thread(flow, None) if may_block else next(flow)
        while True:
            answer: SendResult | None = None
            if isinstance(command, Wait):
                await transport.rest()
                await clock.asleep(command.seconds)
            else:
                answer = await transport.send(command.request)
            if may_block or (isinstance(answer, Response) and len(answer.body) > _PARSED_IN_LOOP_BYTES):
                command = await _resume_in_thread(flow, answer)
            else:
                command = flow.send(answer)
    except (StopIteration, _FlowEnded) as end:
        result: T = end.value
        return result
    finally:
        if may_block:
            await asyncio.shield(asyncio.to_thread(flow.close))
        else:
            flow.close()


class _FlowEnded(Exception):  # noqa: N818  # not an error
    """Passes a flow's result out of a thread, because a future cannot hold a ``StopIteration``."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


async def _resume_in_thread(flow: Flow[T], answer: SendResult | None) -> Send | Wait:
    thread = asyncio.ensure_future(asyncio.to_thread(_resume, flow, answer))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])  # a running generator cannot be closed
        thread.exception()  # otherwise the event loop logs it as never retrieved
        raise


def _resume(flow: Flow[T], answer: SendResult | None) -> Send | Wait:
    try:
        return flow.send(answer)
    except StopIteration as end:
        raise _FlowEnded(end.value) from None
