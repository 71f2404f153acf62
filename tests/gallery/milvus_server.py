"""A real standalone Milvus server from the PyPI package `milvus`: started, waited for, killed, started again.

Ports are free ones, files are in a folder of its own. The binary of 2.3 listens on every interface and has no setting
for that, so it starts only in a network namespace whose one interface is loopback: `make test-milvus`.
"""

import os
import socket
import subprocess
import time
import urllib.request
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

from programs import require_module

WAIT = 180.0


def require_server():
    """Skip the test where no server can be started; `make test-milvus` starts one."""
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        pytest.skip("the Milvus server listens on all interfaces, so it needs a network namespace: make test-milvus")
    for module in ("pymilvus", "milvus"):  # the second is a binary for Linux on x86_64
        require_module(module)


class Server:
    """One server, which can be killed and started again with the same ports and files."""

    def __init__(self, root):
        import milvus

        self.root = Path(root)
        config = milvus.MilvusServerConfig(data_dir=str(self.root))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it drops the sockets of ports that are taken
            config.resolve()
            self.health, port = config.resolve_port(19_091)
        port.close()
        file = self.root / "configs" / "milvus.yaml"
        file.write_text(file.read_text().replace("  ip: #", "  ip: 127.0.0.1 #"))
        milvus._initialize_data_files(str(self.root))
        self.address = f"milvus://127.0.0.1:{config.get('proxy_port')}"
        self.process = None

    def start(self):
        settings = {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self.health),
            "MILVUS_RUN_DIR": str(self.root / "run"),
            "LD_LIBRARY_PATH": str(self.root / "bin"),
        }
        with (self.root / "server.log").open("ab") as log:
            command = [str(self.root / "bin" / "milvus"), "run", "standalone"]
            self.process = subprocess.Popen(command, cwd=self.root, env=os.environ | settings, stdout=log, stderr=log)
        end = time.monotonic() + WAIT
        while not self.is_healthy():
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"the Milvus server did not start; its words are in {self.root / 'server.log'}")
            time.sleep(0.2)

    def is_healthy(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/healthz", timeout=2) as answer:
                return b"OK" in answer.read()
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()


@contextmanager
def running_server(root):
    """The `Server`, running."""
    server = Server(root)
    server.start()
    try:
        yield server
    finally:
        server.kill()
