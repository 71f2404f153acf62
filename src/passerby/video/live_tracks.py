"""Tracks of a live source: ended one by one, joined over short gaps, with bounded memory."""

from __future__ import annotations

from passerby.video.frame_tracker import FrameTracker
from passerby.video.tracklets import Tracklet, by_start, find_links, join_tracklets, merge_tracklets

LONGEST = 300.0
"""Seconds after which a track is split, so that a person who stays is enrolled and memory is bounded."""
_SETTLE = 1.0
"""Seconds that are waited after the gap, in which a following track gets its boxes."""


class LiveTracks:
    """Take the tracks that have ended from a tracker, and join those with short gaps between them.

    A track waits for `gap` seconds and one more after its last box. It is then joined to the track that follows it, if
    there is one (`find_links`), or returned.

    Args:
        tracker: Tracker of one camera.
        gap: Longest gap in seconds over which two tracks are joined by appearance.
        threshold: Largest cosine distance between the two; None joins none.
    """

    def __init__(self, tracker: FrameTracker, *, gap: float, threshold: float | None) -> None:
        self._tracker, self._gap, self._threshold = tracker, gap, threshold
        self._waiting: list[Tracklet] = []
        self._before: dict[int, Tracklet] = {}  # what an open track continues, by its number

    def pop(self, now: float) -> list[Tracklet]:
        """Return the tracks that are complete at a time of the source's clock."""
        self._end(last_before=now - self._tracker.memory, first_before=now - LONGEST)
        if self._threshold is None:
            complete, self._waiting = self._waiting, []
            return complete
        hold = self._gap + max(_SETTLE, self._tracker.memory)
        complete = []
        while True:
            ended = next((item for item in self._waiting if now - item.end > hold), None)
            if ended is None:
                return sorted(complete, key=by_start)
            self._waiting.remove(ended)
            if not self._join(ended, self._threshold):
                complete.append(ended)

    def restart(self) -> None:
        """End the open tracks at the end of a part of the source; they can be joined to those of the next part."""
        self._end()
        self._tracker.restart()

    def finish(self) -> list[Tracklet]:
        """End all tracks and return them."""
        self._end()
        tracklets, self._waiting = self._waiting, []
        if self._threshold is None:
            return sorted(tracklets, key=by_start)
        return join_tracklets(tracklets, threshold=self._threshold, gap=self._gap)

    def _end(self, **limits: float) -> None:
        for number, tracklet in self._tracker.collector.end_tracks(**limits).items():
            before = self._before.pop(number, None)
            self._waiting.append(tracklet if before is None else merge_tracklets([before, tracklet]))
        open_numbers = self._tracker.collector.numbers
        for number in [number for number in self._before if number not in open_numbers]:
            self._waiting.append(self._before.pop(number))  # what followed had too few boxes

    def _join(self, ended: Tracklet, threshold: float) -> bool:
        """Join a track to the one that follows it, which has ended or is open; return whether there is one."""
        following = self._tracker.collector.open_tracks()
        free = {number: item for number, item in following.items() if number not in self._before}
        candidates = [ended, *self._waiting, *free.values()]
        index = find_links(candidates, threshold=threshold, gap=self._gap).get(0)
        if index is None or candidates[index].end - ended.start > LONGEST:
            return False
        if index <= len(self._waiting):
            self._waiting[index - 1] = merge_tracklets([ended, self._waiting[index - 1]])
        else:
            self._before[[*free][index - 1 - len(self._waiting)]] = ended
        return True
