"""Convert the settings of a Treasure Data export to Adobe Target into operator arguments."""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from airflow_provider_adobe_target.exceptions import ProfileDataError

log = logging.getLogger(__name__)

_TYPE = "adobe_target"
_CREDENTIAL_WORDS = ("token", "auth")
_TRANSPORT_WORDS = ("retry", "retries", "connect_timeout", "connection_timeout", "read_timeout", "write_timeout")
_SETTINGS = ("type", "client_code", "api_version", "guaranteed_upload", "skip_invalid_records")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class TreasureDataExport:
    """The converted settings of an export.

    :param arguments: Arguments of the operator.
    :param client_code: Client code of the settings; None if they have none.
    """

    arguments: dict[str, Any]
    client_code: str | None


def read_export(
    settings: Mapping[str, Any] | str | None, arguments: Mapping[str, Any], operator: type
) -> TreasureDataExport:
    """Read the settings of an export from JSON, YAML or keyword arguments.

    A setting that is null counts as absent.

    :param settings: JSON or YAML text, or its parsed content.
    :param arguments: Settings as keyword arguments, and arguments of the operator.
    :param operator: Class of the operator.
    :raises ProfileDataError: If a setting has no counterpart. The message names it and the alternative.
    """
    pasted = {**_unpacked(settings), **arguments}
    pasted = {**_unpacked(pasted.pop("result_settings", None)), **pasted}
    pasted = {name: value for name, value in pasted.items() if value is not None or name not in _SETTINGS}
    if pasted.pop("type", _TYPE) != _TYPE:
        raise ProfileDataError(
            f"These settings do not belong to an export to Adobe Target: their type is not {_TYPE!r}."
        )
    accepted = _arguments_of(operator)
    client_code = pasted.pop("client_code", None)
    kept: dict[str, Any] = {}
    for name, value in pasted.items():
        if name == "api_version":
            kept[name] = _api_version(value)
        elif name in ("guaranteed_upload", "skip_invalid_records"):
            kept[name] = _boolean(name, value)
        elif name in accepted:
            kept[name] = value
        elif name == "result_connection" or any(word in name for word in _CREDENTIAL_WORDS):
            log.warning(
                "Treasure Data's %s is not used, and must not be in a DAG file: save the profile token as the password "
                "of an Airflow connection, and name the connection in adobe_target_conn_id.",
                name,
            )
        elif any(word in name for word in _TRANSPORT_WORDS):
            log.warning(
                "Treasure Data's %s is not used: retries of calls are built in, their timeout is set in the connection "
                "(timeout), and retries of the task are set with Airflow's retries.",
                name,
            )
        else:
            raise ProfileDataError(
                f"{name!r} is neither a Treasure Data setting with a counterpart nor an argument of "
                f"{operator.__name__}. Remove it; docs/how-to/migrate/treasure-data.md lists the settings."
            )
    return TreasureDataExport(kept, None if client_code is None else str(client_code).strip() or None)


def check_client_code(expected: str | None, actual: str) -> None:
    """Check that the connection's client code is the one in the settings.

    :param expected: Client code of the settings; None skips the check.
    :param actual: Client code of the connection.
    :raises ProfileDataError: If the client codes differ.
    """
    if expected is not None and expected != actual:
        raise ProfileDataError(
            f"The settings from Treasure Data are for the client code {expected!r}, and the connection's login is "
            f"{actual!r}. Name the right connection in adobe_target_conn_id, or remove client_code."
        )


def _unpacked(settings: Any) -> dict[str, Any]:
    """Return settings by name, without those that are null."""
    if isinstance(settings, str):
        settings = _parsed(settings)
    if settings is not None and not isinstance(settings, Mapping):
        raise ProfileDataError("The settings from Treasure Data are not one JSON object or YAML mapping.")
    return {name: value for name, value in (settings or {}).items() if value is not None}


def _parsed(text: str) -> Any:
    """Parse JSON or YAML text."""
    with suppress(ValueError):
        return json.loads(text)
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML with the scalars of JSON, so that a client code such as ``0123`` or ``no`` stays text."""

        yaml_implicit_resolvers = {}

    Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?i:true|false)\Z"), list("tTfF"))
    Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]*)\Z"), list("-0123456789"))
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, RecursionError):
        raise ProfileDataError("The settings from Treasure Data are not valid JSON or YAML.") from None


def _arguments_of(operator: type) -> set[str]:
    signatures = [inspect.signature(kind.__init__) for kind in operator.__mro__ if "__init__" in vars(kind)]  # type: ignore[misc]
    return {name for signature in signatures for name in signature.parameters} - {"self", "args", "kwargs"}


def _api_version(value: Any) -> str:
    version = f"v{str(value).strip().lower().removeprefix('v')}"
    if version not in ("v1", "v2"):
        raise ProfileDataError(f"api_version={value!r} is neither 'v1' nor 'v2'.")
    return version


def _boolean(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).strip().lower() not in _BOOLEANS:
        raise ProfileDataError(f"{name}={value!r} is neither true nor false.")
    return _BOOLEANS[str(value).strip().lower()]
