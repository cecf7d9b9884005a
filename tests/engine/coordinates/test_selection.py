# SPDX-License-Identifier: GPL-3.0-or-later
"""What a selection of 2D classes has rejected, from RELION's files."""

import pytest

from scipion_pupick.engine.coordinates import read_picks
from scipion_pupick.engine.coordinates.selection import (
    find_particles,
    find_selected_from,
    read_rejected,
)
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.settings import PicksSettings

OPTICS = """
data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnImagePixelSize #4
opticsGroup1 1 1.0 4.0
opticsGroup2 2 1.5 6.0

"""
COLUMNS = """
data_particles

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnImageName #3
_rlnMicrographName #4
_rlnOpticsGroup #5
_rlnClassNumber #6
_rlnOriginXAngst #7
_rlnOriginYAngst #8
"""


def row(number, kind, micrograph="mics/a.mrc", group=1, shift=(0.0, 0.0)):
    image = f"{number:06d}@Extract/job007/Movies/a.mrcs"
    x, y = shift
    return f"{10 * number} {20 * number} {image} {micrograph} {group} {kind} {x} {y}\n"


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(OPTICS + COLUMNS + "".join(rows))
    return path


def places(picks):
    return {name: sorted(coordinates.xy.tolist()) for name, coordinates in picks.items()}


def test_particles_of_rejected_classes_are_rejected(tmp_path):
    rows = [row(number, 1 + number % 2) for number in range(1, 11)]
    every = write(tmp_path / "Class2D/job008/run_it025_data.star", rows)
    selected = write(tmp_path / "Select/job009/particles.star", rows[::2])
    found = places(read_rejected([selected], [every]))
    assert found == {"mics/a.mrc": [[10.0 * n, 20.0 * n] for n in (2, 4, 6, 8, 10)]}


def test_parts_of_names_are_dropped_and_low_scores_kept(tmp_path):
    rows = [row(number, 1 + number % 2, "mics/a_xyz.mrc") for number in range(1, 11)]
    every = write(tmp_path / "Class2D/job008/run_it025_data.star", rows)
    selected = write(tmp_path / "Select/job009/particles.star", rows[::2])
    settings = PicksSettings(least_score=9.0, drop_from_names="_xyz")
    found = places(read_rejected([selected], [every], settings=settings))
    assert found == {"mics/a.mrc": [[10.0 * n, 20.0 * n] for n in (2, 4, 6, 8, 10)]}


def test_a_selected_class_has_no_negatives_and_neither_has_one_with_hardly_a_particle(tmp_path):
    # class 1 was selected, though not all of it; class 3 is nearly empty
    rows = [row(n, 1) for n in range(1, 31)] + [row(n, 2) for n in range(31, 61)] + [row(61, 3)]
    every = write(tmp_path / "all.star", rows)
    selected = write(tmp_path / "selected.star", rows[:20])
    found = places(read_rejected([selected], [every]))["mics/a.mrc"]
    assert found == [[10.0 * n, 20.0 * n] for n in range(31, 61)]


# as RELION 3.1's window has saved it for the first and the third of four classes
AVERAGES = """
# version 30001

data_

loop_
_rlnReferenceImage #1
_rlnClassDistribution #2
000001@Class2D/job008/run_it025_classes.mrcs     0.203743
000003@Class2D/job008/run_it025_classes.mrcs     0.348301

"""


@pytest.mark.parametrize(("job", "rejected"), [("job008", (2, 4)), ("job018", (2, 3, 4))])
def test_a_class_that_was_selected_is_not_rejected_though_none_of_it_is_left(
    tmp_path, job, rejected
):
    kinds = {n: 1 + n % 4 for n in range(1, 41)}
    rows = [row(number, kind) for number, kind in kinds.items()]
    every = write(tmp_path / "Class2D/job008/run_it025_data.star", rows)
    some = [row(number, kind) for number, kind in kinds.items() if kind == 1]
    selected = write(tmp_path / "Select/job009/particles.star", some)
    # class averages of another job say nothing of this one
    (selected.parent / "class_averages.star").write_text(AVERAGES.replace("job008", job))
    found = places(read_rejected([selected], [every]))["mics/a.mrc"]
    assert found == [[10.0 * n, 20.0 * n] for n, kind in kinds.items() if kind in rejected]


def select_job(options):
    """A job.star of RELION's Select with some options."""
    return (
        "data_job\n_rlnJobTypeLabel relion.select\n\ndata_joboptions_values\n\nloop_\n"
        "_rlnJobOptionVariable #1\n_rlnJobOptionValue #2\n"
        f'fn_mic ""\n{options}\n'
    )


def continued(tmp_path):
    """Classes selected at iteration 25 of a classification that later went on to 50.

    Classes 1 and 2 have changed places then, and so did half of their particles.
    """
    at_25 = {n: 1 + n % 2 for n in range(1, 41)}
    at_50 = {n: 1 + n // 2 % 2 for n in at_25}
    job = tmp_path / "Class2D/job008"
    write(job / "run_it000_data.star", [row(n, 1) for n in at_25])
    write(job / "run_it025_data.star", [row(n, kind) for n, kind in at_25.items()])
    write(job / "run_ct25_it050_data.star", [row(n, kind) for n, kind in at_50.items()])
    some = [row(n, kind) for n, kind in at_25.items() if kind == 1]
    rejected = [[10.0 * n, 20.0 * n] for n, kind in at_25.items() if kind == 2]
    return job, write(tmp_path / "Select/job009/particles.star", some), rejected


@pytest.mark.parametrize("beside", ["class_averages.star", "job.star", "both"])
def test_the_iteration_that_was_selected_from_is_taken(tmp_path, caplog, beside):
    job, selected, rejected = continued(tmp_path)
    if beside != "job.star":
        averages = AVERAGES.replace("000003@Class2D/job008/run_it025_classes.mrcs     0.348301", "")
        (selected.parent / "class_averages.star").write_text(averages)
    if beside != "class_averages.star":
        # a job that was opened again, when the classification had gone on
        model = "run_it025_optimiser" if beside == "job.star" else "run_ct25_it050_optimiser"
        (selected.parent / "job.star").write_text(
            select_job(f"fn_model Class2D/job008/{model}.star")
        )
    alias = tmp_path / "Class2D/mine"
    alias.symlink_to(job)
    for folder in (job, alias):
        assert places(read_rejected([selected], [folder])) == {"mics/a.mrc": rejected}
    assert not caplog.records


def test_of_several_iterations_of_which_none_is_named_the_last_is_taken_and_that_is_said(
    tmp_path, caplog
):
    job, selected, rejected = continued(tmp_path)
    (selected.parent / "class_averages.star").write_text(AVERAGES.replace("job008", "job018"))
    assert places(read_rejected([selected], [job])) == {}
    (warning,) = (record.message for record in caplog.records)
    assert "job008: nothing beside the selected particles says from which of its 3" in warning
    assert "the last is taken, run_ct25_it050_data.star" in warning
    caplog.clear()
    # neither a file that is named nor a single iteration leaves a doubt
    named = job / "run_it025_data.star"
    assert places(read_rejected([selected], [named])) == {"mics/a.mrc": rejected}
    (job / "run_it000_data.star").unlink()
    (job / "run_ct25_it050_data.star").unlink()
    assert places(read_rejected([selected], [job])) == {"mics/a.mrc": rejected}
    assert not caplog.records


def test_shifts_and_optics_groups_are_those_of_the_rows(tmp_path):
    rows = [row(1, 1), row(2, 2, "mics/b.mrc", 2, (3.0, -6.0)), row(3, 2, shift=(4.0, 2.0))]
    every, selected = write(tmp_path / "a.star", rows), write(tmp_path / "s.star", rows[:1])
    found = places(read_rejected([selected], [every]))
    assert found == {"mics/b.mrc": [[18, 44]], "mics/a.mrc": [[26, 58]]}
    # of micrographs that were binned: a pixel of 2 Å
    found = places(read_rejected([selected], [every], pixel_size=2.0))
    assert found == {"mics/b.mrc": [[18.5, 43]], "mics/a.mrc": [[28, 59]]}


def test_several_selections_of_several_jobs(tmp_path):
    first = [row(1, 1), row(2, 2)]
    second = [row(3, 1), row(4, 2), row(1, 2)]
    jobs = [write(tmp_path / f"{n}/run_data.star", rows) for n, rows in ((1, first), (2, second))]
    picked = [write(tmp_path / f"{n}/s.star", rows[:1]) for n, rows in ((1, first), (2, second))]
    found = places(read_rejected(picked, [job.parent for job in jobs]))
    # the first is in a rejected class of the second job, but the other job's was selected
    assert found == {"mics/a.mrc": [[20, 40]]}


def test_without_classes_and_images_the_places_tell(tmp_path):
    head = "data_particles\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"
    every, selected = tmp_path / "a.star", tmp_path / "s.star"
    every.write_text(head + "a.mrc 1.0 2.0\na.mrc 3.0 4.0\n")
    selected.write_text(head + "a.mrc 1.04 2.0\n")
    assert places(read_rejected([selected], [every])) == {"a.mrc": [[3, 4]]}


def test_another_job_than_that_selected_from_is_refused(tmp_path):
    every = write(tmp_path / "other/run_data.star", [row(5, 1)])
    selected = write(tmp_path / "s.star", [row(1, 1)])
    with pytest.raises(UsageError, match=r"run_data.star: none of the selected") as refused:
        read_rejected([selected], [every])
    assert "selected_from" in refused.value.settings


def test_the_last_iteration_of_a_job_is_taken(tmp_path):
    for name in ("run_it000_data.star", "run_it005_data.star", "run_ct5_it025_data.star"):
        (tmp_path / name).touch()
    assert find_particles(tmp_path).name == "run_ct5_it025_data.star"
    (tmp_path / "run_data.star").touch()
    assert find_particles(tmp_path).name == "run_data.star"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: has no run_data.star"):
        find_particles(tmp_path / "empty")


@pytest.mark.parametrize("option", ["fn_model", "fn_data"])
def test_a_select_job_says_what_it_has_selected_from(tmp_path, option):
    name = "run_it025_optimiser.star" if option == "fn_model" else "run_it025_data.star"
    data = write(tmp_path / "Class2D/job008/run_it025_data.star", [row(1, 1)])
    selected = write(tmp_path / "Select/job009/particles.star", [row(1, 1)])
    with pytest.raises(UsageError, match=r"job009: no job.star"):
        find_selected_from(selected)
    (selected.parent / "job.star").write_text(select_job(f"{option} Class2D/job008/{name}"))
    assert find_selected_from(selected) == data


def test_shifts_before_relion_3_1_are_px_of_the_extracted_particles(tmp_path, caplog):
    path = tmp_path / "particles.star"
    path.write_text(
        "data_\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"
        "_rlnOriginX #4\n_rlnOriginY #5\n_rlnDetectorPixelSize #6\n_rlnMagnification #7\n"
        "a.mrc 100 200 2 -1 5.0 12500\n"
    )
    # 5 µm at 12,500 are 4 Å: particles binned by two of micrographs with 2 Å/px
    assert places(read_picks(path, pixel_size=2.0)) == {"a.mrc": [[96, 202]]}
    assert not caplog.records
    assert places(read_picks(path)) == {"a.mrc": [[98, 201]]}
    assert "give the micrographs' pixel size if the particles were rescaled" in caplog.text
