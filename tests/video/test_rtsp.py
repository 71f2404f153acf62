"""A real RTSP server (GStreamer of Debian), which is killed and started again. Oracle: two drawn people each round."""

import json
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from launch import started
from passerby import Gallery
from passerby.video.stream_source import StreamSource
from programs import require, require_module
from video.test_enroll_live import PASSWORD, detect_bright, write_frames
from video.walkers import HEIGHT, WIDTH

require_module("cv2")
SERVER = Path(__file__).with_name("rtsp_server.py")


@contextmanager
def serve(frames, port, *certificate):
    """The RTSP server, until the end of the block."""
    command = [require("gst-rtsp-server"), SERVER, str(port), str(frames / "%03d.jpg"), "ada", PASSWORD, *certificate]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find_line(stream, text, lines):
    """Read lines of a process until one contains a text."""
    for line in stream:
        lines.append(line)
        if text in line:
            return line
    raise AssertionError(f"no {text!r} in {lines}")


def test_people_of_an_rtsp_stream_are_enrolled_across_a_restart_of_the_server(workspace, tmp_path):
    """Two people in each round of 4 s. After each start of the server at least two tracks come while it runs."""
    write_frames(tmp_path / "frames", empty=30)
    port = free_port()
    address = f"rtsp://ada:{PASSWORD}@127.0.0.1:{port}/door"
    out, err = [], []
    with started("-m", "video.live_worker", "people-live", address, "runs/m") as process:
        reader = threading.Thread(target=lambda: err.extend(process.stderr), daemon=True)
        reader.start()
        for _ in range(2):
            with serve(tmp_path / "frames", port):
                find_line(process.stdout, '"camera": "door"', out)
                find_line(process.stdout, '"camera": "door"', out)
        process.send_signal(signal.SIGTERM)
        out += process.stdout
        assert process.wait() == 0
        reader.join()
    *events, result = map(json.loads, out)
    messages = "".join(err)
    name = f"rtsp://127.0.0.1:{port}/door"
    # The client may try before the server listens; then its first connection is reported with the time it took.
    assert re.search(rf"{re.escape(name)}: connected(?: after \d+ s, attempt \d+)?, 320 x 240 pixels", messages)
    assert f"{name}: connection lost; trying again after 1, 2, 4, 8, 16, 30, 30, ... s" in messages
    assert f"{name}: connected after " in messages
    assert result["counts"]["losses"] in (1, 2)  # the second loss may come before or after SIGTERM
    assert result["new"] == len(events) >= 4
    assert abs(events[0]["start"] - time.time()) < 600
    assert PASSWORD not in "".join([*out, *err])
    with Gallery("people-live") as gallery:
        rows = [sighting for some in gallery.store.walk() for sighting in some]
    assert {row.id for row in rows} == {event["id"] for event in events}
    assert {row.attributes["track.video"] for row in rows} == {name}
    assert {row.attributes["track.identity"] for row in rows} == {event["identity"] for event in events}
    files = [path.read_bytes() for path in Path("people-live").rglob("*") if path.is_file()]
    assert files
    assert not any(PASSWORD.encode() in content for content in files)


def test_an_encrypted_stream_is_read(tmp_path):
    """A self-signed certificate: FFmpeg encrypts and does not verify it. The first frame shows the two people."""
    write_frames(tmp_path / "frames")
    certificate = tmp_path / "camera.pem"
    command = [require("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=camera"]
    subprocess.run([*command, "-keyout", tmp_path / "key.pem", "-out", certificate], check=True, capture_output=True)
    with certificate.open("a") as file:
        file.write((tmp_path / "key.pem").read_text())
    port = free_port()
    messages = []
    address = f"rtsps://ada:{PASSWORD}@127.0.0.1:{port}/door"
    with serve(tmp_path / "frames", port, certificate):
        source = StreamSource(address, inform=messages.append, warn=messages.append)
        source.start()
        while (item := source.take()) is None:
            time.sleep(0.05)
        source.close()
    assert messages == [f"rtsps://127.0.0.1:{port}/door: connected, {WIDTH} x {HEIGHT} pixels"]
    assert item.frame.pixels.shape == (HEIGHT, WIDTH, 3)
    assert len(detect_bright(item.frame.pixels)) == 2
