"""python killed.py SITE MODEL OUT RUNG TASK COUNT: adapt, choose RUNG, and be killed at the COUNT-th report of TASK."""

import os
import signal
import sys
from itertools import count

from adaptation.drawn_site import adapt


def main(site, model, out, chosen, task, last):
    import passerby.adaptation.adapt as module

    reports = count(1)

    def kill(name, done, total, _note=""):
        if name == task and (done == total or task == "finetune") and next(reports) == int(last):
            os.kill(os.getpid(), signal.SIGKILL)

    module.choose = lambda _: chosen
    adapt(out, site, model, passes=2 * (chosen == "finetune"), progress=kill)


if __name__ == "__main__":
    main(*sys.argv[1:])
