"""Run by torchrun for test_processes.py: `passerby ARGUMENTS`, whose second worker kills itself in its first start."""

import os
import signal
import sys
from pathlib import Path

from passerby.cli.main import main
from passerby.training import optimizer

KILLED_IN = 9
"""Step in which the worker ends, before its gradients are clipped; its batches are drawn by similarity."""


def kill_in_the_middle(out):
    """Make the worker kill itself in a step of the training, and write that step to OUT.killed."""
    clip, calls = optimizer.clip_gradients, []

    def clip_or_die(*arguments):
        calls.append(1)
        if len(calls) == KILLED_IN:
            Path(f"{out}.killed").write_text(str(len(calls)))
            os.kill(os.getpid(), signal.SIGKILL)
        return clip(*arguments)

    from passerby.training import loop

    loop.clip_gradients = clip_or_die


if __name__ == "__main__":
    if (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]) == ("1", "0"):
        kill_in_the_middle(sys.argv[sys.argv.index("--out") + 1])
    main()
