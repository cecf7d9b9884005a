# SPDX-License-Identifier: GPL-3.0-or-later
"""The page to correct picks in, in a real browser: by mouse, by keys, and when things go wrong."""

import json
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from helpers.chromium import MARKS, start_chromium, wait
from helpers.correcting import (
    PIXEL_SIZE,
    SIDE,
    THRESHOLD,
    client_of,
    grid_of_peaks,
    make_run,
    serving,
)
from helpers.full_disk import files_of_at_most

from scipion_pupick.engine import Coordinates, Micrograph, MicrographPeaks, PickRun
from scipion_pupick.engine.coordinates.corrections import (
    Correction,
    read_corrections,
    write_corrections,
)
from scipion_pupick.engine.picking.peaks_file import save_peaks
from scipion_pupick.engine.reporting.correcting.access import Gate
from scipion_pupick.engine.reporting.correcting.edits import marks_of, places
from scipion_pupick.engine.runs.layout import FAILED
from scipion_pupick.engine.runs.lists import write_failures, write_micrographs
from scipion_pupick.engine.runs.pick_run import read_pick_run
from scipion_pupick.engine.runs.suggestion import suggest_picks

webdriver = pytest.importorskip("selenium.webdriver")
pytestmark = MARKS
Keys = webdriver.Keys

PEAKS = grid_of_peaks()
PLACES = [tuple(place) for place in places(PEAKS).tolist()]
PICKED = int(np.count_nonzero(PEAKS.score >= THRESHOLD))
ODD = "a<script>document.hacked=1<'b'&amp;.mrc"
ADDED_AT = (48.0, 48.0)
CANVAS = "return document.getElementById('canvas').toDataURL()"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_chromium(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def server(run):
    with serving(run) as server:
        yield server


@pytest.fixture
def page(browser, server):
    """The page, opened anew; nothing may be wrong in its console."""
    open_page(browser, server.address)
    yield browser
    assert console(browser) == []
    browser.execute_script("localStorage.clear()")


def open_page(browser, address, new_window=False):
    if new_window:
        browser.switch_to.new_window("tab")
    # an earlier page may still ask a server that has ended
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(address)
    wait(browser, "return document.documentElement.dataset.ready === 'yes'")
    wait_for_picks(browser)


def wait_for_picks(browser):
    wait(
        browser,
        "return /particles|failed|not picked/.test(document.getElementById('current').textContent)",
    )


def console(browser):
    return [entry["message"] for entry in browser.get_log("browser")]


def by_id(page, name):
    return page.find_element("id", name)


def text(name):
    """The text of an element, in JavaScript."""
    return f"document.getElementById('{name}').textContent"


def text_of(page, name):
    return page.execute_script(f"return {text(name)}")


def at(page, x, y):
    """Move the mouse to a place, px of the micrograph that is shown whole."""
    canvas = by_id(page, "canvas")
    width, height = canvas.size["width"], canvas.size["height"]
    scale = min(width, height) / SIDE
    offset = [round((value + 0.5 - SIDE / 2) * scale) for value in (x, y)]
    return webdriver.ActionChains(page, 0).move_to_element_with_offset(canvas, *offset)


def at_peak(page, i):
    return at(page, *PEAKS.xy[i])


def press(page, *keys):
    by_id(page, "canvas").send_keys(*keys)


def wait_until_saved(page):
    wait(page, "return document.getElementById('saved').dataset.state === 'saved'")


def marks(run, name="a.mrc"):
    path = run / "corrections.json"
    return marks_of(read_corrections(path)[name]) if path.exists() else {}


def is_done(run, name="a.mrc"):
    return read_corrections(run / "corrections.json")[name].done


def saved_marks(page, run, name="a.mrc"):
    wait_until_saved(page)
    return marks(run, name)


def test_it_opens_on_the_first_micrograph_and_the_token_is_not_seen(page, server):
    assert text_of(page, "current") == f"a.mrc: {PICKED} particles"
    assert str(server.desk.folder) in text_of(page, "title")
    assert page.current_url == f"http://127.0.0.1:{server.server_port}/"
    entries = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [
        entry["params"]["request"]["url"]
        for entry in entries
        if entry["method"] == "Network.requestWillBeSent"
        # not of the browser itself, in its empty page
        and not entry["params"]["documentURL"].startswith("chrome:")
    ]
    assert len(asked) > 4
    assert not [url for url in asked if server.gate.token in url.partition("#")[0]]
    assert [url for url in asked if not url.startswith((page.current_url, "data:"))] == []


def test_a_click_removes_a_pick_or_adds_one_and_another_takes_that_back(page, run):
    at_peak(page, 3).click().perform()
    assert saved_marks(page, run) == {PLACES[3]: "removed"}
    assert text_of(page, "current") == f"a.mrc: {PICKED - 1} particles (1 removed)"
    at(page, *ADDED_AT).click().perform()
    found = saved_marks(page, run)
    assert sorted(found.values()) == ["added", "removed"]
    (x, y) = next(place for place, mark in found.items() if mark == "added")
    assert np.hypot(x / 100 - ADDED_AT[0], y / 100 - ADDED_AT[1]) < 0.5
    assert text_of(page, "current") == f"a.mrc: {PICKED} particles (1 removed, 1 added)"
    at_peak(page, 3).click().perform()
    at(page, *ADDED_AT).click().perform()
    assert saved_marks(page, run) == {}


def test_what_is_added_on_a_lower_peak_is_put_on_it(page, run):
    x, y = PEAKS.xy[40]
    at(page, x + 3, y - 2).click().perform()
    assert saved_marks(page, run) == {PLACES[40]: "added"}


def test_right_click_and_shift_click_confirm(page, run):
    at_peak(page, 0).context_click().perform()
    at_peak(page, 1).key_down(Keys.SHIFT).click().key_up(Keys.SHIFT).perform()
    assert saved_marks(page, run) == {PLACES[0]: "confirmed", PLACES[1]: "confirmed"}
    at_peak(page, 1).context_click().perform()
    at_peak(page, 0).click().perform()
    assert saved_marks(page, run) == {PLACES[0]: "removed"}


def test_dragging_moves_the_micrograph_and_marks_nothing(page, run):
    press(page, "+++")
    before = page.execute_script("return document.getElementById('canvas').toDataURL()")
    at_peak(page, 24).click_and_hold().move_by_offset(60, 30).release().perform()
    wait_until_saved(page)
    assert marks(run) == {}
    after = page.execute_script("return document.getElementById('canvas').toDataURL()")
    assert before != after


def test_zoomed_in_a_click_hits_what_is_shown(page, run):
    at_peak(page, 10).perform()
    canvas = by_id(page, "canvas")
    scroll = webdriver.ActionChains(page, 0)
    x, y = PEAKS.xy[10]
    scale = min(canvas.size["width"], canvas.size["height"]) / SIDE
    offset = [round((value + 0.5 - SIDE / 2) * scale) for value in (x, y)]
    origin = webdriver.common.actions.wheel_input.ScrollOrigin.from_element(canvas, *offset)
    for _ in range(8):
        scroll.scroll_from_origin(origin, 0, -100)
    scroll.perform()
    at_peak(page, 10).click().perform()
    assert saved_marks(page, run) == {PLACES[10]: "removed"}


def test_undo_and_redo_go_over_micrographs(page, run):
    at_peak(page, 3).click().perform()
    press(page, "n")
    wait(page, f"return {text('current')}.startsWith('b.mrc: ')")
    wait_for_picks(page)
    at(page, *ADDED_AT).click().perform()
    wait_until_saved(page)
    press(page, Keys.CONTROL + "z")
    assert saved_marks(page, run, "b.mrc") == {}
    by_id(page, "undo").click()
    wait(page, f"return {text('current')}.startsWith('a.mrc: ')")
    assert saved_marks(page, run) == {}
    assert not by_id(page, "undo").is_enabled()
    press(page, "r")
    by_id(page, "redo").click()
    assert saved_marks(page, run) == {PLACES[3]: "removed"}
    assert list(marks(run, "b.mrc").values()) == ["added"]
    assert not by_id(page, "redo").is_enabled()


def test_everything_can_be_done_without_a_mouse(page, run):
    """Picks are gone through from the most doubtful one on."""
    doubtful = [PLACES[i] for i in range(PICKED - 1, -1, -1)]
    press(page, " ", "c", " ", "x")
    assert saved_marks(page, run) == {doubtful[0]: "confirmed", doubtful[1]: "removed"}
    press(page, "x")
    assert saved_marks(page, run) == {doubtful[0]: "confirmed"}
    before = set(marks(run))
    press(page, Keys.SHIFT, *[Keys.ARROW_LEFT] * 4, *[Keys.ARROW_UP] * 4)
    press(page, "a")
    new = set(saved_marks(page, run)) - before
    assert len(new) == 1
    (place,) = new
    assert np.hypot(*(np.array(place) - doubtful[1])) / 100 > 5
    press(page, "d")
    wait(page, f"return {text('current')}.startsWith('b.mrc: ')")
    wait_until_saved(page)
    assert is_done(run)


def shown_at(threshold):
    return np.count_nonzero(PEAKS.score >= threshold)


def set_threshold(page, value):
    """Type a threshold, and wait until it has been drawn."""
    by_id(page, "exact").send_keys(Keys.CONTROL + "a", Keys.NULL, f"{value:.2f}")
    wait(page, f"return {text('current')}.includes('{shown_at(value)} particles')")


@pytest.mark.parametrize(("threshold", "mark"), [(-1.0, "confirmed"), (2.0, "removed")])
def test_done_means_what_the_threshold_shows_and_is_undone_at_once(page, run, threshold, mark):
    set_threshold(page, threshold)
    low, high = sorted((threshold, THRESHOLD))
    between = {p for p, s in zip(PLACES, PEAKS.score) if low <= s < high}
    assert len(between) > 5
    by_id(page, "done").click()
    wait_until_saved(page)
    assert is_done(run)
    assert marks(run) == dict.fromkeys(between, mark)
    press(page, "u")
    wait_until_saved(page)
    assert not is_done(run)
    assert marks(run) == {}


def test_counts_and_estimates_follow_the_threshold(page):
    wait(page, f"return {text('estimate')}.includes('%')")
    before = text_of(page, "estimate")
    set_threshold(page, 3.0)
    wait(page, f"return {text('estimate')} !== '{before}'")
    counts = "[...document.querySelectorAll('.micrograph .picks')].map((e) => e.textContent)"
    assert page.execute_script(f"return {counts}") == [f"{shown_at(3.0)} picks"] * 3
    by_id(page, "own").click()
    wait(page, f"return {text('estimate')} === '{before}'")


def test_the_list_says_what_was_corrected_and_is_sorted_and_searched(page):
    from selenium.webdriver.support.select import Select

    Select(by_id(page, "sort")).select_by_value("order")
    press(page, "n")
    wait(page, f"return {text('current')}.startsWith('b.mrc: ')")
    wait_for_picks(page)
    at(page, *ADDED_AT).click().perform()
    press(page, "d")
    wait(
        page,
        f"return {text('progress')} === '1 of 3 corrected, 1 done'",
    )
    states = "[...document.querySelectorAll('.micrograph .state')].map((e) => e.textContent)"
    assert page.execute_script(f"return {states}") == ["", "+1 done", ""]
    Select(by_id(page, "sort")).select_by_value("corrected")
    wait(page, "return document.querySelector('.micrograph').title === 'b.mrc'")
    Select(by_id(page, "sort")).select_by_value("doubtful")
    wait(page, "return document.querySelector('.micrograph').title === 'a.mrc'")
    Select(by_id(page, "sort")).select_by_value("corrected")
    wait(page, "return document.querySelector('.micrograph').title === 'b.mrc'")
    Select(by_id(page, "sort")).select_by_value("open")
    wait(page, "return document.querySelector('.micrograph').title === 'a.mrc'")
    by_id(page, "filter").send_keys("C.M")
    wait(page, "return document.querySelectorAll('.micrograph').length === 1")
    page.find_element("css selector", ".micrograph").click()
    wait(page, f"return {text('current')}.startsWith('c.mrc: ')")


def test_what_is_left_in_the_frame_is_confirmed_at_once_and_taken_back_at_once(page, run):
    wait(page, "return !document.getElementById('area').disabled")
    picked = read_pick_run(run)
    suggestion = suggest_picks(picked, dict(picked.peaks()))["a.mrc"]
    shown = {tuple(place) for place in places(suggestion.picks).tolist()}
    assert 1 < len(shown) < PICKED
    first = PLACES.index(min(shown))
    with_frame = page.execute_script(CANVAS)
    at_peak(page, first).click().perform()
    wait_until_saved(page)
    by_id(page, "area").click()
    expected = {**dict.fromkeys(shown, "confirmed"), PLACES[first]: "removed"}
    assert saved_marks(page, run) == expected
    wait(page, "return document.getElementById('area').disabled")
    assert page.execute_script(CANVAS) != with_frame
    press(page, "u")
    assert saved_marks(page, run) == {PLACES[first]: "removed"}
    press(page, "f")
    assert saved_marks(page, run) == expected
    # the micrograph is not done: of its other picks nothing is said
    assert not is_done(run)


def test_micrographs_that_teach_most_come_first(browser, tmp_path):
    """Of two alike but for their scores, the one whose scores are doubtful."""
    run = make_run(tmp_path, ("sure.mrc", "doubtful.mrc"))
    sure = Coordinates(PEAKS.x, PEAKS.y, np.where(PEAKS.score > 0, 9.0, -7.0))
    save_peaks(
        MicrographPeaks(sure, (SIDE, SIDE), PIXEL_SIZE, ""), PickRun(run).peaks_path("sure.mrc")
    )
    with serving(run) as server:
        open_page(browser, server.address)
        wait(browser, "return document.querySelector('.micrograph').title === 'doubtful.mrc'")
        reason = "document.querySelector('.micrograph .reason').textContent"
        assert browser.execute_script(f"return {reason}") == "many doubtful picks"
        assert console(browser) == []
        browser.execute_script("localStorage.clear()")


def test_what_was_corrected_is_there_after_a_reload(page, run):
    at_peak(page, 3).click().perform()
    wait_until_saved(page)
    by_id(page, "exact").send_keys(Keys.CONTROL + "a", Keys.NULL, "1")
    wait(page, f"return {text('current')}.includes('{shown_at(1.0) - 1} particles')")
    page.refresh()
    wait(page, "return document.documentElement.dataset.ready === 'yes'")
    wait(page, f"return {text('current')}.includes('1 removed')")
    assert by_id(page, "exact").get_attribute("value") == "1.00"


def test_two_browsers_see_and_keep_each_others_corrections(page, server, run):
    first = page.current_window_handle
    open_page(page, server.address, new_window=True)
    second = page.current_window_handle
    at_peak(page, 0).click().perform()
    wait_until_saved(page)
    page.switch_to.window(first)
    wait(page, f"return {text('current')}.includes('1 removed')")
    at_peak(page, 1).click().perform()
    wait_until_saved(page)
    page.close()
    page.switch_to.window(second)
    wait(page, f"return {text('current')}.includes('2 removed')")
    assert marks(run) == {PLACES[0]: "removed", PLACES[1]: "removed"}


def test_a_conflict_is_said_and_the_others_correction_is_shown(page, server, run):
    client = client_of(server)
    # the other one is quicker than this page's next look at what has changed
    client.edit(0, (*PLACES[5], "", "confirmed"))
    at_peak(page, 5).click().perform()
    at_peak(page, 6).click().perform()
    wait_until_saved(page)
    assert marks(run) in (
        {PLACES[5]: "confirmed", PLACES[6]: "removed"},
        # the page has looked in between, and the click was on what it saw
        {PLACES[5]: "removed", PLACES[6]: "removed"},
    )
    if marks(run)[PLACES[5]] == "confirmed":
        assert "somebody else has changed" in text_of(page, "messages")
        assert "1 removed, 1 confirmed" in text_of(page, "current")


def test_a_full_disk_is_said_and_what_was_not_saved_is_sent_again(page, run):
    at_peak(page, 0).click().perform()
    wait_until_saved(page)
    with files_of_at_most((run / "corrections.json").stat().st_size):
        for i in (1, 2):
            at_peak(page, i).click().perform()
        wait(page, f"return {text('saved')} === '2 not saved'")
        assert "too large" in text_of(page, "messages")
        assert "kept in this browser" in text_of(page, "messages")
        assert "3 removed" in text_of(page, "current")
        assert marks(run) == {PLACES[0]: "removed"}
    assert saved_marks(page, run) == dict.fromkeys(PLACES[:3], "removed")
    assert text_of(page, "messages") == ""
    assert all("507" in line for line in console(page))


def test_a_server_that_was_killed_and_started_again_gets_what_it_has_missed(browser, run):
    with serving(run) as server:
        port = server.server_port
        open_page(browser, server.address)
        at_peak(browser, 0).click().perform()
        wait_until_saved(browser)
    at_peak(browser, 1).click().perform()
    at(browser, *ADDED_AT).click().perform()
    wait(browser, "return document.getElementById('saved').dataset.state === 'unsaved'")
    assert "does not answer" in text_of(browser, "messages")
    assert marks(run) == {PLACES[0]: "removed"}
    first = browser.current_window_handle
    with serving(run, port, Gate()) as server:
        wait(browser, f"return {text('messages')}.includes('token')")
        open_page(browser, server.address, new_window=True)
        browser.close()
        browser.switch_to.window(first)
        wait_until_saved(browser)
        found = marks(run)
        assert {PLACES[0], PLACES[1]} < set(found)
        assert sorted(found.values()) == ["added", "removed", "removed"]
        wait(browser, f"return {text('messages')} === ''")
    browser.execute_script("localStorage.clear()")


def test_what_a_closed_page_could_not_save_is_sent_by_the_next_one(browser, run):
    with serving(run) as server:
        port = server.server_port
        open_page(browser, server.address)
    at_peak(browser, 4).click().perform()
    wait(browser, "return document.getElementById('saved').dataset.state === 'unsaved'")
    browser.execute_script(
        "addEventListener('beforeunload', (e) => e.stopImmediatePropagation(), true)"
    )
    browser.switch_to.new_window("tab")
    kept = browser.window_handles
    browser.switch_to.window(kept[0])
    browser.close()
    browser.switch_to.window(kept[1])
    with serving(run, port, Gate()) as server:
        open_page(browser, server.address)
        assert saved_marks(browser, run) == {PLACES[4]: "removed"}
        wait(browser, f"return {text('current')}.includes('1 removed')")
    browser.execute_script("localStorage.clear()")


def open_again(browser, address, go_back_to):
    """Open the page in another window, whose token all pages of the address have then."""
    open_page(browser, address, new_window=True)
    new = browser.current_window_handle
    browser.switch_to.window(go_back_to)
    return new


def is_stopped(browser):
    return browser.execute_script("return document.getElementById('main').inert")


def test_a_page_of_one_run_never_writes_to_another_that_is_served_at_its_address(
    browser, run, tmp_path
):
    other = make_run(tmp_path / "other")
    with serving(run) as server:
        port = server.server_port
        open_page(browser, server.address)
        first = browser.current_window_handle
        title = text_of(browser, "title")
        wait(browser, "return !document.getElementById('area').disabled")
    at_peak(browser, 0).click().perform()
    wait(browser, "return document.getElementById('saved').dataset.state === 'unsaved'")
    with serving(other, port, Gate()) as server:
        second = open_again(browser, server.address, first)
        wait(browser, f"return {text('messages')}.includes('Another run is served')")
        said = text_of(browser, "messages")
        assert f"address now: {other}. This page is of {run}, of which nothing" in said
        assert "kept in this browser, and sent then" in said
        assert (text_of(browser, "title"), is_stopped(browser)) == (title, True)
        at_peak(browser, 1).click().perform()
        browser.switch_to.active_element.send_keys("d", "f", " ", "x")
        assert text_of(browser, "saved") == "1 not saved"
        assert text_of(browser, "current") == f"a.mrc: {PICKED - 1} particles (1 removed)"
        browser.switch_to.window(second)
        assert str(other) in text_of(browser, "title")
        assert text_of(browser, "current") == f"a.mrc: {PICKED} particles"
        at_peak(browser, 6).click().perform()
        assert saved_marks(browser, other) == {PLACES[6]: "removed"}
        browser.close()
        browser.switch_to.window(first)
        assert text_of(browser, "saved") == "1 not saved"
    assert not (run / "corrections.json").exists()
    with serving(run, port, Gate()) as server:
        second = open_again(browser, server.address, first)
        wait_until_saved(browser)
        wait(browser, "return !document.getElementById('main').inert")
        wait(browser, f"return {text('messages')} === ''")
        at_peak(browser, 1).click().perform()
        assert saved_marks(browser, run) == dict.fromkeys(PLACES[:2], "removed")
        browser.switch_to.window(second)
        browser.close()
        browser.switch_to.window(first)
        browser.execute_script("localStorage.clear()")
    assert marks(other) == {PLACES[6]: "removed"}


def test_what_a_run_could_not_save_stays_its_own_also_if_its_name_begins_anothers(
    browser, tmp_path
):
    run, other = make_run(tmp_path / "x"), make_run(tmp_path / "y")
    other = other.rename(f"{run}:2")
    with serving(other) as server:
        port = server.server_port
        open_page(browser, server.address)
        item = {"name": "a.mrc", "rows": [["n-1", 500, 500, "", "added"]], "done": None}
        key = f"pupick-unsaved:{other}:1-2"
        browser.execute_script(
            f"localStorage.setItem({json.dumps(key)}, {json.dumps(json.dumps([item]))})"
        )
    with serving(run, port, Gate()) as server:
        open_page(browser, server.address)
        wait_until_saved(browser)
        assert browser.execute_script(f"return localStorage.getItem({json.dumps(key)})")
    assert not (run / "corrections.json").exists()
    with serving(other, port, Gate()) as server:
        open_page(browser, server.address)
        assert saved_marks(browser, other) == {(500, 500): "added"}
        browser.execute_script("localStorage.clear()")


def pick_again(run, name="a.mrc", seed=9, **record):
    """What picking again leaves behind; gives the number of picks."""
    peaks = grid_of_peaks(seed).select(range(30))
    save_peaks(MicrographPeaks(peaks, (SIDE, SIDE), PIXEL_SIZE, ""), PickRun(run).peaks_path(name))
    before = json.loads((run / "pick.json").read_text())
    after = {**before, "seconds": before["seconds"] + 1, **record}
    PickRun(run).write_record(after)
    return np.count_nonzero(peaks.score >= after["threshold"])


def test_an_open_page_shows_what_was_picked_again(page, run):
    count = pick_again(run, threshold=THRESHOLD + 0.75)
    assert count != PICKED
    wait(page, f"return {text('current')} === 'a.mrc: {count} particles'")
    assert "a.mrc has other picks now" in text_of(page, "messages")
    assert by_id(page, "exact").get_attribute("value") == "1.25"
    counts = "[...document.querySelectorAll('.micrograph .picks')].map((e) => e.textContent)"
    wait(page, f"return {counts}[0] === '{count} picks'")
    # the same threshold, and as many peaks
    before = page.execute_script(CANVAS)
    assert pick_again(run, seed=11) == count
    wait(page, f"return ({CANVAS.replace('return ', '')}) !== {json.dumps(before)}")
    x, y = grid_of_peaks(11).xy[0]
    at(page, x, y).click().perform()
    place = tuple(places(grid_of_peaks(11)).tolist()[0])
    assert saved_marks(page, run) == {place: "removed"}
    press(page, "d")
    wait(page, f"return {text('progress')} === '1 of 3 corrected, 1 done'")
    wait_until_saved(page)
    assert is_done(run)


def test_done_does_not_cover_picks_that_nobody_has_seen(browser, run):
    """They were picked again before what was said could be saved."""
    with serving(run) as server:
        port = server.server_port
        open_page(browser, server.address)
        wait(browser, "return !document.getElementById('area').disabled")
    first = browser.current_window_handle
    press(browser, "f")
    at(browser, *ADDED_AT).click().perform()
    press(browser, "d")
    wait(browser, "return document.getElementById('saved').dataset.state === 'unsaved'")
    pick_again(run)
    with serving(run, port, Gate()) as server:
        second = open_again(browser, server.address, first)
        wait_until_saved(browser)
        assert list(marks(run).values()) == ["added"]
        assert not is_done(run)
        browser.switch_to.window(second)
        browser.close()
        browser.switch_to.window(first)
        said = text_of(browser, "messages")
        assert "Not done after all: a.mrc." in said
        assert "since its picks were shown" in said
        choose(browser, "a.mrc")
        wait_for_picks(browser)
        assert text_of(browser, "done") == "Done, next"
        press(browser, "d")
        wait_until_saved(browser)
        assert is_done(run)
        browser.execute_script("localStorage.clear()")


def test_done_is_not_taken_where_a_mark_that_was_shown_is_refused(browser, run):
    with serving(run) as server:
        port = server.server_port
        open_page(browser, server.address)
    first = browser.current_window_handle
    for i in (5, 6):
        at_peak(browser, i).click().perform()
    press(browser, "d")
    wait(browser, "return document.getElementById('saved').dataset.state === 'unsaved'")
    others = {"a.mrc": Correction(confirmed=PEAKS.select([5]))}
    write_corrections(run / "corrections.json", others)
    with serving(run, port, Gate()) as server:
        second = open_again(browser, server.address, first)
        wait_until_saved(browser)
        assert marks(run) == {PLACES[5]: "confirmed", PLACES[6]: "removed"}
        assert not is_done(run)
        said = text_of(browser, "messages")
        assert "somebody else has changed" in said
        assert "Not done after all: a.mrc." in said
        browser.switch_to.window(second)
        browser.close()
        browser.switch_to.window(first)
        browser.execute_script("localStorage.clear()")


def reasons(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('.micrograph')].map((e) =>"
        "[e.title, e.querySelector('.reason').textContent])"
    )


def test_pictures_and_suggestions_stay_with_their_micrographs_when_the_list_has_changed(
    browser, tmp_path
):
    run = make_run(tmp_path, [f"{i:02d}.mrc" for i in range(12)])
    few = MicrographPeaks(PEAKS.select([0, 1]), (SIDE, SIDE), PIXEL_SIZE, "")
    save_peaks(few, PickRun(run).peaks_path("03.mrc"))
    pictures = {}
    with serving(run) as server:
        port = server.server_port
        open_page(browser, server.address)
        first = browser.current_window_handle
        assert "fewer picks than usual" in dict(reasons(browser))["03.mrc"]
        # without picks and frames, a canvas is its picture
        press(browser, "v")
        for name in ("02.mrc", "03.mrc"):
            choose(browser, name)
            pictures[name] = browser.execute_script(CANVAS)
        assert len({*pictures.values()}) == 2
    known = read_pick_run(run).micrographs
    save_peaks(few, PickRun(run).peaks_path("a.mrc"))
    write_micrographs([Micrograph(known[5].path, "a.mrc"), *known], run)
    with serving(run, port, Gate()) as server:
        second = open_again(browser, server.address, first)
        wait(browser, f"return {text('progress')}.includes('of 13 corrected')")
        wait(browser, f"return {text('messages')} === ''")
        browser.switch_to.window(second)
        expected = reasons(browser)
        browser.close()
        browser.switch_to.window(first)
        assert reasons(browser) == expected
        odd = [name for name, why in expected if "fewer picks than usual" in why]
        assert sorted(odd) == ["03.mrc", "a.mrc"]
        assert text_of(browser, "name") == "03.mrc"
        for name in ("02.mrc", "03.mrc"):
            choose(browser, name)
            assert browser.execute_script(CANVAS) == pictures[name]
        at(browser, *ADDED_AT).click().perform()
        assert list(saved_marks(browser, run, "03.mrc").values()) == ["added"]
        browser.execute_script("localStorage.clear()")


def choose(browser, name):
    # messages that go away move the list below the mouse
    row = f".micrograph[title='{name}']"
    browser.execute_script(f'document.querySelector("{row}").click()')
    wait_for_picture(browser, name)


def wait_for_picture(browser, name):
    """Wait until a micrograph is drawn with its picture, and not in one grey alone."""
    wait(
        browser,
        f"const canvas = document.getElementById('canvas'); if ({text('name')} !== '{name}')"
        "return false; const { width, height } = canvas, context = canvas.getContext('2d');"
        "const row = context.getImageData(width / 2 - 50, height / 2, 100, 1).data;"
        "return new Set(row.filter((value, i) => i % 4 === 0)).size > 5",
    )


@contextmanager
def tunnel(port):
    """Pass connections to another port on to a port, as ssh does; gives the other port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, port), daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def _accept(listener, port):
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        try:
            far = socket.create_connection(("127.0.0.1", port))
        except OSError:
            # the server has ended, and a page still asks
            near.close()
            continue
        threading.Thread(target=_connect, args=(near, far), daemon=True).start()


def _connect(near, far):
    with near, far:
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        back.start()
        _copy(near, far)
        back.join()


def _copy(source, sink):
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_it_works_through_a_tunnel_under_another_name_and_port(browser, server, run):
    with tunnel(server.server_port) as port:
        address = server.address.replace(f"127.0.0.1:{server.server_port}", f"localhost:{port}")
        open_page(browser, address)
        assert browser.current_url == f"http://localhost:{port}/"
        at_peak(browser, 2).click().perform()
        assert saved_marks(browser, run) == {PLACES[2]: "removed"}
        browser.execute_script("localStorage.clear()")


def test_without_the_token_the_page_says_what_to_do(browser, server):
    browser.get(f"http://127.0.0.1:{server.server_port}/")
    wait(browser, f"return {text('messages')}.includes('token')")
    assert not by_id(browser, "main").is_displayed()
    browser.execute_script(f"location.hash = 'token={server.gate.token}'")
    wait(browser, "return document.documentElement.dataset.ready === 'yes'")
    wait(browser, f"return {text('messages')} === ''")
    browser.execute_script("localStorage.clear()")


def test_odd_names_are_text(browser, tmp_path):
    with serving(make_run(tmp_path, (ODD, "b.mrc"))) as server:
        open_page(browser, server.address)
        assert browser.execute_script("return document.hacked") is None
        assert ODD in text_of(browser, "current") or ODD.split("/")[-1] in text_of(
            browser, "current"
        )
        assert browser.find_element("css selector", ".micrograph").get_attribute("title") == ODD
        assert browser.find_elements("css selector", "main script, main img") == []
        assert console(browser) == []
        browser.execute_script("localStorage.clear()")


def test_a_script_that_got_into_the_page_would_not_run(page):
    page.execute_script(
        "const s = document.createElement('script'); s.textContent = 'document.hacked = 1';"
        "document.body.append(s); const i = new Image(); i.src = 'http://127.0.0.1:9/x.png';"
        "const bad = '<p onclick=\"document.hacked = 1\" id=bad>';"
        "document.body.insertAdjacentHTML('beforeend', bad);"
        "document.getElementById('bad').click();"
    )
    assert page.execute_script("return document.hacked") is None
    blocked = console(page)
    assert len(blocked) >= 2
    assert all("Content Security Policy" in line for line in blocked)


def test_a_training_is_started_watched_and_stopped(page):
    at_peak(page, 0).click().perform()
    wait_until_saved(page)
    by_id(page, "open-training").click()
    assert "Corrected micrographs: 1, of which 0 done. Picks: 1 removed" in text_of(
        page, "training-basis"
    )
    by_id(page, "start-training").click()
    wait(page, f"return {text('training-lines')}.includes('epoch 3')")
    assert "<img src=x>" in text_of(page, "training-lines")
    assert text_of(page, "open-training") == "Training …"
    by_id(page, "stop-training").click()
    wait(page, f"return {text('training-state')}.includes('was stopped')")
    page.find_element("css selector", "#training form button:last-child").click()


def test_help_shows_all_keys_that_there_are(page):
    press(page, "h")
    assert by_id(page, "help").is_displayed()
    shown = {key.text for key in page.find_elements("css selector", "#help kbd")}
    assert shown >= set("NPDFURXCABV[]0+") | {"Space", "−"}
    at_before = text_of(page, "current")
    page.switch_to.active_element.send_keys("n")
    assert text_of(page, "current") == at_before
    page.find_element("css selector", "#help form button").click()


@pytest.mark.parametrize("width", [1024, 1366, 1920])
def test_the_page_fits_its_window_and_the_micrograph_has_most_of_it(page, width):
    page.set_window_size(width, 768)
    wait(page, f"return innerWidth <= {width}")
    time.sleep(0.2)
    sizes = page.execute_script(
        "const root = document.documentElement, canvas = document.getElementById('canvas');"
        "const { top, bottom } = canvas.getBoundingClientRect();"
        "return [root.scrollWidth - innerWidth, root.scrollHeight - innerHeight,"
        "bottom - top, innerHeight, canvas.width / canvas.clientWidth, devicePixelRatio]"
    )
    page.set_window_size(1366, 768)
    assert sizes[0] <= 0
    assert sizes[1] <= 0
    assert sizes[2] > 0.65 * sizes[3]
    assert sizes[4] == pytest.approx(sizes[5], rel=0.01)


@contextmanager
def window(page, width, height):
    page.set_window_size(width, height)
    wait(page, f"return innerWidth <= {width}")
    time.sleep(0.2)
    yield
    page.set_window_size(1366, 768)


@pytest.mark.parametrize(("width", "height"), [(800, 600), (420, 700), (1280, 420)])
def test_in_a_small_window_all_of_the_page_can_be_scrolled_to(page, server, width, height):
    with window(page, width, height):
        open_page(page, server.address)
        top, left = page.execute_script(
            "const box = document.getElementById('title').getBoundingClientRect();"
            "return [box.top, box.left]"
        )
        reached = page.execute_script(
            "document.querySelector('.legend').scrollIntoView({ block: 'end' });"
            "const { bottom, right } = document.querySelector('.legend').getBoundingClientRect();"
            "return [innerHeight - bottom, innerWidth - right]"
        )
        canvas, inner = page.execute_script(
            "return [document.getElementById('canvas').clientHeight, innerHeight]"
        )
    assert min(top, left) >= 0
    assert min(reached) >= -1
    assert 0.6 * inner < canvas < inner


CUT_OFF = (
    "const node = document.querySelector(arguments[0]), box = node.getBoundingClientRect();"
    "const inside = document.elementFromPoint(box.right - 2, box.bottom - 3);"
    "return node.scrollWidth > node.clientWidth + 1 || node.scrollHeight > node.clientHeight + 1"
    " || box.right > innerWidth || !(node.contains(inside) || inside.contains(node))"
)


@pytest.mark.parametrize("width", [800, 1280])
def test_long_reasons_are_read_whole(browser, tmp_path, width):
    names = [f"a_long_name_of_a_session_and_a_grid_{i:04d}.mrc" for i in range(12)]
    run = make_run(tmp_path, names)
    few = Coordinates(PEAKS.x[:2], PEAKS.y[:2], PEAKS.score[:2])
    save_peaks(
        MicrographPeaks(few, (SIDE, SIDE), PIXEL_SIZE, ""), PickRun(run).peaks_path(names[3])
    )
    PickRun(run).peaks_path(names[7]).unlink()
    why = "its header is damaged: " + "the axes are in an order that no program has written, " * 4
    write_failures({names[7]: why}, run / FAILED)
    with window(browser, width, 800), serving(run) as server:
        open_page(browser, server.address)
        odd = f".micrograph[title='{names[3]}'] .reason"
        wait(browser, f'return document.querySelector("{odd}")?.textContent')
        browser.execute_script(f'document.querySelector("{odd}").scrollIntoView()')
        assert "fewer picks than usual: 2, not" in browser.execute_script(
            f'return document.querySelector("{odd}").textContent'
        )
        assert not browser.execute_script(CUT_OFF, odd)
        by_id(browser, "filter").send_keys("0007")
        wait(browser, "return document.querySelectorAll('.micrograph').length === 1")
        browser.find_element("css selector", ".micrograph").click()
        wait_for_picks(browser)
        assert why.strip() in text_of(browser, "current")
        assert not browser.execute_script(CUT_OFF, "#current")
        browser.execute_script("localStorage.clear()")


def test_ten_thousand_micrographs_are_listed_and_thousands_of_picks_drawn(browser, tmp_path):
    run = make_run(tmp_path)
    first = tmp_path / "mics" / "0.mrc"
    names = ["a.mrc", *(f"day{i % 7}/m{i:05d}.mrc" for i in range(10_000))]
    write_micrographs([Micrograph(first, name, 2.0, "option") for name in names], run)
    with serving(run) as server:
        open_page(browser, server.address)
        assert text_of(browser, "progress") == "0 of 10,001 corrected, 0 done"
        assert len(browser.find_elements("css selector", ".micrograph")) < 60
        browser.execute_script("document.getElementById('list').scrollTop = 1e9")
        last = "[...document.querySelectorAll('.micrograph')].at(-1)?.title"
        wait(browser, f"return {last} === 'day3/m09999.mrc'")
        by_id(browser, "filter").send_keys("09876")
        wait(browser, "return document.querySelectorAll('.micrograph').length === 1")
        at_peak(browser, 0).click().perform()
        assert saved_marks(browser, run) == {PLACES[0]: "removed"}
        assert console(browser) == []
        browser.execute_script("localStorage.clear()")


def test_it_opens_where_a_look_teaches_most_and_marks_the_picks(browser, tmp_path):
    run = make_run(tmp_path)
    # the second micrograph is in doubt, the first in none
    for name, score in (("a.mrc", 9.0), ("b.mrc", THRESHOLD)):
        sure = Coordinates(PEAKS.x, PEAKS.y, np.full(len(PEAKS), score))
        save_peaks(
            MicrographPeaks(sure, (SIDE, SIDE), PIXEL_SIZE, ""), PickRun(run).peaks_path(name)
        )
    with serving(run) as server:
        open_page(browser, server.address)
        assert text_of(browser, "name") == "b.mrc"
        _, found = client_of(server).get("/suggestions")
        number, first = found["suggested"][0]
        assert number == 1
        left, top, right, bottom = first["area"]
        assert 0 <= left < right < SIDE
        assert 0 <= top < bottom < SIDE
        rows = [row.text for row in browser.find_elements("css selector", ".micrograph")]
        assert "b.mrc" in rows[0]
        assert "many doubtful picks" in rows[0]
