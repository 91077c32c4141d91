"""HTTP over ``requests``, for threads."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, TypeVar

import requests
import urllib3

from airflow_provider_adobe_target.client.call_deadline import (
    CallDeadline,
    CallDeadlineExceededError,
    DeadlineAdapter,
)
from airflow_provider_adobe_target.client.protocol import Flow, Request, Response, SendResult, TransportFailure, Wait
from airflow_provider_adobe_target.client.proxies import proxy_for
from airflow_provider_adobe_target.client.transports.bodies import ResponseContent, UnfitContentError, request_body
from airflow_provider_adobe_target.client.transports.failures import quiet_libraries, transport_failure

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

T = TypeVar("T")

_READ_BLOCK = 1 << 16
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
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def send(self, request: Request) -> SendResult:
        """Send one request and read the complete response.

        :raises OSError: If the batch file cannot be read.
        """
        body = request_body(request)
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
                quiet_libraries(),
                deadline,
                self._session.send(prepared, timeout=request.timeout, allow_redirects=False, **options) as response,
            ):
                headers = {name.lower(): value for name, value in response.headers.items()}
                content = ResponseContent(request.response_limit, headers)
                # urllib3's methods for chunks and compression do not bound the memory in every version.
                while block := response.raw.read(_READ_BLOCK, decode_content=False):
                    content.add(block)
                deadline.check()
                return Response(response.status_code, headers, content.whole())
        except UnfitContentError as error:
            return TransportFailure(error.kind, True, str(error))
        except (requests.RequestException, urllib3.exceptions.HTTPError, CallDeadlineExceededError) as error:
            timed_out = isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError))
            return transport_failure(error, body, request.url, timed_out=timed_out or deadline.is_exceeded)


class _Session(requests.Session):
    """A session that does not prepare to follow redirects."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: ``requests`` would read the whole body of a redirect into memory, without a limit."""


def _leave_headers_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return the request unchanged. Without an ``auth`` argument, ``requests`` reads credentials from ``.netrc``."""
    return request


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
