"""Map HTTP responses that a retry would not change to exceptions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from airflow_provider_adobe_target.client.parsing import printable
from airflow_provider_adobe_target.exceptions import TargetRefusedError, TokenRefusedError

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.protocol import Response
    from airflow_provider_adobe_target.client.settings import TargetSettings

# Other media types are not shown in messages, because a header may contain any text.
_MEDIA_TYPE = re.compile(r"(?:text|application)/(?:html|xhtml\+xml|xml|json|plain)\b")
_HINTS = {
    404: "Check the client code (login) and the host of the connection.",
    413: "Lower max_bytes_per_file.",
}


def raise_for_auth(settings: TargetSettings, response: Response) -> None:
    """Raise for a response that refuses the token or requires one.

    :raises TokenRefusedError: For HTTP 401 and 403.
    """
    if response.status not in (401, 403):
        return
    if settings.reads_token:
        raise TokenRefusedError(
            f"Target refused the token from the Admin API for tenant {settings.tenant_id}, or there is no token (HTTP "
            f"{response.status}). Check that the tenant matches the client code, and that a Profile API token was "
            "generated under Administration > Implementation > Profile API."
        )
    if settings.token is None:
        raise TokenRefusedError(
            f"Target requires a token (HTTP {response.status}), because 'Require Authentication' is on. Generate a "
            "token under Administration > Implementation > Profile API, and save it as the connection's password."
        )
    raise TokenRefusedError(
        f"Target refused the token (HTTP {response.status}). It may have expired or been replaced by a newer one. "
        "Save the current token from Administration > Implementation > Profile API as the connection's password, or "
        "turn 'Require Authentication' off there. The Debugger token on the same page cannot be used."
    )


def scrub(settings: TargetSettings, text: str) -> str:
    """Return text of a response as one line, truncated, without the secrets of the connection."""
    for secret in (settings.token, settings.property_token):
        if secret:
            text = text.replace(secret, "***")
    return printable(text)


def raise_for_response(
    settings: TargetSettings,
    response: Response,
    subject: str,
    detail: str,
    error: type[TargetRefusedError] = TargetRefusedError,
) -> NoReturn:
    """Raise for a response that a retry would not change.

    :param settings: Connection settings.
    :param response: Response.
    :param subject: Description of the request, for the message.
    :param detail: Text of the response, for the message.
    :param error: Class of the exception.
    :raises TargetRefusedError: Always.
    """
    if 300 <= response.status <= 399:
        raise TargetRefusedError(
            f"Target's response to {subject} is a redirect (HTTP {response.status}). Redirects are not followed, "
            "because the token would be sent along. Check the host of the connection."
        )
    what = f"HTTP {response.status} with {_kind(response)}"
    hint = _HINTS.get(response.status, "") if not response.ok else "A proxy may have responded instead of Target."
    text = scrub(settings, detail)
    raise error(" ".join(filter(None, (f"Target refused {subject}: {what}.", hint, text and f"Response: {text}"))))


def _kind(response: Response) -> str:
    match = _MEDIA_TYPE.match(response.headers.get("content-type", ""))
    return f"{len(response.body):,} bytes of {match[0] if match else 'another type'}"
