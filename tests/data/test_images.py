"""Decoding and resizing. Oracles: Pillow's decoding, and pixels worked by hand for the rules of this package."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from data.layouts import noise, png, write_cuhk03, write_image
from passerby.data.images import decode_image, read_image, resize_image, rgb_pixels
from passerby.errors import DataError
from passerby.types import Sample


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_jpeg_pixels_are_those_of_pillow(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg")
    assert np.array_equal(read_image(path), np.asarray(Image.open(path)))
    assert read_image(Sample(path, 1, 0)).shape == (40, 20, 3)


def test_png_pixels_are_as_written(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    assert np.array_equal(read_image(path), noise(str(path)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_gray_becomes_three_equal_channels(kind: str) -> None:
    image = Image.fromarray(np.full((40, 20), 77, dtype=np.uint8))
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decode_image(encoded(image, kind, **options), "a"), np.full((40, 20, 3), 77))


def test_one_bit_becomes_black_and_white() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert decode_image(encoded(image, "PNG"), "a").tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_alpha_is_composited_over_white() -> None:
    """Opaque stays, transparent is white; 102 of 255 red over white: 255 - 0.4 * 255 = 153 in green and blue."""
    image = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((255, 0, 102)):
        image.putpixel((x, 0), (255, 0, 0, alpha))
    assert decode_image(encoded(image, "PNG"), "a").tolist() == [[[255, 0, 0], [255, 255, 255], [255, 153, 153]]]


def test_gray_with_alpha_is_composited_over_white() -> None:
    image = Image.new("LA", (2, 1))
    image.putpixel((0, 0), (10, 255))
    image.putpixel((1, 0), (10, 0))
    assert decode_image(encoded(image, "PNG"), "a").tolist() == [[[10] * 3, [255] * 3]]


def test_palette_colors_are_applied_and_the_transparent_color_is_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert decode_image(encoded(image, "PNG"), "a").tolist() == [[[9, 8, 7], [200, 100, 50]]]
    assert decode_image(encoded(image, "PNG", transparency=0), "a").tolist() == [[[255] * 3, [200, 100, 50]]]


def test_sixteen_bits_keep_the_high_byte() -> None:
    """A plain conversion clips, which would make both pixels white."""
    gray = Image.fromarray(np.array([[0x1234, 0xFF00]], dtype=np.uint16))
    assert decode_image(encoded(gray, "PNG"), "a").tolist() == [[[0x12] * 3, [0xFF] * 3]]
    color = png(1, 1, depth=16, color=2, rows=b"\0" + struct.pack(">HHH", 0x1234, 0x5678, 0x9ABC))
    assert decode_image(color, "a").tolist() == [[[0x12, 0x56, 0x9A]]]


def test_cmyk_jpeg_is_converted_and_not_inverted() -> None:
    """No ink is white, full ink black; Pillow's conversion is the oracle for the rest."""
    image = Image.new("CMYK", (32, 16), (0, 0, 0, 0))
    image.paste((0, 255, 255, 0), (16, 0, 32, 16))
    data = encoded(image, "JPEG", quality=95)
    pixels = decode_image(data, "a")
    assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert pixels[8, 2].min() > 240
    assert pixels[8, 29, 0] > 240 > 20 > pixels[8, 29, 1:].max()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(kind: str, orientation: int) -> None:
    """Oracle: Pillow's `exif_transpose`."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(noise("exif", (24, 40))), kind, exif=exif)
    pixels = decode_image(data, "a")
    assert np.array_equal(pixels, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))
    assert pixels.shape == ((40, 24, 3) if orientation >= 5 else (24, 40, 3))
    assert pixels.flags.c_contiguous


JPEG = encoded(Image.fromarray(noise("jpeg", (64, 32))), "JPEG")
PNG = encoded(Image.fromarray(noise("png", (64, 32))), "PNG")


def bomb_jpeg() -> bytes:
    """The JPEG above with 30,000 x 30,000 in its frame header (marker FFC0: length, precision, height, width)."""
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", 30_000, 30_000) + JPEG[at + 4 :]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.jpg", b"", "empty"),
        ("truncated.jpg", JPEG[: len(JPEG) // 2], "truncated"),
        ("header_only.jpg", JPEG[:20], "truncated"),
        ("truncated.png", PNG[: len(PNG) // 2], "truncated"),
        ("text.jpg", b"<html>not found</html>", "not an image"),
        ("bomb.png", png(30_000, 30_000), "900,000,000 pixels, expected at most 89,000,000"),
        ("bomb.jpg", bomb_jpeg(), "30000 x 30000 pixels, expected at most 89,000,000"),
        ("just_over.png", png(10_001, 10_000), "100,010,000 pixels, expected at most 89,000,000"),
        ("float.tiff", encoded(Image.new("F", (2, 2)), "TIFF"), "floating-point"),
        ("wide.tiff", encoded(Image.new("I", (2, 2), 70_000), "TIFF"), "8 or 16 bits"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_image(tmp_path / name, size=(8, 8))
    assert name in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG progressive", "JPEG gray"])
@pytest.mark.parametrize("stray", [1, 3, 100])
def test_jpeg_with_stray_bytes_before_its_end_marker_is_decoded(kind: str, stray: int) -> None:
    """Oracle: the pixels of the file without the stray bytes. libjpeg skips a few of them without a message."""
    image = Image.fromarray(noise("stray", (128, 64)))
    image = image.convert("L") if "gray" in kind else image
    whole = encoded(image, "JPEG", progressive="progressive" in kind)
    messages: list[str] = []
    pixels = decode_image(whole[:-2] + bytes(stray) + whole[-2:], "camera.jpg", warn=messages.append)
    assert np.array_equal(pixels, decode_image(whole, "whole"))
    assert len(messages) == 1 if stray == 100 else len(messages) <= 1
    for message in messages:
        assert "camera.jpg: " in message
        assert "extraneous bytes before marker 0xd9" in message


@pytest.mark.parametrize("kind", ["sequential", "CMYK", "EXIF"])
@pytest.mark.parametrize("missing", [1, 2])
def test_jpeg_without_its_end_marker_is_decoded_if_its_scan_is_whole(kind: str, missing: int) -> None:
    """Oracle: the pixels of the whole file."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(noise("end", (128, 64))).convert("CMYK" if kind == "CMYK" else "RGB")
    whole = encoded(image, "JPEG", **({"exif": exif} if kind == "EXIF" else {}))
    messages: list[str] = []
    pixels = decode_image(whole[:-missing], "camera.jpg", warn=messages.append)
    assert np.array_equal(pixels, decode_image(whole, "whole"))
    assert messages == ["camera.jpg: Premature end of JPEG file"]


@pytest.mark.parametrize("kind", ["sequential", "progressive"])
@pytest.mark.parametrize("marker", [b"\xff\xda", b"\xff\xc4", b"\xff\xdb"])
def test_jpeg_with_stray_bytes_between_its_segments_is_decoded(kind: str, marker: bytes) -> None:
    """Oracle: the pixels of the file without the stray bytes."""
    whole = encoded(Image.fromarray(noise("segments", (64, 32))), "JPEG", progressive=kind == "progressive")
    at = whole.index(marker)
    messages: list[str] = []
    pixels = decode_image(whole[:at] + bytes(5) + whole[at:], "camera.jpg", warn=messages.append)
    assert np.array_equal(pixels, decode_image(whole, "whole"))
    assert messages == [f"camera.jpg: 5 extraneous bytes before marker 0x{marker[1]:02x}"]


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_jpeg_whose_scan_is_cut_is_refused_with_and_without_an_end_marker(cut: float, mode: str) -> None:
    whole = encoded(Image.fromarray(noise("jpeg", (64, 32))).convert(mode), "JPEG")
    for end in (b"", b"\xff\xd9", b"\0\0\xff\xd9"):
        with pytest.raises(DataError, match="damaged or truncated JPEG"):
            decode_image(whole[: int(cut * len(whole))] + end, "cut.jpg")


def test_progressive_jpeg_without_its_last_scan_is_refused() -> None:
    """Its first scans alone would be decoded to a blurred image."""
    whole = encoded(Image.fromarray(noise("jpeg", (64, 32))), "JPEG", progressive=True)
    with pytest.raises(DataError, match="damaged or truncated JPEG"):
        decode_image(whole[: whole.rindex(b"\xff\xda")], "cut.jpg")


def insert_chunk(at: bytes, kind: bytes, content: bytes, *, checksum: int | None = None) -> bytes:
    """Return the PNG below with one more chunk before the chunk `at`."""
    start = PNG.index(at) - 4
    right = zlib.crc32(kind + content) if checksum is None else checksum
    return PNG[:start] + struct.pack(">I", len(content)) + kind + content + struct.pack(">I", right) + PNG[start:]


@pytest.mark.parametrize(
    ("data", "damage"),
    [
        (PNG[:-1] + b"\0", "the chunk IEND has a wrong checksum"),
        (PNG[:-3], "the chunk IEND is truncated"),
        (PNG[:-12], "the chunk IEND is missing"),
        (insert_chunk(b"IEND", b"tEXt", b"a\0b", checksum=7), "the chunk tEXt has a wrong checksum"),
        (insert_chunk(b"IDAT", b"eXIf", b"no EXIF data"), None),
        (PNG + b"after the end", None),
    ],
)
def test_png_with_a_damaged_chunk_outside_of_its_pixels_is_decoded(data: bytes, damage: str | None) -> None:
    """As other decoders do; the damage is stated for `data check`."""
    messages: list[str] = []
    assert np.array_equal(decode_image(data, "a.png", warn=messages.append), noise("png", (64, 32)))
    assert messages == ([] if damage is None else [f"a.png: {damage}"])


def test_exif_data_that_cannot_be_read_does_not_turn_the_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(noise("exif", (24, 40))), "JPEG", exif=exif)
    at = data.index(b"Exif") + 6
    assert decode_image(data[:at] + b"damaged!" + data[at + 8 :], "a").shape == (24, 40, 3)


def test_the_limit_of_pixels_is_the_callers() -> None:
    for data in (JPEG, PNG):
        assert decode_image(data, "a", max_pixels=64 * 32).shape == (64, 32, 3)
        with pytest.raises(DataError, match="a: 32 x 64 pixels, expected at most 2,047; give a smaller image"):
            decode_image(data, "a", max_pixels=64 * 32 - 1)


def test_gif_is_read_by_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 8), color) for color in ("#ff0000", "#0000ff")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(decode_image(data, "a"), np.full((8, 4, 3), (255, 0, 0)))


Image.init()
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    "kind", [*(["AVIF"] if "AVIF" in Image.SAVE else []), "DDS", "SPIDER", "PCX", "TGA", "ICO", "SGI", "EPS"]
)
def test_formats_outside_the_list_are_refused_whatever_the_suffix(tmp_path: Path, kind: str) -> None:
    """Pillow could decode each of these, EPS by starting Ghostscript."""
    image = Image.new("F" if kind == "SPIDER" else "RGB", (16, 16))
    (tmp_path / "a.jpg").write_bytes(EPS if kind == "EPS" else encoded(image, kind))
    with pytest.raises(DataError, match=r"a\.jpg: not an image that can be read .*expected JPEG, PNG"):
        read_image(tmp_path / "a.jpg")


def test_any_exception_of_a_decoder_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (MemoryError(), RuntimeError("codec"), ZeroDivisionError("size"), AssertionError()):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(Image, "open", fail)
        with pytest.raises(DataError, match=r"a\.png: a damaged or truncated PNG file"):
            decode_image(PNG, "a.png")


PEAK = """
import resource, sys
from pathlib import Path
from passerby.data.images import read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
shape = read_image(Path(sys.argv[1]), size=(64, 32)).shape
print(shape, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
@pytest.mark.parametrize("kind", ["palette", "16-bit"])
def test_memory_of_a_large_image_is_bounded(tmp_path: Path, kind: str) -> None:
    """85 megapixels in a file of some KiB: the RGB result has 243 MiB, the decoded source 81 or 162 MiB."""
    if kind == "palette":
        image = Image.new("P", (8_500, 10_000))
        image.putpalette([9, 8, 7])
        data = encoded(image, "PNG", transparency=0)
    else:
        data = encoded(Image.fromarray(np.zeros((10_000, 8_500), np.uint16)), "PNG")
    (tmp_path / "large.png").write_bytes(data)
    assert len(data) < 2**20
    arguments = [sys.executable, "-c", PEAK, str(tmp_path / "large.png")]
    output = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    shape, mebibytes = output.rsplit(" ", 1)
    assert shape == "(64, 32, 3)"
    assert int(mebibytes) < 800


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg: cannot be read: No such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path)


def test_floating_point_images_in_memory_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="crop 7: floating-point"):
        rgb_pixels(Image.new("F", (2, 2)), "crop 7")


@settings(max_examples=150)
@given(data=st.data(), original=st.sampled_from([JPEG, PNG]))
def test_any_damage_gives_pixels_or_a_data_error(data: st.DataObject, original: bytes) -> None:
    """Truncate anywhere and change a few bytes: the result is DataError or pixels of the same type."""
    damaged = bytearray(original[: data.draw(st.integers(0, len(original)))])
    for position in data.draw(st.lists(st.integers(0, max(len(damaged) - 1, 0)), max_size=4)):
        if damaged:
            damaged[position] = data.draw(st.integers(0, 255))
    try:
        pixels = decode_image(bytes(damaged), "damaged")
    except DataError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


@given(height=st.integers(1, 60), width=st.integers(1, 60))
@settings(max_examples=30)
def test_resize_returns_the_requested_size_and_keeps_a_uniform_color(height: int, width: int) -> None:
    image = np.full((23, 17, 3), (10, 200, 99), dtype=np.uint8)
    resized = resize_image(image, (height, width))
    assert resized.shape == (height, width, 3)
    assert resized.flags.writeable  # torch warns otherwise
    assert np.array_equal(resized, np.broadcast_to(image[0, 0], resized.shape))


def test_resize_averages_when_it_shrinks_and_keeps_an_equal_size() -> None:
    """One-pixel stripes of 0 and 255 shrink to gray; without antialiasing they would stay black or white."""
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = resize_image(stripes, (8, 8))
    assert np.abs(small.astype(int) - 127).max() <= 8
    assert resize_image(stripes, (64, 64)) is stripes


def test_a_key_reads_from_the_container(tmp_path: Path) -> None:
    path = write_cuhk03(tmp_path)
    assert read_image(Sample(path, 1, 0, key="labeled/1_001_1_01.png"), size=(12, 8)).shape == (12, 8, 3)
