"""Run by torchrun for test_finetune.py: each process adapts MODEL to SITE and writes its result to OUT.RANK.json."""

import json
import os
import sys
from pathlib import Path

import torch

from adaptation.drawn_site import adapt

if __name__ == "__main__":
    torch.set_num_threads(1)
    out, site, model = sys.argv[1:]
    result = adapt(out, site, model, passes=2)
    content = {"chosen": result.chosen, "passes": result.rungs[-1].details["passes"]}
    Path(f"{out}.{os.environ['RANK']}.json").write_text(json.dumps(content))
