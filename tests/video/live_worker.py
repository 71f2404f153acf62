"""A process that enrolls from a live source, for tests: GALLERY SOURCE MODEL. It finds the drawn people by color."""

import json
import sys

from passerby import Gallery, enroll_live
from passerby.progress import show_log
from video.test_enroll_live import detect_bright


def show(value):
    print(json.dumps(value.to_dict()), flush=True)


if __name__ == "__main__":
    where, source, model = sys.argv[1:]
    with show_log(), Gallery(where, model=model) as gallery:
        show(enroll_live(gallery, {"door": source}, boxes=detect_bright, gap=0.5, on_sighting=show))
