"""Videos that are drawn: bright figures on a dark street, whose boxes are known."""

import numpy as np

WIDTH, HEIGHT, RATE = 320, 240, 10
COLORS = {1: (220, 40, 40), 2: (40, 60, 230)}


def corners_of(person, frame):
    """Person 1 walks to the right, person 2 to the left and further down; 24 x 60 pixels each."""
    left = 20 + 6 * frame if person == 1 else 270 - 6 * frame
    top = 40 if person == 1 else 150
    return left, top, left + 24, top + 60


def draw(path, *, rate=RATE, frames=40):
    """Frames of two people."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (WIDTH, HEIGHT))
    for frame in range(frames):
        pixels = np.full((HEIGHT, WIDTH, 3), 70, np.uint8)
        for person, color in COLORS.items():
            left, top, right, bottom = corners_of(person, frame)
            pixels[top:bottom, left:right] = color[::-1]  # OpenCV's order
        writer.write(pixels)
    writer.release()


def boxes_of(frames, *, people=(1, 2), tracked=False):
    """The true boxes."""
    from passerby.video.boxes import make_detections

    return {
        frame: make_detections(
            [corners_of(person, frame) for person in people],
            np.full(len(people), 0.9),
            people if tracked else None,
        )
        for frame in frames
    }


def damage(source, target, frames):
    """Copy a video of JPEG frames and overwrite some of them with zeros."""
    data = bytearray(source.read_bytes())
    position = data.find(b"movi") + 4
    payloads = []
    while data[position : position + 4] == b"00dc":
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        payloads.append(slice(position + 8, position + 8 + size))
        position += 8 + size + size % 2
    for frame in frames:
        part = payloads[frame]
        data[part] = bytes(part.stop - part.start)
    target.write_bytes(data)
