"""Texts about data and weights without the folders of this machine, for files that are published."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath


def public_name(path: str) -> str:
    """Return the last component of a path, of any system.

    Example:
        >>> public_name("/home/ana/runs/m/"), public_name("default")
        ('m', 'default')
    """
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def public_spec(spec: str) -> str:
    """Return a spec with the last component of each path alone, also of paths in options.

    Example:
        >>> public_spec("market1501:/home/ana/Market-1501?camera=none&distractors=/home/ana/500k")
        'market1501:Market-1501?camera=none&distractors=500k'
    """
    return "+".join(map(_public_part, re.split(r"\+(?=[A-Za-z][\w-]*:)", spec)))


def hide_folders(text: str) -> str:
    """Return a text as it is, or the last component of a path that leaves the working directory.

    Example:
        >>> hide_folders("/home/ana/m"), hide_folders("~/m"), hide_folders("runs/m"), hide_folders("timm: a/b")
        ('m', 'm', 'runs/m', 'timm: a/b')
    """
    outside = PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute() or text[:1] == "~"
    return public_name(text) if outside or ".." in re.split(r"[/\\]", text) else text


def _public_part(part: str) -> str:
    name, colon, rest = part.partition(":")
    path, question, options = rest.rpartition("?") if "?" in rest else (rest, "", "")
    shown = [key + equals + public_name(value) for key, equals, value in (o.partition("=") for o in options.split("&"))]
    return f"{name}{colon}{public_name(path)}{question}{'&'.join(shown)}"
