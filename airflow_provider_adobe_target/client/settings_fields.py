"""Parse and validate the fields of an Adobe Target connection."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_adobe_target.argument_checks import check_number
from airflow_provider_adobe_target.client.hosts import is_loopback, parse_authority, parse_host, parse_port
from airflow_provider_adobe_target.exceptions import ConnectionSettingsError

TARGET_DOMAIN = ".tt.omtrdc.net"
DEFAULT_CALLS_PER_MINUTE = 30
MAX_CALLS_PER_MINUTE = 50
DEFAULT_IMS_URL = "https://ims-na1.adobelogin.com"
DEFAULT_ADMIN_URL = "https://mc.adobe.io"
# Commonly used scopes. The page of a credential in Adobe Developer Console lists its own.
DEFAULT_IMS_SCOPE = "openid,AdobeID,read_organizations,additional_info.projectedProductContext,target_sdk"
DEFAULT_TIMEOUT = (10.0, 300.0)
UPDATE_PATH_SEGMENTS = ("client_code", "client")

_CLIENT_CODE = re.compile(r"[A-Za-z0-9_-]{1,63}")
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_BASE_URL = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<authority>[^/?#]*)/?")
_PROXY_KEY = re.compile(r"no_proxy|(?:https?|all)(?:://[A-Za-z0-9_.:\[\]-]+)?")
_PROXY = re.compile(r"(?:https?|socks5h?)://(?:[\x21-\x7e]*@)?(?P<authority>[^/?#@]*)/?")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}


@dataclass(frozen=True)
class OAuthCredential:
    """An Adobe OAuth server-to-server credential. The ``repr`` contains no secret.

    :param client_id: Client ID from the credential's page in Adobe Developer Console.
    :param client_secret: Client secret from the same page.
    :param scope: Comma-separated scopes to request.
    :param ims_url: Base URL of the IMS host that issues access tokens: ``scheme://host[:port]``.
    """

    client_id: str
    client_secret: str = field(repr=False)
    scope: str = DEFAULT_IMS_SCOPE
    ims_url: str = DEFAULT_IMS_URL


def _present(value: Any) -> Any:
    """Return the value, with surrounding white space removed from text, or None if it is not set."""
    if isinstance(value, str):
        value = value.strip()
    return None if value == "" else value


def _client_code(login: str | None) -> str:
    code = _present(login)
    if code is None:
        raise ConnectionSettingsError(
            "login must be the client code. Target shows it under Administration > Implementation > Account Details."
        )
    if not isinstance(code, str) or not _CLIENT_CODE.fullmatch(code):
        raise ConnectionSettingsError(
            "login must be a client code: letters, digits, '_' and '-' only. Target shows it under Administration > "
            "Implementation > Account Details."
        )
    return code


def _base(client_code: str, host: str | None, port: int | str | None, schema: str | None) -> tuple[str, str]:
    """Return scheme and authority of the base URL, without the scheme's default port."""
    text, given_scheme = _present(host), _present(schema)
    if text is None:
        return "https", f"{client_code.lower()}{TARGET_DOMAIN}"
    if not isinstance(text, str) or not isinstance(given_scheme, str | None):
        raise ConnectionSettingsError("host and schema must be text.")
    match = _BASE_URL.fullmatch(text)
    if match is None:
        raise ConnectionSettingsError(
            "host must not have a path, a query or a fragment. Set scheme, host name and port only."
        )
    scheme = (match["scheme"] or given_scheme or "https").lower()
    if scheme not in ("http", "https"):
        raise ConnectionSettingsError("host must start with https:// or http:// (schema: https or http).")
    try:
        name, url_port = parse_authority(match["authority"])
        number = url_port or _port(port)
    except ValueError as error:
        raise ConnectionSettingsError(
            f"host or port is invalid: {error}. Example: https://target.example.com:8443"
        ) from None
    if number is None or number == {"http": 80, "https": 443}[scheme]:
        return scheme, name
    return scheme, f"{name}:{number}"


def _port(port: int | str | None) -> int | None:
    value = _present(port)
    return None if value is None else parse_port(_integer("port", value))


def _token(name: str, value: Any) -> str | None:
    token = _present(value)
    if token is None:
        return None
    if not isinstance(token, str) or not _VISIBLE_ASCII.fullmatch(token):
        raise ConnectionSettingsError(f"{name} must not contain white space or non-ASCII characters. Paste it again.")
    return token


def _word(name: str, value: Any) -> str | None:
    word = _present(value)
    if word is not None and not (isinstance(word, str) and _WORD.fullmatch(word)):
        raise ConnectionSettingsError(f"{name} must have letters, digits, '_' and '-' only.")
    return word


def _text(name: str, value: Any) -> str | None:
    text = _present(value)
    if text is not None and not isinstance(text, str):
        raise ConnectionSettingsError(f"{name} must be text.")
    return text


def _patterns(name: str, value: Any) -> tuple[str, ...]:
    patterns = _items(name, _present(value))
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise ConnectionSettingsError(f"{name} must be names or patterns: '*email*, *phone*'.")
    return tuple(patterns)


def _choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return one of the choices. The default is the first."""
    choice = _present(value)
    if choice is None:
        return choices[0]
    if choice not in choices:
        raise ConnectionSettingsError(f"{name} must be {' or '.join(map(repr, choices))}.")
    return str(choice)


def _oauth(fields: Mapping[str, Any]) -> OAuthCredential | None:
    client_id = _token("client_id", fields.get("client_id"))
    secret = _token("client_secret", fields.get("client_secret"))
    if client_id is None and secret is None:
        return None
    if client_id is None or secret is None:
        missing = "client_id" if client_id is None else "client_secret"
        raise ConnectionSettingsError(f"{missing} must be set: an OAuth credential needs client_id and client_secret.")
    scopes = [_token("ims_scope", scope) for scope in _items("ims_scope", _present(fields.get("ims_scope")))]
    return OAuthCredential(
        client_id,
        secret,
        ",".join(filter(None, scopes)) or DEFAULT_IMS_SCOPE,
        _adobe_url("ims_host", fields.get("ims_host"), DEFAULT_IMS_URL),
    )


def _adobe_url(name: str, value: Any, default: str) -> str:
    """Return the base URL of a host that receives secrets. It must be https, unless it is on this machine."""
    text = _present(value)
    if text is None:
        return default
    match = _BASE_URL.fullmatch(text) if isinstance(text, str) else None
    try:
        host, port = parse_authority(match["authority"] if match else "")
    except ValueError as error:
        raise ConnectionSettingsError(f"{name} is invalid: {error}. Example: https://proxy.example.com") from None
    scheme = ((match and match["scheme"]) or "https").lower()
    if scheme != "https" and not (scheme == "http" and is_loopback(host)):
        raise ConnectionSettingsError(f"{name} must start with https://, because secrets are sent to it.")
    return f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}"


def _boolean(name: str, value: Any, *, default: bool) -> bool:
    value = _present(value)
    if value is None:
        return default
    word = str(value).lower() if isinstance(value, (bool, str)) or value in (0, 1) else ""
    if word not in _TRUE | _FALSE:
        raise ConnectionSettingsError(f"{name} must be true or false.")
    return word in _TRUE


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ConnectionSettingsError(f"{name} must be a number.")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ConnectionSettingsError(f"{name} must be a number.") from None


def _integer(name: str, value: Any) -> int:
    number = _number(name, value)
    if not number.is_integer():
        raise ConnectionSettingsError(f"{name} must be a whole number.")
    return int(number)


def _calls_per_minute(value: Any) -> int:
    value = _present(value)
    if value is None:
        return DEFAULT_CALLS_PER_MINUTE
    calls = _integer("calls_per_minute", value)
    check_number("calls_per_minute", calls, 1, MAX_CALLS_PER_MINUTE, error=ConnectionSettingsError)
    return calls


def _sync_log_keep_days(value: Any) -> int | None:
    value = _present(value)
    if value is None:
        return None
    days = _integer("sync_log_keep_days", value)
    check_number("sync_log_keep_days", days, 1, 36_500, error=ConnectionSettingsError)
    return days


def _items(name: str, value: Any) -> list[Any]:
    """Return the entries of a list, a JSON list, or comma-separated text."""
    if isinstance(value, str):
        text = value.strip()
        value = _json(name, text) if text.startswith("[") and text.endswith("]") else text.split(",")
    elif not isinstance(value, Sequence):
        value = [value]
    return [item for item in map(_present, value) if item is not None]


def _hosts(value: Any) -> frozenset[str]:
    try:
        return frozenset(parse_host(str(item)) for item in _items("allowed_status_hosts", _present(value)))
    except ValueError:
        raise ConnectionSettingsError(
            "allowed_status_hosts must be host names without scheme, port and path, such as "
            "'status.example.com, other.example.com'."
        ) from None


def _timeout(value: Any) -> tuple[float, float]:
    numbers = [_number("timeout", item) for item in _items("timeout", _present(value))]
    if not numbers:
        return DEFAULT_TIMEOUT
    if len(numbers) > 2 or not all(0 < number < math.inf for number in numbers):
        raise ConnectionSettingsError(
            "timeout must be one or two positive numbers of seconds (connect, read), such as '10, 300'."
        )
    return numbers[0], numbers[-1]


def _verify(value: Any) -> bool | str:
    value = _present(value)
    if isinstance(value, str) and value.lower() not in _TRUE | _FALSE:
        if not os.path.exists(value):
            raise ConnectionSettingsError(
                "verify must be true, false, or the path of an existing file or folder of certificates."
            )
        return value
    return _boolean("verify", value, default=True)


def _proxies(value: Any) -> dict[str, str]:
    value = _present(value)
    if isinstance(value, str):
        value = _json("proxies", value)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConnectionSettingsError(
            'proxies must be a JSON object, such as {"https": "http://proxy.example.com:3128"}.'
        )
    present = {key: _present(proxy) for key, proxy in value.items()}
    return {key: _proxy(key, proxy) for key, proxy in present.items() if proxy is not None}


def _proxy(key: str, proxy: Any) -> str:
    """Return a proxy's URL with its scheme. No message contains the user part, which may contain a password."""
    if not _PROXY_KEY.fullmatch(key):
        raise ConnectionSettingsError(
            "proxies has an invalid key. Keys must be http, https, all, a URL with one of these schemes, or no_proxy."
        )
    if not isinstance(proxy, str):
        raise ConnectionSettingsError(f"proxies must have text for {key}.")
    if key == "no_proxy":
        return proxy
    url = proxy if "://" in proxy else f"http://{proxy}"
    match = _PROXY.fullmatch(url)
    try:
        parse_authority(match["authority"] if match else "")
    except ValueError:
        raise ConnectionSettingsError(
            f"proxies must have a URL for {key}, such as http://proxy.example.com:3128."
        ) from None
    return url


def _keeps_clear_text_local(entry: tuple[str, str]) -> bool:
    key, proxy = entry
    return key == "no_proxy" or key.startswith("https") or is_loopback(urlsplit(proxy).hostname or "")


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConnectionSettingsError(f"{name} is not valid JSON.") from None
