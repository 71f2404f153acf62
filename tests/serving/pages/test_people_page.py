"""The pages of people. Oracle: the identities of the gallery after the requests."""

from serving.pages.people_gallery import SURE
from serving.pages.waiting import wait_for_page, wait_until_done

PEOPLE = {"calibration": SURE}


def person(number):
    return {f"p{number}n{index}" for index in range(4)}


def find(site, *numbers):
    """The ids of the identities of persons."""
    listed = site.http.get("/v1/identities").json()["identities"]
    found = {item["id"]: {member["sighting"]["id"] for member in item["members"]} for item in listed}
    return [next(name for name, members in found.items() if members <= person(number)) for number in numbers]


def test_cards_count_in_the_singular_and_the_plural_and_can_be_filtered(site):
    whole, *_ = find(site, 1)
    site.http.post("/v1/identities/split", json={"sightings": ["p1n0"]})
    page = site.http.get("/people").text
    assert ">1 sighting<" in page
    assert "1 sightings" not in page
    assert "3 sightings" in page
    site.http.post(f"/people/{whole}", data={"action": "rename", "label": "Grace"})
    named = site.http.get("/people", params={"name": "grac"}).text
    assert "<small>1 person</small>" in named
    assert "<small>0 people</small>" in site.http.get("/people", params={"camera": "nowhere"}).text


def test_a_merge_is_shown_first_and_undone_by_its_button(site, groups):
    one, two = find(site, 1, 2)
    asked = site.http.post("/people", data={"action": "merge", "identity": [one, two]})
    assert "Are these one person?" in asked.text
    assert person(1) in groups().values()
    done = site.http.post("/people", data={"action": "merge", "identity": [one, two], "sure": "yes"})
    assert person(1) | person(2) in groups().values()
    (action,) = [int(part) for part in done.url.params["did"].split("-")]
    assert f'name="action" value="{action}"' in done.text
    site.http.post("/undo", data={"action": action, "back": "/people"})
    assert groups()[one] == person(1)
    assert groups()[two] == person(2)


def test_several_are_named_at_once_and_undone_at_once(site):
    chosen = find(site, 3, 4, 5)
    done = site.http.post("/people", data={"action": "rename", "identity": chosen, "label": "Staff <b>"})
    assert done.text.count("Staff &lt;b&gt;</b>") == 3
    actions = done.url.params["did"].split("-")
    assert len(actions) == 3
    undone = site.http.post("/undo", data={"action": actions, "back": "/people"})
    assert "Staff" not in undone.text


def test_a_selection_is_split_off_moved_and_undone(site, groups):
    one, two = find(site, 1, 2)
    split = site.http.post(f"/people/{one}", data={"action": "split", "sighting": ["p1n0", "p1n1"]})
    assert {"p1n0", "p1n1"} in groups().values()
    site.http.post("/undo", data={"action": split.url.params["did"].split("-"), "back": "/people"})
    moved = site.http.post(f"/people/{one}", data={"action": "move", "sighting": "p1n0", "target": two})
    assert person(2) | {"p1n0"} in groups().values()
    actions = moved.url.params["did"].split("-")
    assert len(actions) == 2
    site.http.post("/undo", data={"action": actions, "back": "/people"})
    assert groups()[one] == person(1)


def test_the_page_of_a_person_has_its_crops_by_camera_and_a_timeline(site):
    (one,) = find(site, 6)
    page = site.http.get(f"/people/{one}").text
    assert page.count("<h2>cam0 <small>2 sightings</small></h2>") == 1
    assert page.count("<h2>cam1 <small>2 sightings</small></h2>") == 1
    assert page.count("<rect") == 4
    assert "2023-11-14 22:13:20" in page


def test_a_selection_is_removed_and_restored_by_the_key_for_undo(site, tab, groups):
    (one,) = find(site, 7)
    tab.goto(f"{site.address}/people/{one}")
    for name in ("p7n0", "p7n1"):
        tab.locator(f'input[value="{name}"]').check()
    tab.get_by_role("button", name="Remove the selected").click()
    wait_until_done(tab)
    assert groups()[one] == person(7) - {"p7n0", "p7n1"}
    assert ">2 sightings</td>" in site.http.get("/history").text
    tab.keyboard.press("z")
    tab.wait_for_url(f"**/people/{one}")
    assert groups()[one] == person(7)


def test_a_removed_person_is_forgotten_by_the_name(site):
    (one,) = find(site, 9)
    site.http.post(f"/people/{one}", data={"action": "rename", "label": "Grace"})
    site.http.post(f"/people/{one}", data={"action": "remove", "sighting": sorted(person(9))})
    assert site.http.get(f"/people/{one}").status_code == 404
    reply = site.http.post("/settings/forget", data={"name": "Grace", "again": "Grace"})
    assert "4 sightings erased" in reply.text
    assert "erased since" in site.http.get("/history").text
    assert b"p9n" not in b"".join(path.read_bytes() for path in site.folder.rglob("*") if path.is_file())


def test_forgetting_is_confirmed_and_reaches_removed_sightings(site, groups):
    (one,) = find(site, 8)
    site.http.post(f"/people/{one}", data={"action": "remove", "sighting": ["p8n0"]})
    forget = {"action": "forget", "sighting": ["p8n1"]}
    assert "Type their number" in site.http.post(f"/people/{one}", data=forget).text
    wrong = site.http.post(f"/people/{one}", data={**forget, "sure": "2"})
    assert (wrong.status_code, "nothing was erased. Type 1 sighting as a number" in wrong.text) == (400, True)
    assert "1 sighting erased" in site.http.post(f"/people/{one}", data={**forget, "sure": "1"}).text
    assert site.http.get("/v1/sightings/p8n1").status_code == 404
    whole = {"action": "forget", "identity": [one]}
    asked = site.http.post("/people", data=whole).text
    assert "<small>3 sightings</small>" in asked
    assert "Removed before, and not shown here: 1 sighting." in asked
    assert "3 sightings erased" in site.http.post("/people", data={**whole, "sure": "3"}).text
    assert b"p8n" not in b"".join(path.read_bytes() for path in site.folder.rglob("*") if path.is_file())


def test_what_is_missing_is_named(site):
    (one,) = find(site, 1)
    for path, form, text in (
        ("/people", {"action": "merge"}, "select one or more first"),
        ("/people", {"action": "merge", "identity": one}, "select two or more people to merge them"),
        ("/people", {"action": "merge", "identity": [one, "zz"]}, "identity zz: no sighting has it, as after a merge"),
        ("/people", {"action": "rename", "identity": one}, "type a name first"),
        (f"/people/{one}", {"action": "split"}, "select one or more first"),
        (
            f"/people/{one}",
            {"action": "split", "sighting": sorted(person(1))},
            "these are all sightings of the identity",
        ),
        (f"/people/{one}", {"action": "move", "sighting": "p1n0"}, "choose another person as the target of the move"),
    ):
        reply = site.http.post(path, data=form)
        assert (reply.status_code, text in reply.text) == (400, True), (form, reply.text)
    assert site.http.get("/people/zz").status_code == 404


def test_a_card_that_is_dropped_on_another_is_merged_after_a_confirmation(site, tab, groups):
    one, two = find(site, 1, 2)
    tab.goto(f"{site.address}/people")
    cards = [tab.locator(f'[data-identity="{name}"] p').first for name in (one, two)]
    # The events of a drag are sent to the page: a busy headless browser does not always make them from mouse movements.
    data = {"dataTransfer": tab.evaluate_handle("new DataTransfer()")}
    cards[0].dispatch_event("dragstart", data)
    cards[1].dispatch_event("dragover", data)
    cards[1].dispatch_event("drop", data)
    wait_for_page(tab, tab.get_by_role("heading", name="Are these one person?"))
    tab.keyboard.press("Enter")
    wait_until_done(tab)
    assert person(1) | person(2) in groups().values()
    tab.keyboard.press("z")
    tab.wait_for_url("**/people")
    assert groups()[one] == person(1)


def test_cards_are_merged_by_keys_alone(site, phone, groups):
    one, two = find(site, 1, 2)
    phone.goto(f"{site.address}/people")
    for name in (one, two):
        phone.locator(f'[data-identity="{name}"] input').focus()
        phone.keyboard.press("Space")
    phone.keyboard.press("m")
    wait_for_page(phone, phone.get_by_role("heading", name="Are these one person?"))
    phone.keyboard.press("Enter")
    wait_until_done(phone)
    assert person(1) | person(2) in groups().values()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
