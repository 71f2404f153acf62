"""Addresses of streams without what they keep secret."""

from __future__ import annotations

import re

from passerby.text import escape_controls

_PARAMETER = re.compile(r"[=&;?#]|%3[adf]|%26", re.IGNORECASE)
"""Characters of a path in which cameras take user names, passwords and tokens."""


def hide_credentials(address: str) -> str:
    """Return an address without user name, password, query, and parts of the path that contain parameters.

    Everything before the last `@` is left out, because passwords may contain unescaped `/`, `?`, `#` and `@`.

    Args:
        address: Such as `rtsp://user:password@host:554/path?token=1`. A text without `://` is returned as it is.

    Example:
        >>> hide_credentials("rtsp://ada:secret@10.0.0.7:554/door?token=1")
        'rtsp://10.0.0.7:554/door'
        >>> hide_credentials("rtsp://10.0.0.7/user=ada&password=secret/1.sdp")
        'rtsp://10.0.0.7/.../1.sdp'
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return escape_controls(address)
    host, *parts = rest.rpartition("@")[2].partition("?")[0].partition("#")[0].split("/")
    hidden = ["..." if _PARAMETER.search(part) else part for part in parts]
    return escape_controls("/".join([f"{scheme}://{host}", *hidden]))
