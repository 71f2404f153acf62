"""Tokens of a service: made on the machine of the gallery, stored as hashes in a private file of its folder."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from passerby.errors import GalleryError, argument, explain
from passerby.files import hold_lock, read_json, write_atomic
from passerby.gallery.sightings import require_label

Role = Literal["read", "operate", "admin"]
"""`read` searches and reads; `operate` also adds, labels and removes; `admin` also erases, exports and audits."""
ROLES: tuple[Role, ...] = get_args(Role)
TOKENS = "serve-tokens.json"
"""Name of the file in the folder of the gallery."""
_FORMAT = re.compile(r"pby_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Token:
    """Stored fields of a token: its hash, not its text.

    Attributes:
        name: Name in the audit log and in the list of tokens.
        role: What its holder may do.
        digest: SHA-256 of the token, hexadecimal. The token has 256 random bits, so that no slow hash is needed.
        made: Time at which it was made, seconds since 1970 UTC.
    """

    name: str
    role: Role
    digest: str
    made: float


class TokenFile:
    """Tokens of a gallery. The file is read again when it has changed, so that a new token needs no restart.

    Args:
        folder: Folder of the gallery.

    Example:
        >>> passerby.Gallery("ours", model="runs/m").close()
        >>> tokens = TokenFile(Path("ours"))
        >>> text = tokens.add("read", name="viewer")
        >>> tokens.find(text).name, tokens.find("pby_" + 43 * "a")
        ('viewer', None)
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / TOKENS
        self._state: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()

    def read(self) -> tuple[Token, ...]:
        """Return the tokens, oldest first.

        Raises:
            GalleryError: If the file cannot be read.
        """
        try:
            status = self.path.stat()
            state = (status.st_mtime_ns, status.st_size, status.st_ino)
            if state != self._state:
                self._tokens = tuple(Token(**token) for token in read_json(self.path)["tokens"])
                self._state = state
        except FileNotFoundError:
            self._state, self._tokens = None, ()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GalleryError(
                f"{self.path}: the tokens cannot be read ({explain(error)}); remove the file and make new tokens"
            ) from None
        return self._tokens

    def find(self, text: str) -> Token | None:
        """Return the stored token of a text, None for an unknown one."""
        if not _FORMAT.fullmatch(text):
            return None
        digest = _digest(text)
        return next((token for token in self.read() if secrets.compare_digest(token.digest, digest)), None)

    def add(self, role: str, *, name: str | None = None) -> str:
        """Make a token and return its text, which is not stored and cannot be shown again.

        Raises:
            GalleryError: For an unknown role, or a name that is taken or not printable.
        """
        if role not in ROLES:
            raise GalleryError(f"{argument('new_token')}: got {role!r}, expected one of {', '.join(ROLES)}")
        require_label(argument("token_name"), "the name of a token", name)
        text = f"pby_{secrets.token_urlsafe(32)}"
        digest = _digest(text)
        with hold_lock(self.path.with_name(f"{TOKENS}.lock"), wait=True):
            tokens = self.read()
            name = f"{role} {digest[:8]}" if name is None else name
            if any(token.name == name for token in tokens):
                raise GalleryError(f"token {name!r}: the name is taken; choose another, or revoke that token")
            self._write((*tokens, Token(name, role, digest, time.time())))
        return text

    def revoke(self, name: str) -> None:
        """Remove a token.

        Raises:
            GalleryError: If no token has the name.
        """
        with hold_lock(self.path.with_name(f"{TOKENS}.lock"), wait=True):
            tokens = self.read()
            if all(token.name != name for token in tokens):
                known = ", ".join(token.name for token in tokens) or "none"
                raise GalleryError(f"token {name!r}: no token has this name; tokens: {known}")
            self._write(tuple(token for token in tokens if token.name != name))

    def _write(self, tokens: tuple[Token, ...]) -> None:
        content = json.dumps({"format": 1, "tokens": [asdict(token) for token in tokens]}, indent=1)
        write_atomic(self.path, content.encode(), private=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
