"""Authenticator that are good for a while, kept so that they are asked for as seldom as can be.

Adobe throttles who asks for too many access tokens. Those are therefore shared by all tasks of one user on a machine,
through files. A token on disk is a secret, and here it is no more of one than what its reader must know already: each
file is encrypted and signed with a key made from the OAuth client secret. The folder is the user's own, closed to
everybody else; where it is not, as when somebody else made it first, tokens are kept in memory alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import stat
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from cryptography.fernet import Fernet

    from airflow_provider_adobe_target.client.settings_fields import OAuthCredential

log = logging.getLogger(__name__)

_MAX_FILE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Token:
    """A token and when it ends.

    :param value: the token; empty where it is known that there is none.
    :param expires_at: seconds since the epoch; at the latest, for Adobe may not say it exactly.
    """

    value: str = field(repr=False)
    expires_at: float


class TokenCache:
    """Authenticator of this process by what they belong to. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[Hashable, Token] = {}
        self._asked_for: set[Hashable] = set()

    def get(self, key: Hashable, now: float) -> Token | None:
        """Return the token of a key unless it is over.

        :param now: seconds since the epoch.
        """
        with self._lock:
            token = self._tokens.get(key)
        return token if token and now < token.expires_at else None

    def put(self, key: Hashable, token: Token) -> None:
        """Keep a token."""
        with self._lock:
            self._tokens[key] = token

    def forget(self, key: Hashable, value: str) -> None:
        """Drop the token of a key, if it is still that one."""
        with self._lock:
            token = self._tokens.get(key)
            if token and token.value == value:
                del self._tokens[key]

    def clear(self) -> None:
        """Drop all tokens."""
        with self._lock:
            self._tokens.clear()

    def claim(self, key: Hashable) -> bool:
        """Say whether the caller is the one to ask for the token; if so, :meth:`release` is owed."""
        with self._lock:
            is_first = key not in self._asked_for
            self._asked_for.add(key)
            return is_first

    def release(self, key: Hashable) -> None:
        """Let others ask for the token, who will mostly find it."""
        with self._lock:
            self._asked_for.discard(key)


def read_token_file(oauth: OAuthCredential, now: float) -> Token | None:
    """Return the access token that another task left, or None where there is none that is good.

    :param now: seconds since the epoch.
    """
    from cryptography.fernet import InvalidToken

    folder = _own_folder()
    if folder is None:
        return None
    try:
        with (folder / _file_name(oauth)).open("rb") as file:
            content = json.loads(_fernet(oauth).decrypt(file.read(_MAX_FILE_BYTES)))
    except (OSError, InvalidToken):
        return None
    token = Token(content["access_token"], content["expires_at"])
    return token if now < token.expires_at else None


def write_token_file(oauth: OAuthCredential, token: Token) -> None:
    """Leave an access token for other tasks; where that cannot be, each asks for its own."""
    folder = _own_folder()
    if folder is None:
        return
    content = json.dumps({"access_token": token.value, "expires_at": token.expires_at}).encode()
    temporary = None
    try:
        number, temporary = tempfile.mkstemp(dir=folder)  # for the user's eyes only
        with open(number, "wb") as file:
            file.write(_fernet(oauth).encrypt(content))
        os.replace(temporary, folder / _file_name(oauth))
    except OSError as error:
        log.debug("The access token is not shared with other tasks: %s", error.strerror)
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)


def remove_token_file(oauth: OAuthCredential, value: str) -> None:
    """Take away the access token that other tasks would find, if it is still that one."""
    folder, token = _own_folder(), read_token_file(oauth, 0)
    if folder and token and token.value == value:
        (folder / _file_name(oauth)).unlink(missing_ok=True)


def _own_folder() -> Path | None:
    """Return the folder of token files, or None where it is not this user's alone."""
    user = os.geteuid()
    folder = Path(tempfile.gettempdir()) / f"adobe-target-tokens-{user}"
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError:
        return None
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077
    if not is_own:
        log.warning("%s is not this user's alone: access tokens are not shared with other tasks.", folder)
    return folder if is_own else None


def _file_name(oauth: OAuthCredential) -> str:
    of = f"{oauth.ims_url} {oauth.client_id} {oauth.scope}"
    return hashlib.sha256(of.encode()).hexdigest()[:32]


def _fernet(oauth: OAuthCredential) -> Fernet:
    from cryptography.fernet import Fernet

    key = hmac.digest(
        oauth.client_secret.encode(), b"adobe target access token " + _file_name(oauth).encode(), "sha256"
    )
    return Fernet(base64.urlsafe_b64encode(key))
