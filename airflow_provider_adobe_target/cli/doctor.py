"""``adobe-target doctor``: find the reasons why uploads do not work on this machine."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import tempfile
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from airflow_provider_adobe_target.cli import output
from airflow_provider_adobe_target.cli.connection import conn_id_option, connection_settings, has_connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_adobe_target.client.settings import TargetSettings

DISTRIBUTION = "airflow-provider-adobe-target"
OK, WARNING, ERROR = "ok", "warning", "error"

_MAX_CLOCK_DIFFERENCE = 60.0  # seconds
_WANTED_SPACE, _NEEDED_SPACE = 1_000_000_000, 150_000_000  # bytes; three files of 49 MB, and the ids


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    :param check: Name of the check.
    :param level: ``ok``, ``warning`` or ``error``.
    :param message: What was found.
    :param remedy: What to do. Empty if the level is ``ok``.
    """

    check: str
    level: str
    message: str
    remedy: str = ""


@click.command(short_help="Check the installation and the connection.")
@click.option("--offline", is_flag=True, help="Make no call.")
@conn_id_option
@output.json_option
def doctor(offline: bool, conn_id: str | None) -> int:
    """Check versions, provider discovery, connection, clock, shared folder and disk space.

    The exit code is 1 if a check found an error. Nothing is changed.
    """
    findings = list(_findings(offline, conn_id))
    output.print_result({"findings": [asdict(finding) for finding in findings]}, lambda: _print(findings))
    return 1 if any(finding.level == ERROR for finding in findings) else 0


def _findings(offline: bool, conn_id: str | None) -> Iterator[Finding]:
    yield from _versions()
    yield _discovery()
    yield _shared_folder()
    yield _temporary_folder()
    if not has_connection(conn_id):
        yield Finding("connection", WARNING, "No connection is given.", "Give --conn-id or ADOBE_TARGET_CLIENT_CODE.")
        return
    try:
        settings = connection_settings(conn_id)
    except Exception as error:  # a finding like any other
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        yield Finding("connection", ERROR, message, "Correct the connection.")
        return
    token = "with a token" if settings.token or settings.reads_token else "without a token"
    yield Finding("connection", OK, f"{settings.base_url}, {token}, {settings.calls_per_minute} calls per minute")
    if not offline:
        yield _call(settings)
        yield _clock(settings)


def _versions() -> Iterator[Finding]:
    """Compare the installed packages with the requirements of this distribution."""
    from packaging.requirements import Requirement

    yield Finding("python", OK, f"Python {platform.python_version()} on {platform.system()}")
    try:
        requirements = [Requirement(text) for text in importlib.metadata.requires(DISTRIBUTION) or ()]
    except importlib.metadata.PackageNotFoundError:
        remedy = f"Install it: pip install {DISTRIBUTION}"
        yield Finding("versions", ERROR, f"{DISTRIBUTION} is not installed, only its source is on the path.", remedy)
        return
    yield Finding(DISTRIBUTION, OK, importlib.metadata.version(DISTRIBUTION))
    for requirement in requirements:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            version = _installed(requirement.name)
            wanted = f"pip install '{requirement.name}{requirement.specifier}'"
            if version is None:
                yield Finding(requirement.name, ERROR, "not installed", wanted)
            elif not requirement.specifier.contains(version, prereleases=True):
                yield Finding(requirement.name, ERROR, f"{version} does not match {requirement.specifier}", wanted)
            else:
                yield Finding(requirement.name, OK, version)


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _discovery() -> Finding:
    """Check that Airflow finds the provider, without importing Airflow."""
    points = importlib.metadata.entry_points(group="apache_airflow_provider")
    found = [point for point in points if point.value.startswith("airflow_provider_adobe_target.")]
    if not found:
        return Finding("provider", ERROR, "Airflow does not find the provider.", f"pip install {DISTRIBUTION}")
    if len(found) > 1:
        remedy = f"Remove the copies: pip uninstall {DISTRIBUTION}, until it is no longer found, then install it."
        return Finding("provider", WARNING, f"The provider is registered {len(found)} times.", remedy)
    names = [entry["connection-type"] for entry in found[0].load()()["connection-types"]]
    return Finding("provider", OK, f"registered, with the connection type {', '.join(names)}")


def _shared_folder() -> Finding:
    """Check the folder of the rate limiter and the run lock: its owner and mode, and that files can be locked."""
    from airflow_provider_adobe_target.concurrency import file_lock

    remedy = f"Let {file_lock.FOLDER_VARIABLE} name a folder of this user on a local disk."
    try:
        folder = file_lock.shared_folder()
        with tempfile.TemporaryDirectory(dir=folder, prefix="doctor-") as own:
            file = Path(own, "lock")
            with file_lock.locked(file):
                is_locked = file_lock.is_locked(file)
    except OSError as error:
        return Finding("shared folder", ERROR, f"The tasks of this machine cannot share a limit: {error}", remedy)
    if not is_locked:
        return Finding("shared folder", ERROR, f"{folder} is on a file system without locks.", remedy)
    return Finding("shared folder", OK, str(folder))


def _temporary_folder() -> Finding:
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("temporary folder", ERROR, str(error), "Set TMPDIR to a writable folder.")
    message = f"{free / 1e9:,.1f} GB free in {folder}"
    if free >= _WANTED_SPACE:
        return Finding("temporary folder", OK, message)
    level = ERROR if free < _NEEDED_SPACE else WARNING
    return Finding("temporary folder", level, message, "Make room, or let TMPDIR name a folder that has it.")


def _call(settings: TargetSettings) -> Finding:
    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.exceptions import AdobeTargetError

    try:
        works, message = Session(settings).test_connection()
    except (AdobeTargetError, OSError) as error:
        works, message = False, str(error)
    return Finding("call", OK if works else ERROR, message, "" if works else "See the message.")


def _clock(settings: TargetSettings) -> Finding:
    """Compare this machine's clock with the ``Date`` header of a response."""
    from dataclasses import replace

    from airflow_provider_adobe_target.client.endpoints.profile import check_request
    from airflow_provider_adobe_target.client.protocol import Response
    from airflow_provider_adobe_target.client.transports.requests import RequestsTransport
    from airflow_provider_adobe_target.concurrency import clock

    plain = replace(settings, token=None, oauth=None)
    before = clock.SYSTEM.now()
    with RequestsTransport(plain) as transport:
        response = transport.send(check_request(plain, "adobe-target-doctor"))
    date = response.headers.get("date") if isinstance(response, Response) else None
    try:
        difference = before - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return Finding("clock", WARNING, "The response has no date to compare with.", "Compare the clock yourself.")
    message = f"{abs(difference):.0f} s {'ahead of' if difference > 0 else 'behind'} the response"
    if abs(difference) <= _MAX_CLOCK_DIFFERENCE:
        return Finding("clock", OK, message)
    return Finding("clock", WARNING, message, "Set the clock, for example with NTP: tokens expire by it.")


def _print(findings: list[Finding]) -> None:
    output.print_table([(finding.level, finding.check, finding.message) for finding in findings], indent="")
    for finding in findings:
        if finding.remedy:
            click.echo(f"{finding.check}: {finding.remedy}")
