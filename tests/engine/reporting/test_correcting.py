# SPDX-License-Identifier: GPL-3.0-or-later
"""Corrections over the server: what several people do at once, and what a disk or a run does."""

import json
import threading

import numpy as np
import pytest
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
from helpers.simulated import MODEL
from hypothesis import given
from hypothesis import strategies as st

from scipion_pupick.engine import Coordinates, Micrograph, MicrographPeaks, PickRun, PupickError
from scipion_pupick.engine.coordinates.corrections import (
    Correction,
    read_corrections,
    write_corrections,
)
from scipion_pupick.engine.files.atomic import remove_leftovers
from scipion_pupick.engine.files.lock import only_owner
from scipion_pupick.engine.picking.peaks_file import save_peaks
from scipion_pupick.engine.reporting.correcting.edits import (
    MARKS,
    UNMARKED,
    Edit,
    Edits,
    apply_edits,
    marks_of,
    places,
)
from scipion_pupick.engine.runs.corrected_run import read_corrected_run
from scipion_pupick.engine.runs.lists import write_micrographs

PEAKS = grid_of_peaks()
PLACES = [tuple(place) for place in places(PEAKS).tolist()]
SIZE = (SIDE, SIDE)
# two peaks and two places where there is none
SOME = st.sampled_from([*PLACES[:2], (1234, 5678), (0, 25500)])
MARK = st.sampled_from([UNMARKED, *MARKS])
STEPS = st.lists(st.tuples(SOME, MARK), max_size=12)


def edits_of(steps, marks, prefix="n"):
    """Edits of a person who sees these marks, and changes them step by step."""
    seen, edits = dict(marks), []
    for i, (place, after) in enumerate(steps):
        if after in ("removed", "confirmed") and place not in PLACES:
            continue
        edits.append(Edit(f"{prefix}{i}", place, seen.get(place, UNMARKED), after))
        seen[place] = after
    return Edits(tuple(edits)), {place: mark for place, mark in seen.items() if mark}


def applied(correction, edits):
    outcome = apply_edits(correction, edits, PEAKS, SIZE)
    return outcome.correction, outcome.refused


@given(STEPS)
def test_one_person_gets_all_that_was_done(steps):
    edits, expected = edits_of(steps, {})
    correction, refused = applied(Correction(), edits)
    assert marks_of(correction) == expected
    assert refused == {}


@given(STEPS, STEPS)
def test_undoing_leads_back(first, second):
    start, _ = applied(Correction(), edits_of(first, {})[0])
    edits, _ = edits_of(second, marks_of(start))
    changed, _ = applied(start, edits)
    back = tuple(Edit(e.name, e.place, e.after, e.before) for e in reversed(edits.marks))
    again, refused = applied(changed, Edits(back))
    assert marks_of(again) == marks_of(start)
    assert refused == {}


@given(STEPS, STEPS)
def test_of_two_people_nobody_loses_what_the_other_has_not_touched(mine, yours):
    my_edits, my_marks = edits_of(mine, {}, "m")
    your_edits, your_marks = edits_of(yours, {}, "y")
    first, _ = applied(Correction(), my_edits)
    joined, refused = applied(first, your_edits)
    marks = marks_of(joined)
    mine_alone = {e.place for e in my_edits.marks} - {e.place for e in your_edits.marks}
    yours_alone = {e.place for e in your_edits.marks} - {e.place for e in my_edits.marks}
    for place in mine_alone:
        assert marks.get(place) == my_marks.get(place)
    for place in yours_alone:
        assert marks.get(place) == your_marks.get(place)
    assert not {e.name for e in your_edits.marks if e.place in yours_alone} & refused.keys()


def test_a_pick_that_somebody_else_has_changed_is_said_and_not_overwritten():
    mine = Edits((Edit("a", PLACES[0], "", "removed"),))
    yours = Edits((Edit("b", PLACES[0], "", "confirmed"), Edit("c", PLACES[1], "", "confirmed")))
    joined, refused = applied(applied(Correction(), mine)[0], yours)
    assert refused == {"b": "removed"}
    assert marks_of(joined) == {PLACES[0]: "removed", PLACES[1]: "confirmed"}


def test_only_picks_can_be_removed_or_confirmed_and_only_within_can_be_added():
    def is_refused(place, after):
        return bool(applied(Correction(), Edits((Edit("n", place, "", after),)))[1])

    assert is_refused((1, 1), "removed")
    assert is_refused((1, 1), "confirmed")
    assert not is_refused((0, 0), "added")
    assert not is_refused((25500, 25500), "added")
    for outside in ((-1, 0), (0, -1), (25501, 0), (0, 25501)):
        assert is_refused(outside, "added")


def test_positions_are_kept_exactly_and_what_others_wrote_is_not_rounded():
    before = Correction(added=Coordinates.unscored([1 / 3], [2 / 3]))
    correction, _ = applied(before, Edits((Edit("n", PLACES[5], "", "removed"),)))
    np.testing.assert_array_equal(correction.removed.xy, PEAKS.xy[5:6])
    np.testing.assert_array_equal(correction.added.xy, [[1 / 3, 2 / 3]])


# ---- over the server


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def saved(run):
    return {name: marks_of(c) for name, c in read_corrections(run / "corrections.json").items()}


def unpacked(packed, dtype):
    import base64

    return np.frombuffer(base64.b64decode(packed["data"]), dtype)


def test_the_page_is_told_the_peaks_and_marks_of_a_micrograph(run):
    removed = PEAKS.select([0])
    write_corrections(run / "corrections.json", {"a.mrc": Correction(removed, done=True)})
    with serving(run) as server:
        client = client_of(server)
        overview = client.get("/run")[1]
        sheet = client.get("/micrographs/0")[1]
    assert overview["names"] == ["a.mrc", "b.mrc", "c.mrc"]
    assert overview["corrected"] == {"0": [1, 0, 0, True]}
    assert overview["threshold"] == THRESHOLD
    assert unpacked(sheet["places"], "<u4").reshape(-1, 2).tolist() == [list(p) for p in PLACES]
    # exact, or a pick by the threshold would be shown that the run does not have
    assert unpacked(sheet["scores"], "<f8").tolist() == PEAKS.score.tolist()
    assert (sheet["width"], sheet["height"], sheet["pixelSize"]) == (SIDE, SIDE, PIXEL_SIZE)
    assert sheet["marks"] == [[*PLACES[0], "removed"]]
    assert sheet["done"]


def test_a_picture_is_of_the_whole_micrograph_whatever_its_smoothing(run):
    import io

    imread = pytest.importorskip("matplotlib.image").imread
    with serving(run) as server:
        pictures = []
        for smoothing in range(4):
            path = f"/micrographs/1/picture?smoothing={smoothing}"
            status, headers, content = client_of(server).ask("GET", path)
            assert (status, headers["Content-Type"]) == (200, "image/png")
            pictures.append(imread(io.BytesIO(content)))
    image = np.random.default_rng(1).normal(size=(SIDE, SIDE))
    assert all(picture.shape == (SIDE, SIDE) for picture in pictures)
    assert np.corrcoef(pictures[0].ravel(), image.ravel())[0, 1] > 0.95
    rough = [np.abs(np.diff(picture)).mean() for picture in pictures]
    assert rough == sorted(rough, reverse=True)


def test_what_is_answered_is_on_the_disk(run):
    with serving(run) as server:
        client = client_of(server)
        expected = {}
        for i, mark in ((0, "removed"), (1, "confirmed"), (40, "added")):
            status, answer = client.edit(1, (*PLACES_OF_B[i], "", mark))
            expected[PLACES_OF_B[i]] = mark
            assert (status, answer["refused"]) == (200, {})
            assert saved(run) == {"b.mrc": expected}
        client.edit(1, done=True)
        assert read_corrections(run / "corrections.json")["b.mrc"].done
        client.edit(1, (*PLACES_OF_B[0], "removed", ""), done=False)
    expected.pop(PLACES_OF_B[0])
    assert saved(run) == {"b.mrc": expected}
    assert not read_corrections(run / "corrections.json")["b.mrc"].done


PLACES_OF_B = [tuple(place) for place in places(grid_of_peaks(1)).tolist()]


def test_ten_browsers_at_once_lose_nothing(run):
    added = [(500 + 7 * i, 900 + 13 * i) for i in range(100)]

    def correct(server, mine, failures):
        client = client_of(server)
        for place in mine:
            status, answer = client.edit(2, (*place, "", "added"))
            if status != 200 or answer["refused"]:
                failures.append(answer)

    failures = []
    with serving(run) as server:
        threads = [
            threading.Thread(target=correct, args=(server, added[i::10], failures))
            for i in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert saved(run) == {"c.mrc": dict.fromkeys(added, "added")}


def test_who_trains_meanwhile_reads_a_whole_state_that_only_grows(run):
    record = json.loads((run / "pick.json").read_text())
    PickRun(run).write_record({**record, "model": str(MODEL)})
    seen, ended = [], threading.Event()

    def read():
        while not ended.is_set():
            if (run / "corrections.json").exists():
                found = read_corrected_run(run)
                seen.append(sum(len(picks) for picks in found.particles.values()))

    with serving(run) as server:
        reader = threading.Thread(target=read)
        reader.start()
        try:
            client = client_of(server)
            for i in range(60):
                assert client.edit(2, (500 + 9 * i, 700, "", "added"))[0] == 200
        finally:
            ended.set()
            reader.join()
    # a thread that has failed has seen nothing more
    assert seen == sorted(seen)
    assert read_corrected_run(run).particles["c.mrc"].xy.shape == (60, 2)
    assert len(set(seen)) > 3


def test_what_is_sent_twice_is_made_once_whatever_came_between(run):
    with serving(run) as server:
        client = client_of(server)
        add, take_back = ["first", 500, 500, "", "added"], ["second", 500, 500, "added", ""]
        for row in (add, take_back, add, take_back, add):
            status, answer = client.send(0, [row])
            assert (status, answer["refused"]) == (200, {})
    assert saved(run) == {"a.mrc": {}}


def test_browsers_hear_of_what_others_have_changed(run):
    with serving(run) as server:
        one, other = client_of(server), client_of(server)
        before = one.get("/run")[1]["changes"]
        other.edit(2, (500, 500, "", "added"))
        answer = one.get(f"/changes?since={before}")[1]
        assert answer["corrected"] == {"2": [0, 1, 0, False]}
        assert one.get(f"/changes?since={answer['changes']}")[1]["corrected"] == {}


def test_corrections_of_another_program_are_taken_in_and_not_overwritten(run):
    with serving(run) as server:
        client = client_of(server)
        client.edit(0, (500, 500, "", "added"))
        before = client.get("/run")[1]["changes"]
        known = read_corrections(run / "corrections.json")
        imported = Correction(added=Coordinates.unscored([9.0], [9.0]), done=True)
        write_corrections(run / "corrections.json", {**known, "c.mrc": imported})
        assert client.get(f"/changes?since={before}")[1]["corrected"] == {"2": [0, 1, 0, True]}
        client.edit(1, (700, 700, "", "added"))
    assert {name: set(marks) for name, marks in saved(run).items()} == {
        "a.mrc": {(500, 500)},
        "b.mrc": {(700, 700)},
        "c.mrc": {(900, 900)},
    }


def test_edits_reach_only_the_micrograph_that_they_were_made_on(run):
    """A page that is still open may know the numbers of a server that has ended."""
    names = [m.name for m in PickRun(run).micrographs]
    micrographs = [Micrograph(run.parent / "mics" / "0.mrc", name) for name in reversed(names)]
    write_micrographs(micrographs, run)
    with serving(run) as server:
        value = {"micrograph": "a.mrc", "edits": [["n", 500, 500, "", "added"]], "done": None}
        status, answer = client_of(server).post("/micrographs/0", value)
        assert status == 409
        assert "list of micrographs has changed" in answer["error"]
        assert client_of(server).post("/micrographs/2", value)[0] == 200
    assert set(saved(run)) == {"a.mrc"}


def test_edits_reach_only_the_run_that_the_page_was_opened_for(run, tmp_path):
    """Runs over the same micrographs have the same names under the same numbers."""
    other = make_run(tmp_path / "other")
    with serving(run) as server:
        client = client_of(server)
        assert client.edit(0, (*PLACES[0], "", "removed"))[0] == 200
    with serving(other) as server:
        client.port, client.token = server.server_port, server.gate.token
        status, answer = client.edit(0, (*PLACES[1], "", "removed"))
        assert status == 409
        assert f"It serves {other} now" in answer["error"]
        assert client.post("/training", {"action": "start"})[0] == 409
        assert not (other / "corrected").exists()
        assert client.get("/run")[1]["folder"] == str(other)
    assert not (other / "corrections.json").exists()
    assert saved(run) == {"a.mrc": {PLACES[0]: "removed"}}


def test_a_run_is_the_same_under_another_name_of_its_folder(run, tmp_path):
    (tmp_path / "link").symlink_to(run)
    with serving(tmp_path / "link") as server:
        assert client_of(server).get("/run")[1]["folder"] == str(run.resolve())


def pick_anew(run, name="a.mrc", seed=9, **record):
    """What picking again leaves behind: other peaks, and its record, written anew."""
    kept = MicrographPeaks(grid_of_peaks(seed), SIZE, PIXEL_SIZE, "")
    save_peaks(kept, PickRun(run).peaks_path(name))
    before = json.loads((run / "pick.json").read_text())
    PickRun(run).write_record({**before, "seconds": before["seconds"] + 1, **record})


@pytest.mark.parametrize("change", [{}, {"seed": 0, "threshold": THRESHOLD + 1}])
def test_what_rests_on_other_picks_than_there_are_is_not_taken(run, change):
    """After picking again with the same threshold, or with the same peaks but another threshold."""
    with serving(run) as server:
        client = client_of(server)
        shown = client.get("/micrographs/0")[1]["shown"]
        before = client.get("/changes?since=0")[1]
        assert client.get("/micrographs/0")[1]["shown"] == shown
        assert client.get("/changes?since=0")[1] == before
        pick_anew(run, **change)
        after = client.get("/changes?since=0")[1]
        assert after["edition"] > before["edition"]
        row = ["n-1", 500, 500, "", "added"]
        value = {"micrograph": "a.mrc", "edits": [row], "done": True, "shown": shown}
        status, answer = client.post("/micrographs/0", value)
        assert (status, answer["refused"], answer["done"]) == (200, {"n-1": ""}, False)
        assert answer["marks"] == []
        assert answer["shown"] == client.get("/micrographs/0")[1]["shown"] != shown
        status, answer = client.post("/micrographs/0", {**value, "shown": answer["shown"]})
        assert (status, answer["refused"], answer["done"]) == (200, {}, True)
    assert saved(run) == {"a.mrc": {(500, 500): "added"}}
    assert read_corrections(run / "corrections.json")["a.mrc"].done


def test_a_mark_stands_for_itself_whatever_was_shown_and_done_can_always_be_taken_back(run):
    with serving(run) as server:
        client = client_of(server)
        client.edit(0, done=True)
        pick_anew(run)
        place = tuple(places(grid_of_peaks(9)).tolist()[3])
        status, answer = client.edit(0, (*place, "", "removed"), done=False)
        assert (status, answer["refused"], answer["done"]) == (200, {}, False)
    assert saved(run) == {"a.mrc": {place: "removed"}}


def test_done_is_not_taken_without_what_was_shown_nor_with_a_mark_that_is_refused(run):
    with serving(run) as server:
        client = client_of(server)
        client.edit(0, (*PLACES[5], "", "confirmed"))
        conflict = ["n-1", *PLACES[5], "", "removed"]
        status, answer = client.send(0, [conflict, ["n-2", *PLACES[6], "", "removed"]], True)
        assert (status, answer["refused"], answer["done"]) == (200, {"n-1": "confirmed"}, False)
        value = {"micrograph": "a.mrc", "edits": [], "done": True}
        for unseen in ({}, {"shown": None}, {"shown": ""}):
            status, answer = client.post("/micrographs/0", {**value, **unseen})
            assert (status, answer["done"]) == (200, False)
        assert client.edit(0, done=True)[1]["done"]
    assert saved(run) == {"a.mrc": {PLACES[5]: "confirmed", PLACES[6]: "removed"}}


def test_browsers_hear_of_new_peaks_of_what_they_show_while_a_run_goes_on(run):
    with serving(run) as server:
        client = client_of(server)
        client.get("/micrographs/1")
        before = client.get("/run")[1]["changes"]
        for number, name in enumerate(("a.mrc", "b.mrc")):
            kept = MicrographPeaks(grid_of_peaks(7 + number), SIZE, PIXEL_SIZE, "")
            save_peaks(kept, PickRun(run).peaks_path(name))
        answer = client.get(f"/changes?since={before}")[1]
        assert answer["corrected"] == {"1": [0, 0, 0, False]}
        assert client.get(f"/changes?since={answer['changes']}")[1]["corrected"] == {}


def test_a_full_disk_loses_nothing_and_is_said(run):
    with serving(run) as server:
        client = client_of(server)
        client.edit(0, (500, 500, "", "added"))
        before = (run / "corrections.json").read_bytes()
        more = [["again", 700, 700, "", "added"]]
        with files_of_at_most(len(before)):
            status, answer = client.send(0, more, True)
            assert status == 507
            assert "corrections.json" in answer["error"]
            assert "too large" in answer["error"]
            assert client.get("/micrographs/0")[1]["marks"] == [[500, 500, "added"]]
        assert (run / "corrections.json").read_bytes() == before
        assert [path.name for path in run.glob(".*.json")] == []
        assert client.send(0, more, True)[0] == 200
    assert saved(run) == {"a.mrc": {(500, 500): "added", (700, 700): "added"}}


def test_a_damaged_file_is_said_and_left_as_it_is(run):
    path = run / "corrections.json"
    with serving(run) as server:
        client = client_of(server)
        client.edit(0, (500, 500, "", "added"))
        good = path.read_bytes()
        path.write_text("{damaged")
        status, answer = client.edit(0, (700, 700, "", "added"))
        assert status == 500
        assert "corrections.json is damaged" in answer["error"]
        assert path.read_text() == "{damaged"
        path.write_bytes(good)
        assert client.edit(0, (700, 700, "", "added"))[0] == 200
    path.write_text("{damaged")
    with pytest.raises(PupickError, match=r"corrections\.json is damaged"), serving(run):
        pass


def test_a_run_that_picks_meanwhile_and_the_page_do_each_other_no_harm(run):
    """Its lock is its own, what it removes as half written is written again, and it may grow."""
    random = np.random.default_rng(0)
    with serving(run) as server, only_owner(run, "pupick pick"):
        client, stop = client_of(server), threading.Event()

        def remove():
            while not stop.is_set():
                remove_leftovers(run)

        remover = threading.Thread(target=remove)
        remover.start()
        places_added = [(int(x), int(y)) for x, y in random.integers(0, 25000, (20, 2))]
        made = [client.edit(1, (*p, "", "added"))[0] == 200 for p in places_added]
        again = [client.edit(1, (*p, "", "added"))[0] for p in places_added]
        stop.set()
        remover.join()
        assert sum(made) > 10
        assert set(again) <= {200, 507}
        for place in places_added:
            assert client.edit(1, (*place, "", "added"))[0] == 200
        assert set(saved(run)["b.mrc"]) == set(places_added)
        more = [Micrograph(run.parent / "mics" / "0.mrc", name) for name in ("new.mrc", "a.mrc")]
        kept = MicrographPeaks(PEAKS, SIZE, PIXEL_SIZE, "")
        save_peaks(kept, PickRun(run).peaks_path("new.mrc"))
        write_micrographs(more, run)
        names = client.get("/run")[1]["names"]
        assert names == ["a.mrc", "b.mrc", "c.mrc", "new.mrc"]
        assert client.edit(3, (500, 500, "", "added"))[0] == 200
        assert client.edit(1, (501, 501, "", "added"))[0] == 422
    assert set(saved(run)) == {"b.mrc", "new.mrc"}
    assert set(saved(run)["b.mrc"]) == set(places_added)


def test_what_has_not_been_picked_is_shown_and_cannot_be_corrected(run):
    PickRun(run).peaks_path("c.mrc").unlink()
    with serving(run) as server:
        client = client_of(server)
        assert not client.get("/micrographs/2")[1]["picked"]
        assert client.ask("GET", "/micrographs/2/picture?smoothing=0")[0] == 200
        status, answer = client.edit(2, (500, 500, "", "added"))
    assert status == 422
    assert "has not been picked" in answer["error"]


def test_a_micrograph_that_is_gone_is_said_and_its_picks_can_be_corrected(run):
    (run.parent / "mics" / "0.mrc").unlink()
    with serving(run) as server:
        client = client_of(server)
        status, answer = client.get("/micrographs/0/picture?smoothing=1")
        assert status == 422
        assert "no such file" in answer["error"]
        assert client.edit(0, (*PLACES[0], "", "removed"))[0] == 200


def test_scores_are_those_of_the_report(run):
    with serving(run) as server:
        tables = client_of(server).get("/tables")[1]
    assert tables["grid"][tables["own"]] == THRESHOLD
    expected = 3 * np.count_nonzero(PEAKS.score >= THRESHOLD)
    assert tables["counts"][tables["own"]] == expected


def test_a_training_is_started_watched_and_stopped(run):
    with serving(run) as server:
        client = client_of(server)
        assert client.get("/training")[1]["state"] == "none"
        assert client.post("/training", {"action": "shell"})[0] == 422
        state = client.post("/training", {"action": "start"})[1]
        assert state["state"] == "running"
        assert state["folder"] == str(run / "corrected" / "training-1")
        assert client.post("/training", {"action": "start"})[0] == 422
        while not (lines := client.get("/training")[1]["lines"]):
            pass
        assert lines[0] == "epoch 0 <img src=x>"
        assert client.post("/training", {"action": "stop"})[1]["state"] == "stopped"
        client.post("/training", {"action": "start"})
        assert client.get("/training")[1]["folder"].endswith("training-2")


def test_a_training_that_ends_says_what_comes_next_and_one_that_fails_why(run):
    import sys

    program = (
        "import pathlib, sys; print('ended'); "
        "pathlib.Path(sys.argv[1], 'model.safetensors').touch(); sys.exit(int(sys.argv[2]))"
    )
    with serving(run, train=lambda f: [sys.executable, "-c", program, str(f), "0"]) as server:
        client = client_of(server)
        state = client.post("/training", {"action": "start"})[1]
        while state["state"] == "running":
            state = client.get("/training")[1]
    assert (state["state"], state["lines"]) == ("finished", ["ended"])
    assert state["next"] == f"pick with {run / 'corrected' / 'training-1' / 'model.safetensors'}"
    with serving(run, train=lambda f: [sys.executable, "-c", "raise SystemExit('why')"]) as server:
        client = client_of(server)
        assert client.get("/training")[1]["state"] == "finished"
        state = client.post("/training", {"action": "start"})[1]
        while state["state"] == "running":
            state = client.get("/training")[1]
    assert (state["state"], state["lines"], state["next"]) == ("failed", ["why"], "")
    with serving(run) as server:
        assert client_of(server).get("/training")[1]["state"] == "unfinished"


def test_names_that_are_no_utf8_are_corrected(tmp_path):
    name = b"\xff.mrc".decode("utf-8", "surrogateescape")
    run = make_run(tmp_path, (name,))
    with serving(run) as server:
        client = client_of(server)
        assert client.get("/run")[1]["names"] == [name]
        assert client.edit(0, (500, 500, "", "added"))[0] == 200
    assert json.loads((run / "corrections.json").read_text())["micrographs"]
    assert set(saved(run)) == {name}


def test_corrections_are_seen_and_kept_when_micrographs_are_given_from_elsewhere(tmp_path):
    folder = make_run(tmp_path, ("mics/0.mrc", "mics/1.mrc"))
    added = Correction(added=Coordinates.unscored([5.0], [6.0]))
    before = {"/data/mics/1.mrc": added, "/data/mics/gone.mrc": added}
    write_corrections(folder / "corrections.json", before)
    with serving(folder) as server:
        client = client_of(server)
        assert client.get("/run")[1]["corrected"] == {"1": [0, 1, 0, False]}
        assert client.get("/micrographs/1")[1]["marks"] == [[500, 600, "added"]]
        client.edit(0, (700, 800, "", "added"))
    after = read_corrections(folder / "corrections.json")
    assert {*after} == {"mics/0.mrc", "mics/1.mrc", "/data/mics/gone.mrc"}
