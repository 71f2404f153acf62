"""The pages Review and History. Oracle: the stored answers after requests, keys, and a network that fails."""

import re


def wait_for_count(tab, count):
    """Wait until the page shows a number of answers."""
    tab.locator("#progress b").first.filter(has_text=re.compile(f"^{count}$")).wait_for(timeout=60_000)


def test_an_answer_without_scripts_is_stored_and_undone(site, answers):
    question = site.http.get("/v1/questions").json()[0]
    form = {"first": question["first"], "second": question["second"], "answer": "same"}
    assert site.http.post("/review", data=form).status_code == 200
    assert answers() == [(*sorted((form["first"], form["second"])), "same")]
    assert "<b>1</b> answer<" in site.http.get("/review").text
    site.http.post("/undo")
    assert answers() == []


def test_an_answer_that_is_sent_twice_is_stored_once(site, answers):
    body = {"first": "p1n0", "second": "p2n0", "answer": "different", "key": "k" * 16}
    first, again = (site.http.post("/v1/answers", json=body) for _ in range(2))
    assert first.json() == again.json()
    assert answers() == [("p1n0", "p2n0", "different")]
    assert site.http.post("/v1/answers", json={**body, "key": "other key"}).json() != first.json()
    refused = site.http.post("/v1/answers", json={**body, "key": "short"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid")
    assert len(answers()) == 2


def test_the_estimate_follows_a_survey(site):
    assert "No estimate" in site.http.get("/review").text
    assert site.http.post("/review/survey").status_code == 200
    for _ in range(200):
        questions = site.http.post("/v1/survey", json={"units": 60}).json()
        if not questions:
            break
        for question in questions:
            same = question["first"][:2] == question["second"][:2]
            pair = {"first": question["first"], "second": question["second"]}
            site.http.post("/v1/answers", json={**pair, "answer": "same" if same else "different"})
    assert re.search(r"\d+ people, \d+ to \d+ \(90 % interval\)", site.http.get("/review").text)


def test_the_page_tells_what_the_next_answers_change(site):
    questions = site.http.get("/v1/questions", params={"count": 20}).json()
    expected = round(sum(question["value"] or 0 for question in questions))
    assert (
        f"The next 20 answers are expected to change about {expected} of 40 sightings." in site.http.get("/review").text
    )


def test_the_history_has_rows_for_merges_and_undos_and_undoes_each(site, groups):
    one, two, *_ = groups()
    merge = site.http.post("/v1/identities/merge", json={"identities": [one, two]}).json()["action"]
    page = site.http.get("/history").text
    assert re.search(rf"<td>{merge} merge</td>", page)
    undone = site.http.post("/undo", data={"action": merge, "back": "/history"})
    assert "Undone." in undone.text
    assert f"undo of {merge}" in undone.text
    again = site.http.post("/undo", data={"action": merge, "back": "/history"})
    assert (again.status_code, "undone before" in again.text) == (400, True)
    assert site.http.post("/undo", data={"back": "https://evil.example"}).status_code in (400, 422)


def test_contradictions_are_shown_in_the_history(site):
    for answer in ("same", "different"):
        site.http.post("/v1/answers", json={"first": "p3n0", "second": "p4n0", "answer": answer})
    assert "<b>1 contradiction</b>" in site.http.get("/review").text
    page = site.http.get("/history").text
    assert "Answers that contradict each other" in page
    assert page.count('/v1/sightings/p3n0/crop"') == 2


def test_keys_answer_skip_and_undo(site, phone, answers):
    phone.goto(f"{site.address}/review")
    shown = lambda: phone.locator("article:not([hidden])").get_attribute("data-first", timeout=60_000)  # noqa: E731
    for number, key in enumerate("sdu", 1):
        with phone.expect_response(lambda reply: reply.url.endswith("/v1/answers")):
            phone.keyboard.press(key)
        wait_for_count(phone, number)
    assert sorted(answer for *_, answer in answers()) == ["different", "same", "unknown"]
    before = shown(), phone.locator("article:not([hidden])").get_attribute("data-second")
    phone.keyboard.press("n")
    assert (shown(), phone.locator("article:not([hidden])").get_attribute("data-second")) != before
    phone.keyboard.press("z")
    wait_for_count(phone, 2)
    assert sorted(answer for *_, answer in answers()) == ["different", "same"]
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_answers_wait_in_the_browser_while_the_network_is_off(site, tab, answers):
    tab.goto(f"{site.address}/review")
    tab.context.set_offline(True)
    for key in "sdsd":
        assert tab.locator("article:not([hidden]) img").first.evaluate("image => image.naturalWidth") > 0
        tab.keyboard.press(key)
    tab.locator("#offline", has_text="4").wait_for()
    assert answers() == []
    tab.keyboard.press("z")  # takes back the latest one that waits
    tab.locator("#offline", has_text="3").wait_for()
    tab.context.set_offline(False)
    wait_for_count(tab, 3)
    assert [answer for *_, answer in answers()] == ["same", "different", "same"]


def test_waiting_answers_are_sent_once_although_a_reply_was_lost(site, tab, answers):
    tab.goto(f"{site.address}/review")
    lost = []

    def lose_first(route):
        if lost:
            return route.continue_()
        lost.append(route.fetch().status)  # the service stores the answer, and the browser has no reply
        return route.abort()

    tab.route("**/v1/answers", lose_first)
    tab.keyboard.press("s")
    wait_for_count(tab, 1)
    assert lost == [200]
    assert [answer for *_, answer in answers()] == ["same"]


def test_a_key_that_comes_before_the_scripts_does_not_leave_the_page(site, tab, answers):
    held, sent = [], []

    def hold(route):
        held.append(route)

    tab.route("**/review.js", hold)
    tab.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    tab.goto(f"{site.address}/review", wait_until="commit")
    while not tab.evaluate("typeof startDragging === 'function'"):  # until page.js has run
        tab.wait_for_timeout(20)
    tab.keyboard.press("s")
    held[0].continue_()
    tab.wait_for_load_state()
    tab.keyboard.press("d")
    wait_for_count(tab, 1)
    assert sent == [f"{site.address}/v1/answers"]
    assert [answer for *_, answer in answers()] == ["different"]


def test_an_answer_about_an_erased_sighting_is_refused_with_words(site, tab, answers):
    tab.goto(f"{site.address}/review")
    tab.route(
        "**/v1/answers",
        lambda route: route.continue_(post_data={**route.request.post_data_json, "first": "gone"}),
    )
    tab.keyboard.press("s")
    tab.locator("#refused", has_text="no sighting 'gone'").wait_for()
    assert answers() == []
