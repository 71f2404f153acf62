"""An RTSP server for tests: run by the system's Python, because the bindings of GStreamer are Debian packages.

    /usr/bin/python3 rtsp_server.py PORT FRAMES USER PASSWORD [CERTIFICATE]

It serves the images FRAMES (such as /tmp/%03d.jpg), repeated, as H.264 at rtsp://127.0.0.1:PORT/door, or with
the PEM file of a certificate and its key at rtsps://.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402

port, frames, user, password, *certificate = sys.argv[1:]
Gst.init(None)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f"( multifilesrc location={frames} loop=true caps=image/jpeg,framerate=10/1 ! jpegdec ! videoconvert "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96 )"
)
factory.set_shared(True)
permissions = GstRtspServer.RTSPPermissions()
permissions.add_permission_for_role("user", "media.factory.access", True)
permissions.add_permission_for_role("user", "media.factory.construct", True)
factory.set_permissions(permissions)
auth = GstRtspServer.RTSPAuth()
token = GstRtspServer.RTSPToken()
token.set_string("media.factory.role", "user")
auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
for path in certificate:
    auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(path))
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
server.set_auth(auth)
server.get_mount_points().add_factory("/door", factory)
assert server.attach(None) > 0, "the port is taken"
print("ready", flush=True)
GLib.MainLoop().run()
