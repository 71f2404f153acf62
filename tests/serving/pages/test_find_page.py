"""The page Find, with the default model and rendered people. Oracle: the sightings and answers of the gallery."""

import base64
import io
import re
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from PIL import Image

import passerby
from passerby.serving.pages.picture import crop_box, encode_picture
from passerby.synthesis.dataset import SynthSettings
from passerby.synthesis.write import synth
from serving.pages.waiting import wait_for_page
from serving.running import running


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Pictures of 4 rendered people in 2 cameras, by person."""
    folder = tmp_path_factory.mktemp("rendered")
    synth(folder / "data", SynthSettings(identities=4, cameras=2, images=2, seed=3), workers=1)
    people = {}
    for path in sorted((folder / "data").rglob("*_c*.jpg")):
        people.setdefault(path.name[:4], []).append(path)
    return [paths for paths in people.values() if len(paths) > 2]


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory, rendered):
    """A service of a gallery of the default model; the first picture of each person is not in it."""
    folder = tmp_path_factory.mktemp("find") / "people"
    crops = [
        passerby.Crop(image=path, camera=f"cam{number % 2}", label=f"person{person}", time=1_700_000_000.0 + number)
        for person, paths in enumerate(rendered)
        for number, path in enumerate(paths[1:])
    ]
    with passerby.Gallery(folder, model="default", keep="crops") as gallery:
        gallery.enroll(crops)
    with (
        running(folder) as address,
        httpx.Client(base_url=address, follow_redirects=True, timeout=120) as http,
    ):
        yield SimpleNamespace(folder=folder, address=address, http=http)


@pytest.fixture
def large(rendered, tmp_path):
    """A picture of 400 x 300 pixels with a person at 200, 100; return the file, the box and the person's picture."""
    person = Image.open(rendered[0][0])
    image = Image.new("RGB", (400, 300), (90, 120, 60))
    image.paste(person, (200, 100))
    path = tmp_path / "large.png"
    image.save(path)
    return path, (200, 100, *person.size), rendered[0][0]


def read_hidden(page, name):
    """The values of the hidden fields of a name."""
    return re.findall(rf'<input type="hidden" name="{name}" value="([^"]*)">', page)


def read_hits(page):
    """The ids of the hits of a page."""
    return re.findall(r'<a href="/find\?like=([^"]+)">', page)


def search(site, path, **fields):
    return site.http.post("/find", files={"image": path.read_bytes()}, data=fields)


def test_a_picture_finds_its_person_and_filters_hold(site, rendered):
    page = search(site, rendered[1][0]).text
    assert len(read_hits(page)) == sum(len(paths) - 1 for paths in rendered)
    assert "<b>person1</b>" in page.partition("</article>")[0]
    filtered = search(site, rendered[1][0], camera="cam1", label="person1").text
    assert 0 < len(read_hits(filtered)) < len(rendered[1])
    assert "cam0<br>" not in filtered
    late = search(site, rendered[1][0], since="2023-11-14T22:13:21").text
    assert 0 < len(read_hits(late)) < len(read_hits(page))


def test_a_box_of_a_larger_picture_is_searched_as_its_crop(site, large):
    path, box, person = large
    inside = search(site, path, box=[str(number) for number in box]).text
    alone = search(site, encode_lossless(person)).text
    assert read_hits(inside) == read_hits(alone)
    vectors = [np.frombuffer(base64.b64decode(read_hidden(page, "query")[0]), "<f4") for page in (inside, alone)]
    assert vectors[0] @ vectors[1] > 0.9999
    whole = search(site, path).text
    assert read_hidden(whole, "query") != read_hidden(inside, "query")
    copy = Image.open(io.BytesIO(base64.b64decode(read_hidden(inside, "picture")[0])))
    assert copy.size == box[2:]


def encode_lossless(path):
    return SimpleNamespace(read_bytes=lambda: _to_png(Image.open(path)))


def _to_png(image):
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (["1", "2", "3"], "box: expected four numbers"),
        (["1", "2", "x", "4"], "box: expected four numbers"),
        (["1", "2", "3", ""], "box: expected four numbers"),
        (["900", "2", "3", "4"], "box: 900, 2, 3, 4 has no pixel of the picture, which has 400 x 300"),
        (["1", "2", "0", "4"], "has no pixel of the picture"),
        (["inf", "2", "1", "4"], "box: expected four numbers"),
    ],
)
def test_a_wrong_box_is_named(site, large, box, message):
    reply = search(site, large[0], box=box)
    assert (reply.status_code, message in reply.text) == (400, True), reply.text


def test_more_like_this_and_not_this_person(site, answers):
    first = next(iter(site.http.get("/v1/sightings").json()["sightings"]))["id"]
    page = site.http.get("/find", params={"like": first}).text
    rejected = read_hits(page)[0]
    assert "/people/" in page or "<b>person" in page
    form = {"query": read_hidden(page, "query"), "like": first, "rejected": rejected}
    again = site.http.post("/find", data=form).text
    assert rejected not in read_hits(again)
    assert answers() == [(*sorted((first, rejected)), "different")]
    assert "Done." in again
    undo = read_hidden(again, "action")
    site.http.post("/undo", data={"action": undo, "back": "/history"})
    assert answers() == []


def test_not_this_person_about_a_picture_needs_the_picture_in_the_gallery(site, rendered, answers):
    page = search(site, rendered[2][0]).text
    form = {"query": read_hidden(page, "query")[0], "picture": read_hidden(page, "picture")[0], "like": ""}
    refused = site.http.post("/find", data={**form, "rejected": read_hits(page)[0]})
    assert (refused.status_code, "Add it to the gallery first" in refused.text) == (400, True)
    assert read_hits(refused.text) == read_hits(page)
    assert answers() == []
    nameless = site.http.post("/find", data={**form, "action": "keep"})
    assert (nameless.status_code, "name the camera of the picture first" in nameless.text) == (400, True)
    kept = site.http.post(
        "/find", data={**form, "action": "keep", "new_camera": "cam9", "new_time": "2026-01-02T03:04"}
    )
    like = kept.url.params["like"]
    stored = site.http.get(f"/v1/sightings/{like}").json()
    assert (stored["camera"], stored["time"]) == ("cam9", 1767323040.0)
    assert site.http.get(f"/v1/sightings/{like}/crop").content[:2] == b"\xff\xd8"
    other = read_hits(kept.text)[0]
    site.http.post("/find", data={"query": form["query"], "like": like, "rejected": other})
    assert answers() == [(*sorted((like, other)), "different")]
    site.http.post("/v1/forget", json={"ids": [like]})


def test_errors_are_pages(site):
    for method, path, text in (
        ("GET", "/find?like=zz", "not in the gallery"),
        ("POST", "/find", "choose a picture"),
    ):
        reply = site.http.request(method, path)
        assert (reply.status_code, reply.headers["content-type"]) == (400, "text/html; charset=utf-8"), path
        assert text in reply.text
    assert "not a vector of this page" in site.http.post("/find", data={"query": "%%"}).text
    assert "picture" in search(site, SimpleNamespace(read_bytes=lambda: b"no image")).text


def test_a_box_is_drawn_by_mouse_and_moved_by_keys(site, tab, large):
    path, box, _ = large
    tab.goto(f"{site.address}/find")
    tab.locator("input[type=file]").set_input_files(path)
    image = tab.locator("#stage img")
    image.wait_for()
    tab.locator(".box.whole").wait_for()
    edge = image.bounding_box()
    scale = edge["width"] / 400
    x, y = edge["x"], edge["y"]
    tab.mouse.move(x + box[0] * scale, y + box[1] * scale)
    tab.mouse.down()
    tab.mouse.move(x + (box[0] + box[2]) * scale, y + (box[1] + box[3]) * scale, steps=4)
    tab.mouse.up()
    assert read_numbers(tab) == pytest.approx(list(box), abs=1)
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Shift+ArrowDown")
    moved = read_numbers(tab)
    assert moved == pytest.approx([box[0] + 4, box[1], box[2], box[3] + 4], abs=1)
    tab.get_by_label("Width").fill("50")
    assert tab.locator(".box").evaluate("box => box.style.width") == f"{50 * scale:g}px"
    tab.get_by_role("button", name="Search").click()
    wait_for_page(tab, tab.get_by_role("heading", name="Nearest sightings"))
    assert tab.locator("#query").evaluate("image => image.naturalWidth") == 50


def test_a_box_is_drawn_by_touch(site, phone, large):
    phone.goto(f"{site.address}/find")
    phone.locator("input[type=file]").set_input_files(large[0])
    phone.locator(".box.whole").wait_for()
    image = phone.locator("#stage img")
    image.scroll_into_view_if_needed()
    edge = image.bounding_box()
    session = phone.context.new_cdp_session(phone)
    for kind, place in (("touchStart", 0.25), ("touchMove", 0.5), ("touchMove", 0.75), ("touchEnd", None)):
        points = [] if place is None else [{k: edge[k] + place * edge[s] for k, s in (("x", "width"), ("y", "height"))}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert read_numbers(phone) == pytest.approx([100, 75, 200, 150], abs=2)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def read_numbers(tab):
    """Left, top, width and height in the form."""
    return [int(field.input_value()) for field in tab.locator("input[name=box]").all()]


def test_find_works_without_scripts(site, open_tab, large):
    with open_tab(java_script_enabled=False) as tab:
        tab.goto(f"{site.address}/find")
        tab.locator("input[type=file]").set_input_files(large[0])
        tab.get_by_text("Box in the picture").click()
        for name, number in zip(("Left", "Top", "Width", "Height"), large[1], strict=True):
            tab.get_by_label(name).fill(str(number))
        tab.get_by_role("button", name="Search").click()
        wait_for_page(tab, tab.get_by_role("heading", name="Nearest sightings"))
        assert "person0" in tab.locator("article").first.inner_text()
        tab.get_by_role("link", name="More like this").first.click()
        tab.wait_for_url("**/find?like=*")
        assert tab.locator("article").count() > 3


def test_a_box_outside_is_cut_off_and_copies_are_small():
    pixels = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert (crop_box(pixels, ["-2", "1", "4", "9"]) == pixels[1:, :2]).all()
    assert crop_box(pixels, ["", " ", "", ""]) is pixels
    assert Image.open(io.BytesIO(encode_picture(np.zeros((2000, 500, 3), np.uint8)))).size == (64, 256)
