"""Name of the user. Oracle: the names that the operating system is made to return here."""

import getpass
import os

import pytest

from gallery.people import MODEL
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.user import read_user


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("no username"), ImportError("no pwd")])
def test_a_user_without_a_name_is_its_number(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(getpass, "getuser", fail)
    assert read_user() == f"uid {os.getuid()}"
    store = open_gallery("memory", model=MODEL)
    assert store.audit()[0].user == f"uid {os.getuid()}"
    store.close()


def test_a_name_with_terminal_sequences_is_escaped(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "Ada\x1b[2J")
    assert read_user() == r"Ada\x1b[2J"
