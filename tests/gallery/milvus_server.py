"""A real standalone Milvus server from the PyPI package `milvus`: started, waited for, killed, started again.

Ports are free ones, files are in a folder of its own. The binary of 2.3 listens on every interface and has no setting
for that: do not run this where others can reach the machine. Its metrics are on loopback.
"""

import os
import subprocess
import time
import urllib.request
import warnings
from contextlib import contextmanager
from pathlib import Path

WAIT = 180.0


class Server:
    """One server, which can be killed and started again with the same ports and files."""

    def __init__(self, root):
        import milvus

        self.root = Path(root)
        config = milvus.MilvusServerConfig(data_dir=str(self.root))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it drops the sockets of ports that are taken
            config.resolve()
            self.health, socket = config.resolve_port(19_091)
        socket.close()
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
