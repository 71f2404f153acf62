"""Programs and modules that tests need beside Python's: without them a test is skipped, and fails in CI (`CI=true`).

`.ci/packages` installs the programs on Debian and Ubuntu. A test of a program that this system has no package for, such
as the RTSP server on macOS, is skipped there too.
"""

import importlib
import os
import shutil
import subprocess
import sys

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
"""The Python of Debian, which has the bindings of GStreamer."""

PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "mosquitto": ("mosquitto",),
    "nginx": ("nginx",),
    "openssl": ("openssl",),
}
"""Names of the executable, the first that exists is taken."""

GSTREAMER = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good,ugly}"


def require(name):
    """Return the path of a program; `gst-rtsp-server` is the Python that can import it."""
    if name == "gst-rtsp-server":
        return SYSTEM_PYTHON if _has_rtsp_server() else _missing(name, GSTREAMER)
    path = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"  # Debian's servers are there
    found = filter(None, (shutil.which(program, path=path) for program in PROGRAMS[name]))
    return next(found, None) or _missing(name, name)


def require_module(name):
    """Return a module of an extra; a module that exists but lacks a library of the system counts as missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        _missing(name, None, f"{error}; pip install 'passerby[dev]'", at_import=True)


def _missing(name, packages, text=None, *, at_import=False):
    text = text or f"{name} is not installed: apt install {packages}"
    if os.environ.get("CI") == "true" and sys.platform == "linux":
        pytest.fail(f"{text} (in CI, a test is not skipped for that; .ci/packages installs the programs)")
    pytest.skip(text, allow_module_level=at_import)


def _has_rtsp_server():
    code = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if not os.path.exists(SYSTEM_PYTHON):
        return False
    return subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, check=False).returncode == 0
