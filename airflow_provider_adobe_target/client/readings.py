"""What an HTTP answer means: a result, another try, or an error that another try would only repeat."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from airflow_provider_adobe_target.client.answers import (
    UnreadableAnswerError,
    excerpt,
    parse_failed_ids,
    parse_json_object,
    parse_status,
    parse_submit,
    printable,
)
from airflow_provider_adobe_target.client.fetched import TargetProfile
from airflow_provider_adobe_target.client.outcomes import BatchReceipt, BatchStatus
from airflow_provider_adobe_target.client.retries import Setback
from airflow_provider_adobe_target.client.urls import batch_id_of, checked_status_url
from airflow_provider_adobe_target.concurrency.clock import utc_time
from airflow_provider_adobe_target.exceptions import (
    StatusLostError,
    TargetRefusedError,
    TokenRefusedError,
    UnclearAnswerError,
)

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.protocol import Response
    from airflow_provider_adobe_target.client.settings import TargetSettings

# What is not one of these is not repeated: a header may hold anything.
_MEDIA_TYPE = re.compile(r"(?:text|application)/(?:html|xhtml\+xml|xml|json|plain)\b")
_HINTS = {
    404: "Check the client code (login) and, where one is set, the host of the connection.",
    413: "Lower max_bytes_per_file.",
}


def read_submit(settings: TargetSettings, response: Response, now: float) -> BatchReceipt:
    """Read the answer to a submit, one that is final: it is a success where HTTP status and body say so.

    :param now: time of the answer, seconds since the epoch.
    :raises TokenRefusedError: for 401 and 403.
    :raises TargetRefusedError: for every other answer without ``success`` and a usable status URL.
    """
    refuse_token(settings, response)
    try:
        answer = parse_submit(response.body)
    except UnreadableAnswerError:
        answer = None
    if not response.ok or answer is None:
        error = UnclearAnswerError if response.ok else TargetRefusedError
        _refuse(settings, response, "the batch", answer.message if answer else excerpt(response.body), error)
    if answer.success is not True:
        said = scrub(settings, answer.message) or "nothing more"
        raise TargetRefusedError(f"Target refused the batch (success is not true). It says: {said}")
    try:
        status_url = checked_status_url(settings, answer.status_url)
    except TargetRefusedError as error:
        raise UnclearAnswerError(
            f"Target accepted the batch, so its rows may have been queued, but gave no usable status URL. {error}"
        ) from None
    return BatchReceipt(batch_id_of(status_url), status_url, utc_time(now))


def read_status(settings: TargetSettings, response: Response, batch_id: str | None) -> BatchStatus | Setback:
    """Read the answer to a status request, one that is final or a failed poll.

    :return: the status, or a setback for HTML and for what is neither XML nor JSON.
    :raises TokenRefusedError: for 401 and 403.
    :raises StatusLostError: where Target does not know the batch: 404, 410, ``success`` false, no status.
    :raises TargetRefusedError: for redirects and other refusals.
    """
    refuse_token(settings, response)
    lost = response.status in (404, 410)
    try:
        answer = parse_status(response.body)
    except UnreadableAnswerError as error:
        if response.ok:
            return Setback(f"HTTP {response.status} with {_kind(response)}, and {error}")
    else:
        if response.ok and answer.success is not False and answer.status is not None:
            return answer.status
        lost = lost or response.ok or answer.success is False
    if lost:
        raise StatusLostError(
            f"status lost: Target no longer knows batch {batch_id}, or answers without a status for it (HTTP "
            f"{response.status}). It keeps statuses for about a day. What became of the rows is unknown; "
            "sending the same rows again is safe."
        )
    _refuse(settings, response, f"the status of batch {batch_id}", "")


def read_failed_ids(settings: TargetSettings, response: Response, batch_id: str | None) -> set[str] | Setback:
    """Read which ids a status answer lists as failed; returns and raises as :func:`read_status` otherwise."""
    status = read_status(settings, response, batch_id)
    return status if isinstance(status, Setback) else parse_failed_ids(response.body)


def read_update(settings: TargetSettings, response: Response) -> None:
    """Read the answer to a single update: it says that Target took it, not that the profile exists.

    Adobe shows ``trueRequest successfully submitted``, which is its XML without the tags; both are read. No error
    repeats Target's text, which may name the person's id.

    :raises TokenRefusedError: for 401 and 403.
    :raises TargetRefusedError: for every other answer that does not say so.
    """
    refuse_token(settings, response)
    try:
        taken = parse_submit(response.body).success
    except UnreadableAnswerError:
        taken = response.body.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(b"true")
    if response.ok and taken is False:
        raise TargetRefusedError("Target refused the single update (success is false).")
    if not (response.ok and taken):
        _refuse(settings, response, "the single update", "")


def read_profile(settings: TargetSettings, response: Response) -> TargetProfile | None:
    """Read the answer to a look-up. No error repeats Target's text, which names the person's id.

    :return: None where Target has no profile of that id.
    :raises TokenRefusedError: for 401 and 403.
    :raises TargetRefusedError: for every answer that is neither a profile nor 'no profile found'.
    """
    refuse_token(settings, response)
    try:
        content = parse_json_object(response.body)
    except UnreadableAnswerError:
        content = {}
    if content and (response.status == 404 or (response.ok and content.get("status") == 404)):
        return None
    if not content or not response.ok or "status" in content:
        _refuse(settings, response, "the look-up of a profile", "")
    return TargetProfile.from_answer(content)


def refuse_token(settings: TargetSettings, response: Response) -> None:
    """Raise for an answer that refuses the token, or demands one.

    :raises TokenRefusedError: for 401 and 403.
    """
    if response.status not in (401, 403):
        return
    if settings.reads_token:
        raise TokenRefusedError(
            f"Target refused the token that the Admin API gives for tenant {settings.tenant_id}, or there is none "
            f"(HTTP {response.status}). Check that the tenant is the client code's, and that a Profile API token was "
            "generated under Administration > Implementation > Profile API."
        )
    if settings.token is None:
        raise TokenRefusedError(
            f"Target demands a token (HTTP {response.status}): 'Require Authentication' is on. Generate a "
            "token under Administration > Implementation > Profile API, and save it as the "
            "connection's password."
        )
    raise TokenRefusedError(
        f"Target refused the token (HTTP {response.status}). It may have expired, or a newer one may have "
        "been generated under Administration > Implementation > Profile API, where 'Require Authentication' "
        "is switched. The Debugger token on the same page is another one, and does not do."
    )


def scrub(settings: TargetSettings, text: str) -> str:
    """Return text of an answer as one line, cut, without the connection's secrets."""
    for secret in (settings.token, settings.property_token):
        if secret:
            text = text.replace(secret, "***")
    return printable(text)


def _refuse(
    settings: TargetSettings,
    response: Response,
    subject: str,
    said: str,
    error: type[TargetRefusedError] = TargetRefusedError,
) -> NoReturn:
    """Raise for an answer that would be the same at another try."""
    if 300 <= response.status <= 399:
        raise TargetRefusedError(
            f"Target's answer to {subject} is a redirect (HTTP {response.status}), and redirects are never "
            "followed: the token would go along. Check the host of the connection."
        )
    what = f"HTTP {response.status} with {_kind(response)}"
    hint = _HINTS.get(response.status, "") if not response.ok else "A proxy may have answered in Target's place."
    text = scrub(settings, said)
    raise error(" ".join(filter(None, (f"Target refused {subject}: {what}.", hint, text and f"It says: {text}"))))


def _kind(response: Response) -> str:
    match = _MEDIA_TYPE.match(response.headers.get("content-type", ""))
    return f"{len(response.body):,} bytes of {match[0] if match else 'another type'}"
