"""Select the HTTP proxy of a request: one set of rules for both transports."""

from __future__ import annotations

import ipaddress
import os
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_adobe_target.client.hosts import is_loopback
from airflow_provider_adobe_target.exceptions import ConnectionSettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adobe_target.client.settings import TargetSettings

_SCHEMES = ("http", "https", "socks5", "socks5h")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_for(settings: TargetSettings, url: str) -> str | None:
    """Return the URL of the proxy for a request, or None for a direct connection.

    The proxies of the connection take precedence over those of the environment. ``no_proxy`` of the connection excludes
    hosts from both; ``no_proxy`` of the environment excludes hosts from those of the environment.

    :param url: URL of the request.
    :raises ConnectionSettingsError: If the proxy cannot be used.
    """
    no_proxy = settings.proxies.get("no_proxy")
    if no_proxy is not None and is_excluded(no_proxy, url):
        return None
    proxy = _select(settings.proxies, url)
    if proxy is None and not (url.startswith("http://") and _environment_exposes_clear_text(settings)):
        proxy = _environment_proxy(url, no_proxy)
    return _checked(proxy) if proxy else None


def is_excluded(no_proxy: str, url: str) -> bool:
    """Return whether ``no_proxy`` lists the host of a URL.

    :param no_proxy: Entries separated by commas or spaces: ``*``, host names, which include their subdomains, with or
        without a leading dot, IP addresses and CIDR ranges. Each entry may end with a port.
    """
    parts = urlsplit(url)
    return any(_matches(entry, parts) for entry in re.split(r"[,\s]+", no_proxy) if entry)


def _matches(entry: str, url: SplitResult) -> bool:
    if entry == "*":
        return True
    host = (url.hostname or "").rstrip(".")
    name, port = _name_and_port(entry.lower())
    if port and port != str(url.port or _DEFAULT_PORTS.get(url.scheme)):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = name.strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:  # a host name
        return False


def _name_and_port(entry: str) -> tuple[str, str]:
    """Split ``host:port`` and ``[IPv6]:port``; an IPv6 address without brackets has no port."""
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, port.removeprefix(":")
    name, _, port = entry.partition(":")
    return (entry, "") if ":" in port else (name, port)


def _select(proxies: Mapping[str, str], url: str) -> str | None:
    """Return the most specific entry for a URL, with the keys of ``requests``."""
    parts = urlsplit(url)
    keys = (f"{parts.scheme}://{parts.hostname}", parts.scheme, f"all://{parts.hostname}", "all")
    return next((proxies[key] for key in keys if key in proxies), None)


def _environment_proxy(url: str, no_proxy: str | None = None) -> str | None:
    excluded = no_proxy or os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    if is_excluded(excluded, url) if excluded else proxy_bypass(urlsplit(url).hostname or ""):
        return None  # proxy_bypass: the exclusions of the operating system
    return _select(getproxies(), url)


def _environment_exposes_clear_text(settings: TargetSettings) -> bool:
    """Return whether a proxy on another machine would receive the plain http requests for this machine."""
    proxies = [_select(settings.proxies, url) or _environment_proxy(url) for url in settings.clear_text_urls]
    return any(proxy and not is_loopback(urlsplit(_with_scheme(proxy)).hostname or "") for proxy in proxies)


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _checked(proxy: str) -> str:
    """Return a proxy's URL with its scheme.

    :raises ConnectionSettingsError: If the scheme is not supported, or its packages are not installed.
    """
    scheme, separator, rest = _with_scheme(proxy).partition("://")
    scheme = scheme.lower()
    if scheme not in _SCHEMES:
        raise ConnectionSettingsError(f"The URL of a proxy must start with one of {', '.join(_SCHEMES)}.")
    if scheme.startswith("socks") and not (find_spec("socks") and find_spec("socksio")):
        raise ConnectionSettingsError("A SOCKS proxy requires: pip install 'requests[socks]' 'httpx[socks]'.")
    return scheme + separator + rest
