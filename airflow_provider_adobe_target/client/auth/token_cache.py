"""Token caches: in memory, and for access tokens also in encrypted files.

Adobe throttles clients that request too many access tokens. All tasks of one user on a machine therefore share access
tokens through files. Each file is encrypted and authenticated (Fernet) with a key derived from the OAuth client secret,
so a reader must already have the credential. The folder must belong to the user and be closed to all other users.
Otherwise tokens are kept in memory only.
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
    """A token and its expiry.

    :param value: Token; empty if it is known that no token exists.
    :param expires_at: Latest possible expiry in seconds since the epoch. Adobe may not report the exact time.
    """

    value: str = field(repr=False)
    expires_at: float


class TokenCache:
    """Tokens of this process by key. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[Hashable, Token] = {}
        self._asked_for: set[Hashable] = set()

    def get(self, key: Hashable, now: float) -> Token | None:
        """Return the token of a key, or None if there is none or it has expired.

        :param key: Key of the token.
        :param now: Current time in seconds since the epoch.
        """
        with self._lock:
            token = self._tokens.get(key)
        return token if token and now < token.expires_at else None

    def put(self, key: Hashable, token: Token) -> None:
        """Store the token of a key."""
        with self._lock:
            self._tokens[key] = token

    def forget(self, key: Hashable, value: str) -> None:
        """Remove the token of a key, if its value is still ``value``."""
        with self._lock:
            token = self._tokens.get(key)
            if token and token.value == value:
                del self._tokens[key]

    def clear(self) -> None:
        """Remove all tokens."""
        with self._lock:
            self._tokens.clear()

    def claim(self, key: Hashable) -> bool:
        """Claim the request for the token of a key.

        :return: True if the caller must request the token and then call :meth:`release`. False if another caller has
            claimed the request.
        """
        with self._lock:
            is_first = key not in self._asked_for
            self._asked_for.add(key)
            return is_first

    def release(self, key: Hashable) -> None:
        """Release the claim on the request for the token of a key."""
        with self._lock:
            self._asked_for.discard(key)


def read_token_file(oauth: OAuthCredential, now: float) -> Token | None:
    """Return the access token that another task has stored, or None if there is no valid one.

    :param oauth: OAuth credential of the token.
    :param now: Current time in seconds since the epoch.
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
    """Write an access token for other tasks. If the file cannot be written, each task requests its own token."""
    folder = _own_folder()
    if folder is None:
        return
    content = json.dumps({"access_token": token.value, "expires_at": token.expires_at}).encode()
    temporary = None
    try:
        number, temporary = tempfile.mkstemp(dir=folder)  # mode 0600
        with open(number, "wb") as file:
            file.write(_fernet(oauth).encrypt(content))
        os.replace(temporary, folder / _file_name(oauth))
    except OSError as error:
        log.debug("The access token is not shared with other tasks: %s", error.strerror)
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)


def remove_token_file(oauth: OAuthCredential, value: str) -> None:
    """Remove the file of an access token, if it still contains this token."""
    folder, token = _own_folder(), read_token_file(oauth, 0)
    if folder and token and token.value == value:
        (folder / _file_name(oauth)).unlink(missing_ok=True)


def _own_folder() -> Path | None:
    """Return the folder of token files, or None if other users have access to it."""
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
        log.warning("Other users have access to %s. Access tokens are not shared with other tasks.", folder)
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
