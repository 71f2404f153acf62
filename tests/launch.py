"""Python as a subprocess, or several under torch's own launcher, and nothing left behind whatever happens."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

SEPARATE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
"""Workers that torchrun starts again may otherwise read the addresses of ended ones (pytorch issue 135712)."""


@contextmanager
def started(*arguments, processes=1, restarts=0):
    """A running `python ARGUMENTS`; at the end it and whatever it started are killed, if they still run."""
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", f"--max-restarts={restarts}"]
    launcher = ["-m", *torchrun] if processes > 1 else []
    path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, *launcher, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1", **SEPARATE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def launch(*arguments, processes=1, restarts=0):
    """Run `python ARGUMENTS` to its end and return what it printed on stdout; it must not fail."""
    with started(*arguments, processes=processes, restarts=restarts) as process:
        out, err = process.communicate()
        assert process.returncode == 0, err
        return out
