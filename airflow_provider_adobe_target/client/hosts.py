"""Strict parsing of host names, so that all URL parsers agree on the host."""

from __future__ import annotations

import ipaddress
import re

_AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# Some parsers read a name with such a last label as an IPv4 address: 127.1, 0x7f000001, 0177.1.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def parse_authority(text: str) -> tuple[str, int | None]:
    """Parse ``host`` or ``host:port``.

    :param text: Part of a URL between ``//`` and the next ``/``, ``?`` or ``#``, without a user part.
    :return: Host in lower case (an IPv6 address compressed and in brackets), and port, if any.
    :raises ValueError: If the text is invalid. The message does not contain the text.
    """
    if "@" in text:
        raise ValueError("it contains a user part")
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError("its host is not a valid host name")
    port = None if match["port"] is None else parse_port(int(match["port"]))
    return parse_host(match["host"]), port


def parse_host(text: str) -> str:
    """Return a host name or an IP address in normalized form.

    :param text: ASCII host name, dotted IPv4 address, or IPv6 address in brackets.
    :raises ValueError: For any other text, such as empty labels, a trailing dot, or another notation of an IP address.
    """
    if text.startswith("["):
        return f"[{ipaddress.IPv6Address(text[1:-1]).compressed}]"
    host = text.lower()
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("its host is not a valid host name")
    if _NUMBER.fullmatch(labels[-1]):
        return str(ipaddress.IPv4Address(host))
    return host


def parse_port(number: int) -> int:
    """Return the port after a range check.

    :raises ValueError: If it is not between 1 and 65535.
    """
    if not 1 <= number <= 65535:
        raise ValueError("its port is not between 1 and 65535")
    return number


def is_loopback(host: str) -> bool:
    """Return whether a host in normalized form is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
