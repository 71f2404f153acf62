"""Name of the user for the audit log."""

from __future__ import annotations

import getpass
import os

from passerby.text import escape_controls


def read_user() -> str:
    """Return the name of this process's user; its number where it has no name, as in many containers."""
    try:
        return escape_controls(getpass.getuser())[:255]
    except (ImportError, KeyError, OSError):  # by platform and version of Python
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
