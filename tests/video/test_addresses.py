"""Addresses without credentials. Oracle: hand-written pairs, and a secret that must not occur in the result."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.errors import DataError
from passerby.video.addresses import hide_credentials
from passerby.video.frames import read_video_info

ADDRESSES = {
    "rtsp://10.0.0.7:554/door": "rtsp://10.0.0.7:554/door",
    "rtsp://ada:SECRET@10.0.0.7/door": "rtsp://10.0.0.7/door",
    "rtsp://ada:S/E?C#R@ET@host:8554/a/b": "rtsp://host:8554/a/b",
    "rtsp://host/door?user=ada&password=SECRET": "rtsp://host/door",
    "rtsp://host/door#SECRET": "rtsp://host/door",
    "rtsp://host/user=ada_password=SECRET_channel=1.sdp": "rtsp://host/...",
    "rtsp://host/a;token=SECRET/b": "rtsp://host/.../b",
    "rtsp://host/user%3Dada%26password%3DSECRET": "rtsp://host/...",
    "rtsp://[2001:db8::7]:554/door": "rtsp://[2001:db8::7]:554/door",
    "door.avi": "door.avi",
    "0": "0",
}


@pytest.mark.parametrize(("address", "expected"), ADDRESSES.items())
def test_credentials_are_left_out(address, expected):
    assert hide_credentials(address) == expected


@given(st.text(max_size=20), st.text(st.characters(exclude_characters="?#"), max_size=5))
def test_no_password_remains(password, user):
    assert "SECRET" not in hide_credentials(f"rtsp://{user}:SECRET{password}@host/door")


def test_a_message_about_an_address_has_no_credentials():
    with pytest.raises(DataError, match=r"^rtsp://host/door: is an address, expected a video file; add live=True"):
        read_video_info("rtsp://ada:SECRET@host/door")
