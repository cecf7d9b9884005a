# SPDX-License-Identifier: GPL-3.0-or-later
"""The report in a real browser: Chromium, driven by selenium; skipped where either is missing."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.chromium import MARKS, start_chromium, wait
from helpers.simulated import simulate, simulate_faint, trained_run

from scipion_pupick.engine import (
    PickSettings,
    find_micrographs,
    pick,
    read_picks,
    report,
    suggest,
    threshold,
)
from scipion_pupick.engine.runs.pick_run import PickRun, read_pick_run

webdriver = pytest.importorskip("selenium.webdriver")
pytestmark = MARKS

ODD = "a<script>document.hacked=1<'b'&amp;.mrc"
WORSE = '"quoted" </script><script>document.hacked=1</script>.mrc'
REASON = '<img src=x onerror="document.hacked=1">'
PICTURES = """
const all = [...document.querySelectorAll('#canvas, #thumbnails canvas, #rows canvas')];
return Object.fromEntries(all.map((c, i) => [c.id || `thumbnail ${i}`, c.toDataURL()]));
"""
SCROLLED = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

FAINT = PickSettings(threshold=-1.125)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_chromium(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def picked(tmp_path_factory):
    """A run with micrographs that have odd names, and one that has failed."""
    model = trained_run(tmp_path_factory) / "model.safetensors"
    folder = tmp_path_factory.mktemp("picked")
    simulate_faint(folder / "mics")
    (folder / "mics" / "m11.mrc").rename(folder / "mics" / ODD)
    micrographs = find_micrographs([str(folder / "mics")])
    pick(micrographs, model, folder / "run", FAINT, device="cpu", threads=1)
    with (folder / "run" / "failed.tsv").open("a") as file:
        file.write(f"{json.dumps(WORSE).replace(chr(92), chr(34))}\t{REASON}\n")
    report(folder / "run", device="cpu", threads=1)
    return folder / "run"


def open_page(browser, path):
    """Open a report, and wait until it is drawn."""
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(Path(path).as_uri())
    wait(browser, "return document.documentElement.dataset.ready === 'yes'")
    return browser


def assert_quiet(browser):
    """Nothing in the console, and nothing asked for but the page and its own content."""
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1


@pytest.fixture
def page(browser, picked):
    yield open_page(browser, picked / "report.html")
    assert_quiet(browser)


def by_id(page, name):
    return page.find_element("id", name)


def set_threshold(page, value):
    """Type a threshold, and wait until it has been drawn."""
    exact = by_id(page, "exact")
    exact.clear()
    exact.send_keys(f"{value:.2f}")
    wait(page, f"return document.getElementById('command').textContent.includes('={value:.2f} ')")


def picks_shown(page):
    return int(by_id(page, "picks").text.replace(",", ""))


def captions(page):
    """Particles below each thumbnail, by the micrograph's name."""
    return {
        button.get_attribute("title"): int(button.text.split()[0].replace(",", ""))
        for button in page.find_elements("css selector", "#thumbnails button")
    }


def counts_by_name(folder, names):
    return {
        name: sum(map(len, read_picks(PickRun(folder).coordinates_path(name)).values()))
        for name in names
    }


def test_it_opens_at_the_threshold_of_the_run(page, picked):
    summary = json.loads((picked / "pick.json").read_text())
    assert picks_shown(page) == summary["picks"]
    assert f"--threshold={summary['threshold']} " in by_id(page, "command").text
    assert captions(page) == counts_by_name(picked, captions(page))
    assert len(captions(page)) == 3


@pytest.mark.parametrize("value", [-5.0, -2.5, -1.0])
def test_counts_are_those_of_the_star_files_at_the_same_threshold(page, picked, tmp_path, value):
    set_threshold(page, value)
    result = threshold(picked, tmp_path, value)
    rows = sum(map(len, read_picks(tmp_path / "picks.star").values()))
    assert picks_shown(page) == rows == result.count
    assert captions(page) == counts_by_name(tmp_path, captions(page))
    assert int(by_id(page, "mean").text) == round(rows / 3)
    listed = page.find_elements("css selector", "#list tr")
    names = [row.find_elements("tag name", "td")[0].text for row in listed]
    found = [int(row.find_elements("tag name", "td")[1].text) for row in listed]
    assert dict(zip(names, found)) == counts_by_name(tmp_path, names)


def test_the_estimate_is_that_of_the_command(page, picked, tmp_path):
    set_threshold(page, -2.5)
    quality = threshold(picked, tmp_path, -2.5).quality
    for name in ("precision", "recall"):
        shown = int(by_id(page, name).text.split()[0])
        assert shown == pytest.approx(100 * float(getattr(quality, name)), abs=0.51)


def test_the_command_can_be_run_as_it_stands(page, picked):
    import shlex

    from scipion_pupick.engine.cli.main import make_parser

    set_threshold(page, -1.25)
    program, *arguments = shlex.split(by_id(page, "command").text)
    options = make_parser().parse_args(arguments)
    assert (program, options.folder, options.threshold) == ("pupick", str(picked), -1.25)


def test_the_slider_moves_by_keys(page):
    slider = by_id(page, "threshold")
    set_threshold(page, -2.5)
    before = picks_shown(page)
    slider.send_keys(webdriver.Keys.ARROW_RIGHT)
    wait(page, "return document.getElementById('exact').value === '-2.49'")
    assert 0 < picks_shown(page) <= before
    assert slider.get_attribute("aria-valuetext").startswith("−2.49, ")
    slider.send_keys(webdriver.Keys.HOME)
    wait(page, "return document.getElementById('exact').value === '-8.00'")
    assert picks_shown(page) > before


def test_overlays_gallery_and_plots_follow_the_threshold(page):
    set_threshold(page, -8.0)
    low = page.execute_script(PICTURES)
    plots = [by_id(page, name).get_attribute("innerHTML") for name in ("neighbours", "plane")]
    set_threshold(page, 2.5)
    high = page.execute_script(PICTURES)
    changed = {name for name in low if low[name] != high[name]}
    assert {"canvas", "row-1", "row-2", "row-3"} <= changed
    assert len([name for name in changed if name.startswith("thumbnail")]) == 3
    after = [by_id(page, name).get_attribute("innerHTML") for name in ("neighbours", "plane")]
    assert all(one != other for one, other in zip(plots, after))


def test_without_picks_a_micrograph_is_its_image_alone(page):
    set_threshold(page, -2.0)
    before = page.execute_script(PICTURES)["canvas"]
    by_id(page, "show-picks").click()
    bare = page.execute_script(PICTURES)["canvas"]
    assert bare != before
    for name in ("show-map", "show-below"):
        by_id(page, name).click()
        assert page.execute_script(PICTURES)["canvas"] != bare
        by_id(page, name).click()
        assert page.execute_script(PICTURES)["canvas"] == bare


def test_zoom_pan_and_the_next_micrograph_by_keys(page):
    canvas = by_id(page, "canvas")
    fitted = page.execute_script(PICTURES)["canvas"]
    name = by_id(page, "current").text
    canvas.send_keys("+++")
    zoomed = page.execute_script(PICTURES)["canvas"]
    canvas.send_keys(webdriver.Keys.ARROW_DOWN)
    panned = page.execute_script(PICTURES)["canvas"]
    assert len({fitted, zoomed, panned}) == 3
    canvas.send_keys("0")
    assert page.execute_script(PICTURES)["canvas"] == fitted
    canvas.send_keys("n")
    assert by_id(page, "current").text != name
    canvas.send_keys("p")
    assert by_id(page, "current").text == name


def test_micrographs_are_sorted(page):
    from selenium.webdriver.support.select import Select

    for how, reverse in (("fewest particles", False), ("most particles", True)):
        Select(by_id(page, "sort")).select_by_visible_text(how)
        counts = list(captions(page).values())
        assert counts == sorted(counts, reverse=reverse)
    Select(by_id(page, "sort")).select_by_visible_text("failures first")
    first = page.find_element("css selector", "#thumbnails li")
    assert REASON in first.text


def test_a_cut_out_leads_to_its_micrograph(page):
    before = page.execute_script(PICTURES)["canvas"]
    page.execute_script("document.getElementById('row-0').scrollIntoView({block: 'center'})")
    row = by_id(page, "row-0")
    actions = webdriver.ActionChains(page)
    actions.move_to_element_with_offset(row, 130 - row.size["width"] // 2, 0).click().perform()
    assert page.execute_script(PICTURES)["canvas"] != before


def test_odd_names_are_text(page):
    assert page.execute_script("return document.hacked") is None
    assert any(name.endswith(ODD) for name in captions(page))
    assert ODD in by_id(page, "list").text
    cells = page.find_elements("css selector", "#failed + table td")
    assert [cell.text for cell in cells] == [WORSE, REASON]
    assert page.find_elements("css selector", "main script, main img") == []


def test_dark_and_light_are_switched(page):
    colour = "return getComputedStyle(document.body).backgroundColor"
    before = page.execute_script(colour)
    by_id(page, "theme").click()
    assert page.execute_script(colour) != before


def test_paper_has_the_numbers_and_undistorted_pictures_on_white(page):
    assert not by_id(page, "printed").is_displayed()
    by_id(page, "theme").click()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert by_id(page, "printed").text == "−1.13"
    assert not by_id(page, "threshold").is_displayed()
    colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    shapes = page.execute_script(
        "return ['canvas', 'row-0'].map((id) => document.getElementById(id))"
        ".map((c) => [c.width / c.height, c.clientWidth / c.clientHeight])"
    )
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert colour == "rgb(255, 255, 255)"
    for drawn, printed in shapes:
        assert printed == pytest.approx(drawn, rel=0.02)


@pytest.mark.parametrize("width", [1024, 1366, 1920])
def test_nothing_is_wider_than_the_window(page, width):
    page.set_window_size(width, 800)
    # the browser lays the page out anew in its own time
    wait(page, f"return window.innerWidth === {width}")
    wait(page, f"return {SCROLLED} === 0")
    page.set_window_size(1366, 768)


def forget(run, *names):
    summary = json.loads((run / "pick.json").read_text())
    PickRun(run).write_record({name: summary[name] for name in summary if name not in names})


def no_picks(run):
    summary = json.loads((run / "pick.json").read_text())
    PickRun(run).write_record({**summary, "threshold": 60.0})


def nothing_scored(run):
    shutil.rmtree(run / "scores")
    forget(run, "seconds", "picks")


def no_peak(run):
    summary = json.loads((run / "pick.json").read_text())
    PickRun(run).write_record({**summary, "edge": 1e6})


def one_micrograph(run):
    lines = (run / "micrographs.tsv").read_text().splitlines()
    (run / "micrographs.tsv").write_text("\n".join([lines[0], lines[-1]]) + "\n")


def no_images(run):
    rows = [f"{m.name}\t/nowhere/x.mrc\t\n" for m in read_pick_run(run).micrographs]
    (run / "micrographs.tsv").write_text("micrograph\tfile\tpixel_size\n" + "".join(rows))


def no_training(run):
    forget(run, "training", "model", "digest", "versions")


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (no_picks, "No score reaches the threshold of 60.00"),
        (nothing_scored, "No micrograph has been picked"),
        (no_peak, "There is no peak at all, at whatever threshold: check the diameter, the border"),
        (one_micrograph, "picked in 1 micrograph,"),
        (no_images, "cannot be read any more"),
        (no_training, "the model cannot be read"),
    ],
    ids=lambda value: getattr(value, "__name__", "text"),
)
def test_what_is_missing_is_said_and_the_rest_shown(browser, picked, tmp_path, damage, text):
    run = shutil.copytree(picked, tmp_path / "run")
    damage(run)
    page = open_page(browser, report(run, device="cpu", threads=1))
    assert text in page.find_element("tag name", "header").text
    assert by_id(page, "run").is_displayed()
    slider = by_id(page, "threshold")
    if slider.is_displayed():
        slider.send_keys(webdriver.Keys.HOME)
        wait(page, "return document.getElementById('exact').value === '-8.00'")
    assert_quiet(browser)


def test_of_two_micrographs_both_are_numbered_and_the_median_lies_between(
    browser, picked, tmp_path
):
    run = shutil.copytree(picked, tmp_path / "run")
    lines = (run / "micrographs.tsv").read_text().splitlines()
    (run / "micrographs.tsv").write_text("\n".join(lines[:3]) + "\n")
    page = open_page(browser, report(run, score_maps=False))
    few, many = sorted(captions(page).values())
    assert few < many
    texts = [t.text for t in by_id(page, "per-micrograph").find_elements("tag name", "text")]
    assert f"median {(few + many) / 2:g}" in texts
    below = texts[texts.index("micrograph") - 2 : texts.index("micrograph")]
    assert below == ["1", "2"]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A run of 24 micrographs, of which two are out of line, and which suggests some."""
    model = trained_run(tmp_path_factory) / "model.safetensors"
    folder = tmp_path_factory.mktemp("uneven")
    for seed in range(24):
        few = seed in (5, 17)
        simulate(folder / "mics" / f"m{seed:02}.mrc", seed, particles=1 if few else 15, side=192)
    pick(find_micrographs([str(folder / "mics")]), model, folder / "run", FAINT, device="cpu")
    report(folder / "run", score_maps=False)
    return folder / "run"


def test_what_is_worth_a_look_comes_first_and_leads_to_its_micrograph(browser, uneven, tmp_path):
    page = open_page(browser, uneven / "report.html")
    found = suggest(uneven, tmp_path / "look").suggestions
    items = page.find_elements("css selector", "#look-list li")
    names = [item.find_element("tag name", "button").get_attribute("title") for item in items]
    assert names == list(found)
    reasons = [item.find_element("tag name", "p").text for item in items]
    assert reasons == [suggestion.reason for suggestion in found.values()]
    assert list(captions(page))[: len(names)] == names
    assert by_id(page, "current").text.startswith(Path(names[0]).name)
    # the frames are round the picks that the command writes
    marked = page.execute_script("return JSON.parse(document.getElementById('data').text).look")
    peaks = dict(read_pick_run(uneven).peaks())
    for name, _, which, area in marked:
        assert np.array_equal(peaks[name].coordinates.xy[which], found[name].picks.xy)
        corners, (ny, nx) = found[name].area.corners, peaks[name].shape
        assert area == pytest.approx(np.array(corners) / (nx, ny, nx, ny))
    with_frame = page.execute_script(PICTURES)["canvas"]
    by_id(page, "show-doubtful").click()
    assert page.execute_script(PICTURES)["canvas"] != with_frame
    items[-1].find_element("tag name", "button").click()
    assert by_id(page, "current").text.startswith(Path(names[-1]).name)
    whole_view = page.execute_script(PICTURES)["canvas"]
    cuts = items[-1].find_element("tag name", "canvas")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", cuts)
    left = 30 - cuts.size["width"] // 2
    webdriver.ActionChains(page).move_to_element_with_offset(cuts, left, 0).click().perform()
    assert page.execute_script(PICTURES)["canvas"] != whole_view
    assert_quiet(browser)


def test_what_is_out_of_line_is_marked_listed_and_leads_to_its_micrograph(browser, uneven):
    page = open_page(browser, uneven / "report.html")
    with (uneven / "quality.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    odd = {row["micrograph"]: row["out_of_line"].split(", ") for row in rows if row["out_of_line"]}
    assert {Path(name).name for name in odd} >= {"m05.mrc", "m17.mrc"}
    marks = page.find_elements("css selector", "#quality-picks .odd")
    assert len(marks) == sum("picks low" in what or "picks high" in what for what in odd.values())
    every = page.find_elements("css selector", "#quality-plots .odd")
    assert len(every) == sum(map(len, odd.values()))
    buttons = page.find_elements("css selector", "#odd-list button")
    assert {button.text for button in buttons} == {*odd}
    listed = next(button for button in buttons if button.text.endswith("m17.mrc"))
    text = listed.find_element("xpath", "../..").text
    assert "picks 1, usual 15" in text
    listed.click()
    assert by_id(page, "current").text.startswith("m17.mrc")
    webdriver.ActionChains(page).move_to_element(marks[0]).click().perform()
    assert by_id(page, "current").text.startswith("m05.mrc")
    assert_quiet(browser)


def test_a_micrograph_without_a_picture_is_found_in_the_list(browser, uneven, tmp_path):
    run = shutil.copytree(uneven, tmp_path / "run")
    lines = (run / "quality.tsv").read_text().splitlines()
    # ten micrographs out of line, more than are shown
    for i in range(1, 24, 2):
        cells = lines[i + 1].split("\t")
        cells[5] = "9" if i < 21 else cells[5]
        lines[i + 1] = "\t".join(cells)
    (run / "quality.tsv").write_text("\n".join(lines) + "\n")
    page = open_page(browser, report(run, score_maps=False))
    seen = {*captions(page)}
    buttons = page.find_elements("css selector", "#odd-list button")
    hidden = next((button for button in buttons if button.text not in seen), None)
    assert hidden is not None
    hidden.click()
    assert by_id(page, "filter").get_attribute("value") == hidden.text
    rows = page.find_elements("css selector", "#list tr")
    assert [row.find_element("tag name", "td").text for row in rows] == [hidden.text]
    assert_quiet(browser)


def no_table(run):
    (run / "quality.tsv").unlink()


def damaged_table(run):
    (run / "quality.tsv").write_text("micrograph\tpicks\n\x00")


@pytest.mark.parametrize("damage", [no_table, damaged_table])
def test_without_the_table_there_is_no_quality_over_the_run(browser, uneven, tmp_path, damage):
    run = shutil.copytree(uneven, tmp_path / "run")
    damage(run)
    page = open_page(browser, report(run, score_maps=False))
    assert not by_id(page, "over-time").is_displayed()
    assert by_id(page, "look").is_displayed()
    assert_quiet(browser)


@pytest.mark.parametrize("width", [420, 1024, 1920])
def test_the_new_parts_are_not_wider_than_the_window(browser, uneven, width):
    page = open_page(browser, uneven / "report.html")
    page.set_window_size(width, 800)
    # the browser lays the page out anew in its own time
    wait(page, f"return window.innerWidth === {width}")
    wait(page, f"return {SCROLLED} === 0")
    page.set_window_size(1366, 768)


def test_a_training(browser, tmp_path_factory):
    folder = trained_run(tmp_path_factory)
    page = open_page(browser, report(folder, device="cpu", threads=1))
    assert "A model trained on" in page.find_element("tag name", "header").text
    assert len(page.find_elements("css selector", "#epochs svg")) >= 3
    assert captions(page)
    assert not by_id(page, "chooser").is_displayed()
    assert_quiet(browser)
