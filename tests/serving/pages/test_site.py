"""What all pages share. Oracles: the texts of the templates, and what a browser measures in them."""

import re
from pathlib import Path

import pytest

from passerby.gallery.review_results import Identity, Member
from passerby.gallery.sightings import SightingInfo
from passerby.serving.pages import words
from passerby.serving.pages.rendering import name_identity, render
from serving.pages.waiting import wait_until_done

PAGES = ("/review", "/find", "/people", "/history", "/cameras", "/settings", "/sign-in")
TEMPLATES = Path(words.__file__).parent / "templates"


@pytest.mark.parametrize(
    ("labels", "name", "shown"),
    [
        (["Ada", None], None, "Ada"),
        (["Ada", "Grace", "Grace"], None, "Grace / Ada"),
        (["Ada", "Grace"], "Katherine", "Katherine"),
        ([None], None, "Unnamed"),
    ],
)
def test_an_identity_without_a_name_shows_the_labels_of_its_sightings(labels, name, shown):
    members = [Member(SightingInfo(camera="c1", label=label, id=str(i)), 0.9) for i, label in enumerate(labels)]
    assert name_identity(Identity("i1", name, tuple(members))) == shown


def test_every_page_opens_without_inline_script_or_style(site):
    for path, text in (
        ("/", "same person"),
        ("/find", "picture"),
        ("/people", "sightings"),
        ("/history", "History"),
        ("/cameras", "2023-11-14"),
        ("/settings", "Audit log"),
        ("/sign-in", "token"),
    ):
        reply = site.http.get(path)
        assert reply.status_code == 200, path
        assert text in reply.text, path
        assert not re.search(r"<script(?! src=)|\sstyle=|\son\w+=", reply.text), path
        for name in re.findall(r'(?:src|href)="(/[\w.]+\.(?:js|css|svg))"', reply.text):
            assert site.http.get(name).status_code == 200, name


def test_every_control_has_a_name_for_screen_readers(site, tab):
    script = """() => [...document.querySelectorAll("input:not([type=hidden]), select, button, a, img, [role=img]")]
        .filter((node) => node.checkVisibility())
        .filter((node) => !(node.labels?.length || node.textContent.trim() || node.getAttribute("aria-label")
            || node.alt)).map((node) => node.outerHTML)"""
    for path in PAGES:
        tab.goto(site.address + path)
        assert tab.evaluate(script) == [], path
        assert tab.locator("h1:visible").count() == 1, path
        assert tab.locator("main").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_text_has_contrast(site, phone, scheme):
    phone.emulate_media(color_scheme=scheme)
    measure = """() => {
        const light = (text) => text.match(/[0-9.]+/g).slice(0, 3).map((x) => x / 255)
            .map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
            .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
        const style = getComputedStyle(document.documentElement);
        const back = light(style.backgroundColor);
        return ["h1", "a[href='/find']", "small", "p"].flatMap((name) => [...document.querySelectorAll(name)])
            .filter((node) => node.checkVisibility()).map((node) => light(getComputedStyle(node).color))
            .map((text) => (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05));
    }"""
    for path in PAGES:
        phone.goto(site.address + path)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert min(phone.evaluate(measure)) >= 4.5, path


def test_numbers_above_a_thousand_are_written_once():
    values = {"mode": "", "skip": 0, "role": "read", "questions": [], "contradictions": 0, "estimate": None}
    page = render("review.html", answers=1200, groups=1, change=0.0, sightings=3, **values).body.decode()
    head = " ".join(re.sub("<[^>]*>", " ", page[page.index('id="progress"') :].partition("</div>")[0]).split())
    assert head.endswith("1,200 answers 1 identity")


def test_all_texts_are_in_one_file_and_are_used():
    text = "".join(path.read_text() for path in TEMPLATES.glob("*.html"))
    text += "".join(path.read_text() for path in TEMPLATES.parent.glob("*.py") if path.name != "words.py")
    used = set(re.findall(r"words\.(\w+)", text)) | set(re.findall(r'WORDS\["(\w+)"\]', text))
    used |= {name for name in words.WORDS if name.startswith(("kind_", "reason_", "box_"))}
    used |= {"review", "find", "people", "history", "cameras", "settings", "error"}  # by the name of the page
    assert set(words.WORDS) - used == set()
    assert used - set(words.WORDS) == set()
    for path in TEMPLATES.glob("*.html"):
        plain = re.sub(r"(?s){[{%].*?[%}]}|<[^>]*>|&\w+;", " ", path.read_text())
        assert set(re.findall(r"[A-Za-z]{3,}", plain)) <= {"doctype"}, path


def test_another_sites_form_is_refused(site):
    assert site.http.post("/undo", headers={"Origin": "http://evil.example"}).status_code == 403


def test_an_answer_and_a_merge_work_without_scripts(site, open_tab, answers):
    with open_tab(java_script_enabled=False) as tab:
        tab.goto(f"{site.address}/review")
        tab.get_by_role("button", name="Same").click()
        tab.wait_for_url("**/review?mode=")
        assert [answer for *_, answer in answers()] == ["same"]
        tab.get_by_role("button", name="Undo").click()
        tab.wait_for_url("**/review")
        assert answers() == []
        tab.goto(f"{site.address}/people")
        for box in tab.get_by_role("checkbox").all()[:2]:
            box.check()
        tab.get_by_role("button", name="Merge the selected").click()
        tab.get_by_role("button", name="Merge").click()
        wait_until_done(tab)
        assert [answer for *_, answer in answers()] == ["same"]


def test_on_a_phone_no_page_is_wider_than_the_screen_and_no_action_is_cut(site, phone):
    first, second = sorted(row["id"] for row in site.http.get("/v1/sightings", params={"limit": 2}).json()["sightings"])
    site.http.post("/v1/answers", json={"first": first, "second": second, "answer": "different"}).raise_for_status()
    for path in ("review", "find", "people", "history", "cameras", "settings", "docs"):
        phone.goto(f"{site.address}/{path}")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, path
        cut = phone.evaluate(
            "[...document.querySelectorAll('.log, button')].filter((e) => e.getBoundingClientRect().right > 390).length"
        )
        assert cut == 0, path
