# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs from RELION's files to RELION's files, also when they are continued."""

import json
from dataclasses import replace

import mrcfile
import numpy as np
import pytest
import torch
from helpers.relion_files import (
    OPTICS,
    disc_centres,
    make_project,
    read_table,
    write_coordinates,
    write_micrograph,
    write_micrographs_star,
    write_model,
)

from relion_external.errors import JobError
from relion_external.inputs import common_pixel_size, read_labels, read_negatives
from relion_external.jobs import run_job
from relion_external.outputs import ENGINE_FOLDER
from relion_external.parameters import BOTH, PICK, TRAIN, parse_arguments
from relion_external.training_inputs import read_training_inputs
from scipion_pupick.engine import (
    Coordinates,
    find_micrographs,
    load_model,
    read_picks,
    show_model,
    write_picks,
)
from scipion_pupick.engine.coordinates.corrections import Correction, write_corrections
from scipion_pupick.engine.errors import PupickError, UsageError
from scipion_pupick.engine.networks.model import save_model
from scipion_pupick.engine.preprocessing.scale import ANGSTROM, ModelScale, pixels
from scipion_pupick.engine.training.checkpoint import save_progress

NAMES = ["MotionCorr/job002/Movies/a.mrc", "MotionCorr/job002/Movies/b.mrc"]
MICS = "CtfFind/job003/micrographs_ctf.star"
SHAPE = (192, 256)
DIAMETER_PX = 180 / 7.08


def make(folder, monkeypatch, version="3.1", names=NAMES):
    project = make_project(folder, names, version)
    write_model(project / "External/job004/model.safetensors")
    monkeypatch.chdir(project)
    return project / "External/job005"


@pytest.fixture
def job(tmp_path, monkeypatch):
    """An empty job in a project, whose logfile.pdf (the longest part) other tests look at."""
    monkeypatch.setattr("relion_external.jobs.write_report", write_empty_report)
    return make(tmp_path, monkeypatch)


def write_empty_report(report, micrographs, path) -> None:
    path.write_bytes(b"%PDF")


def pick(*parameters: str, mics: str = MICS, model: str = "External/job004") -> None:
    start = ["--o", "External/job005/", "--in_mics", mics, "--model", model, "--gpu", "none"]
    run_job(parse_arguments(PICK, [*start, *parameters]))


def train(*parameters: str, job: str = TRAIN, mics: str = MICS) -> None:
    start = ["--o", "External/job005/", "--in_mics", mics, "--diameter", "180", "--gpu", "none"]
    small = ["--particles_per_micrograph", "6", "--network", "conv3", "--epochs", "1"]
    small += ["--steps", "1", "--check_picks", "off"]
    run_job(parse_arguments(job, [*start, *small, *parameters]))


def age(path) -> int:
    return path.stat().st_mtime_ns


def hand_picks(project, suffix="_manualpick") -> str:
    """Write hand picks as RELION 3.1 does; the second micrograph's file has 0 bytes."""
    folder = project / "ManualPick/job004"
    write_coordinates(folder / f"Movies/a{suffix}.star", disc_centres(0, SHAPE))
    (folder / f"Movies/b{suffix}.star").touch()
    (folder / f"coords_suffix{suffix}.star").write_text(MICS)
    return f"ManualPick/job004/coords_suffix{suffix}.star"


@pytest.mark.parametrize(
    ("version", "listed", "selection"),
    [
        ("3.1", "coords_suffix_autopick.star", False),
        ("4.0", "autopick.star", True),
        ("5.0", "autopick.star", True),
    ],
)
def test_picks_are_where_each_version_looks_for_them(
    tmp_path, monkeypatch, version, listed, selection
):
    folder = make(tmp_path, monkeypatch, version)
    pick()
    for name in "ab":
        columns, rows = read_table(folder / f"Movies/{name}_autopick.star")
        assert ("rlnParticleSelectionType" in columns) == selection
        xy = np.array(rows, float)[:, :2]
        assert len(xy)
        assert (xy >= 0).all()
        assert (xy <= np.array(SHAPE[::-1]) - 1).all()
    nodes = [row[0] for row in read_table(folder / "RELION_OUTPUT_NODES.star")[1]]
    assert nodes == [f"External/job005/{listed}", "External/job005/logfile.pdf"]
    assert all((tmp_path / node).is_file() for node in nodes)
    assert (folder / "logfile.pdf").read_bytes().startswith(b"%PDF")


def test_the_version_can_be_forced(job):
    pick("--relion_version", "5")
    assert sorted(path.name for path in job.glob("*autopick.star")) == ["autopick.star"]


def test_relion_and_the_command_line_give_the_same_picks(job):
    pick("--threshold", "-6")
    own = read_picks(job / "pupick/picks.star")
    for name, micrograph in zip("ab", NAMES):
        written = read_picks(job / f"Movies/{name}_autopick.star")[f"{name}"]
        np.testing.assert_allclose(written.x, own[micrograph].x, atol=1e-5)
        np.testing.assert_allclose(written.score, own[micrograph].score, atol=1e-5)


def test_micrographs_without_picks_have_files_without_rows(job):
    pick("--threshold", "50")
    columns, rows = read_table(job / "Movies/a_autopick.star")
    assert len(columns) == 5
    assert rows == []


def test_continue_picks_only_what_is_new_and_lists_all(tmp_path, monkeypatch):
    folder = make(tmp_path, monkeypatch, "5.0")
    pick()
    scores = folder / "pupick/scores" / NAMES[0].replace(".mrc", ".peaks.safetensors")
    before = age(scores)
    added = "MotionCorr/job002/Movies/c.mrc"
    write_micrograph(tmp_path / added, 3)
    write_micrographs_star(tmp_path / MICS, [*NAMES, added])
    pick()
    assert age(scores) == before
    rows = read_table(folder / "autopick.star")[1]
    assert [row[0] for row in rows] == [*NAMES, added]
    assert all((tmp_path / row[1]).is_file() for row in rows)


def test_another_threshold_uses_the_kept_scores(job):
    pick("--threshold", "-8")
    scores = job / "pupick/scores" / NAMES[0].replace(".mrc", ".peaks.safetensors")
    before, all_rows = age(scores), read_table(job / "Movies/a_autopick.star")[1]
    score = sorted(float(row[2]) for row in all_rows)[len(all_rows) // 2]
    pick("--threshold", f"{score:.6f}")
    kept = read_table(job / "Movies/a_autopick.star")[1]
    assert age(scores) == before
    assert 0 < len(kept) < len(all_rows)
    assert kept == [row for row in all_rows if float(row[2]) >= score - 1e-6][: len(kept)]


def test_continue_leaves_picks_that_were_changed_by_hand(job, tmp_path):
    pick()
    file = job / "Movies/a_autopick.star"
    changed = file.read_text().replace("\n\n", "\n", 1) + "\n"
    file.write_text(changed)
    pick()
    assert file.read_text() == changed
    pick("--threshold", "-7")
    assert file.read_text() != changed


def test_picks_follow_a_micrograph_that_was_written_anew(job, tmp_path):
    pick()
    file = job / "Movies/a_autopick.star"
    before = file.read_text()
    write_micrograph(tmp_path / NAMES[0], 9)
    pick()
    assert file.read_text() != before


def test_a_threshold_that_was_written_only_in_part_is_written_again(job, monkeypatch):
    pick("--threshold", "-7")
    file = job / "Movies/a_autopick.star"
    before = file.read_text()
    (job / "Movies/b_autopick.star").unlink()
    (job / "Movies/b_autopick.star").mkdir()
    with pytest.raises(OSError, match="b_autopick"):
        pick("--threshold", "50")
    (job / "Movies/b_autopick.star").rmdir()
    assert file.read_text() != before
    pick("--threshold", "-7")
    assert file.read_text() == before


def test_other_parameters_of_picking_pick_again(job):
    pick()
    scores = job / "pupick/scores" / NAMES[0].replace(".mrc", ".peaks.safetensors")
    before = age(scores)
    pick("--separation", "300")
    assert age(scores) != before
    xy = np.array(read_table(job / "Movies/a_autopick.star")[1], float)[:, :2]
    distances = np.linalg.norm(xy[:, None] - xy[None], axis=-1)[~np.eye(len(xy), dtype=bool)]
    assert distances.min() >= 300 / 7.08 - 4


def test_a_damaged_micrograph_is_left_out_and_tried_again(tmp_path, monkeypatch, caplog):
    folder = make(tmp_path, monkeypatch, "5.0")
    good = (tmp_path / NAMES[1]).read_bytes()
    (tmp_path / NAMES[1]).write_bytes(good[:2000])
    pick()
    assert "1 of 2 micrographs failed" in caplog.text
    assert [row[0] for row in read_table(folder / "autopick.star")[1]] == NAMES[:1]
    assert not (folder / "Movies/b_autopick.star").exists()
    (tmp_path / NAMES[1]).write_bytes(good)
    pick()
    assert [row[0] for row in read_table(folder / "autopick.star")[1]] == NAMES


def test_a_job_without_any_usable_micrograph_fails(job, tmp_path):
    for name in NAMES:
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(PupickError, match="no micrograph could be used"):
        pick()


def test_an_absolute_folder_and_absolute_micrographs(job, tmp_path):
    names = [str(tmp_path / name) for name in NAMES]
    write_micrographs_star(tmp_path / MICS, names)
    arguments = ["--o", str(job), "--in_mics", str(tmp_path / MICS), "--gpu", "none"]
    run_job(parse_arguments(PICK, [*arguments, "--model", str(tmp_path / "External/job004")]))
    nodes = [row[0] for row in read_table(job / "RELION_OUTPUT_NODES.star")[1]]
    assert nodes[0] == "External/job005/coords_suffix_autopick.star"
    assert read_table(job / "Movies/a_autopick.star")[1]


def test_aliases_lead_to_micrographs_and_models(job, tmp_path):
    for kind, alias in (("CtfFind/job003", "CtfFind/good"), ("External/job004", "External/mine")):
        (tmp_path / alias).symlink_to(tmp_path / kind)
    pick(mics="CtfFind/good/micrographs_ctf.star", model="External/mine/")
    assert (
        job / "coords_suffix_autopick.star"
    ).read_text() == "CtfFind/good/micrographs_ctf.star\n"
    assert read_table(job / "Movies/a_autopick.star")[1]


def test_micrographs_whose_names_have_blanks(tmp_path, monkeypatch):
    names = ["Micro graphs/a b.mrc"]
    folder = make(tmp_path, monkeypatch, "5.0", names)
    write_micrographs_star(tmp_path / MICS, [f'"{names[0]}"'])
    pick()
    assert (folder / "Micro graphs/a b_autopick.star").is_file()
    assert list(read_picks(folder / "autopick.star")) == names


def test_without_a_table_of_optics_the_header_has_the_pixel_size(job, tmp_path):
    write_micrographs_star(tmp_path / MICS, NAMES, optics="")
    pick()
    assert read_table(job / "Movies/a_autopick.star")[1]


def test_a_missing_pixel_size_stops_the_job_before_any_picking(job, tmp_path):
    write_micrographs_star(tmp_path / MICS, NAMES, optics="")
    with mrcfile.open(NAMES[1], "r+") as file:
        file.voxel_size = 0
    with pytest.raises(UsageError, match=r"Movies/b\.mrc.*parameter pixel_size"):
        pick()
    assert not (job / "pupick").exists()
    pick("--pixel_size", "7.08")
    assert read_table(job / "Movies/b_autopick.star")[1]


@pytest.mark.parametrize("mics", ["CtfFind/job003/none.star", "Movies.mrc", "movies.star"])
def test_what_is_no_file_of_micrographs_is_named(job, tmp_path, mics):
    (tmp_path / "movies.star").write_text(
        "data_movies\n\nloop_\n_rlnMicrographMovieName #1\nMovies/a.tiff\n"
    )
    with pytest.raises(UsageError, match=mics):
        pick(mics=mics)


def test_a_diameter_that_fits_no_micrograph_is_refused_at_once(job, caplog):
    with pytest.raises(UsageError, match=r"a\.mrc: a particle of 9000 Å"):
        pick("--diameter", "9000")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert not (job / "pupick").exists()


def test_a_diameter_that_fits_no_micrograph_is_refused_before_training(job, tmp_path, caplog):
    with pytest.raises(UsageError, match=r"a\.mrc: a particle of 9000 Å"):
        train("--in_coords", hand_picks(tmp_path), "--diameter", "9000")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_gpu_that_is_not_there_is_named(job):
    with pytest.raises(UsageError, match="cuda:97"):
        pick("--gpu", "97")


def test_the_form_for_showing_picks_is_written_only_once(job, tmp_path):
    pick()
    form = tmp_path / ".gui_manualpickjob.star"
    values = dict(read_table(form)[1])
    assert values["diameter"] == '"180"'
    assert values["angpix"] == '"7.08"'
    scores = np.array([row[2] for row in read_table(job / "Movies/a_autopick.star")[1]], float)
    low, high = (float(values[name].strip('"')) for name in ("blue_value", "red_value"))
    assert low == -8
    assert scores.min() < high <= max(scores.max(), -7)
    form.write_text("the user's")
    pick()
    assert form.read_text() == "the user's"


def test_outside_a_project_no_form_is_written(job, tmp_path):
    (tmp_path / "default_pipeline.star").unlink()
    pick()
    assert not (tmp_path / ".gui_manualpickjob.star").exists()


def test_a_training_writes_a_model_that_a_picking_job_takes_by_its_folder(job, tmp_path):
    train("--in_coords", hand_picks(tmp_path))
    assert show_model(job / "model.safetensors")["training"]["labels"] == 6
    assert (job / "logfile.pdf").is_file()
    assert "A model trained on 6 labels" in (job / "report.html").read_text(encoding="utf-8")
    (tmp_path / "External/job006").mkdir()
    arguments = ["--o", "External/job006/", "--in_mics", MICS, "--gpu", "none"]
    run_job(parse_arguments(PICK, [*arguments, "--model", "External/job005/"]))
    assert (tmp_path / "External/job006/autopick.star").is_file()
    report = tmp_path / "External/job006/pupick/report.html"
    assert "in 2 micrographs" in report.read_text(encoding="utf-8")


def test_a_model_trained_in_px_picks_as_one_in_angstrom_if_their_size_is_known(job, tmp_path):
    model = load_model(tmp_path / "External/job004/model.safetensors")
    for unit, diameter in ((ANGSTROM, 24 * 7.08), (pixels(7.08), 24.0)):
        trained = replace(model, scale=ModelScale(diameter, 24.0, unit))
        save_model(trained, tmp_path / f"{unit.name}.sav")
    pick(model="Å.sav")
    expected = (job / "Movies/a_autopick.star").read_text()
    pick(model="px.sav")
    assert len(read_table(job / "Movies/a_autopick.star")[1]) > 0
    assert (job / "Movies/a_autopick.star").read_text() == expected
    assert 'diameter "169.92"' in (tmp_path / ".gui_manualpickjob.star").read_text()
    save_model(replace(model, scale=ModelScale(24.0, 24.0, pixels(None))), tmp_path / "unknown.sav")
    with pytest.raises(UsageError, match="cannot be turned into Å") as caught:
        pick(model="unknown.sav")
    assert caught.value.settings == ("diameter",)
    pick("--diameter", "170", model="unknown.sav")


@pytest.mark.parametrize("version", ["4.0", "5.0"])
def test_a_model_is_a_node_of_relion_4_and_5(tmp_path, monkeypatch, version):
    folder = make(tmp_path, monkeypatch, version)
    train("--in_coords", hand_picks(tmp_path))
    nodes = [row[0] for row in read_table(folder / "RELION_OUTPUT_NODES.star")[1]]
    assert nodes == ["External/job005/model.safetensors", "External/job005/logfile.pdf"]


def list_of_4_and_5(project) -> str:
    hand_picks(project)
    path = project / "ManualPick/job004/manualpick.star"
    rows = "".join(
        f"{name} ManualPick/job004/Movies/{name[-5]}_manualpick.star\n" for name in NAMES
    )
    columns = "_rlnMicrographName #1\n_rlnMicrographCoordinates #2\n"
    path.write_text(f"\n# version 50001\n\ndata_coordinate_files\n\nloop_\n{columns}{rows}\n")
    return "ManualPick/job004/manualpick.star"


def boxes(project) -> str:
    folder = project / "Import/job004/Movies"
    folder.mkdir(parents=True)
    rows = [f"{x - 16:.0f}\t{y - 16:.0f}\t32\t32\n" for x, y in disc_centres(0, SHAPE)]
    (folder / "a_boxes.box").write_text("".join(rows))
    (folder / "b_boxes.box").touch()
    (folder.parent / "coords_suffix_boxes.box").write_text(MICS)
    return "Import/job004/coords_suffix_boxes.box"


@pytest.mark.parametrize("source", [hand_picks, list_of_4_and_5, boxes])
def test_hand_picks_of_every_version(job, tmp_path, source):
    train("--in_coords", source(tmp_path))
    training = show_model(job / "model.safetensors")["training"]
    assert (training["labels"], training["micrographs"]) == (6, 2)


def write_particles(path, origins, classes=(1, 2)) -> None:
    """Write refined particles: the true centres, moved by origins (Å) that move them back.

    They are of two classes in turn; only those of `classes` are written.
    """
    optics = "_rlnOpticsGroup #1\n_rlnImagePixelSize #2\n_rlnMicrographOriginalPixelSize #3\n"
    columns = ["CoordinateX", "CoordinateY", "MicrographName", "OriginXAngst", "OriginYAngst"]
    head = "".join(
        f"_rln{c} #{i}\n" for i, c in enumerate([*columns, "OpticsGroup", "ClassNumber"], 1)
    )
    rows = "".join(
        f"{x + dx / 7.08:.5f} {y + dy / 7.08:.5f} {NAMES[0]} {dx} {dy} 1 {1 + i % 2}\n"
        for i, ((x, y), (dx, dy)) in enumerate(zip(disc_centres(0, SHAPE), origins))
        if 1 + i % 2 in classes
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"\ndata_optics\n\nloop_\n{optics}1 14.16 1.77\n\n\ndata_particles\n\nloop_\n{head}{rows}\n"
    )


def test_refined_particles_are_moved_by_the_micrographs_pixel_size(job, tmp_path):
    origins = np.random.default_rng(5).uniform(-30, 30, size=(6, 2))
    write_particles(tmp_path / "Refine3D/job020/run_data.star", origins)
    arguments = ["--o", "External/job005/", "--in_mics", MICS, "--diameter", "180"]
    particles = ["--in_parts", "Refine3D/job020/run_data.star"]
    labels = read_labels(parse_arguments(TRAIN, [*arguments, *particles]), find_micrographs([MICS]))
    found = np.column_stack([labels[NAMES[0]].x, labels[NAMES[0]].y])
    np.testing.assert_allclose(found, disc_centres(0, SHAPE), atol=1e-4)


def write_second_pixel_size(project, pixel_size):
    two = OPTICS.rstrip("\n") + f"\nopticsGroup2 2 1.77 300 2.0 0.1 {pixel_size}\n"
    star = write_micrographs_star(project / MICS, NAMES, two)
    star.write_text(star.read_text().replace(f"{NAMES[1]} 1", f"{NAMES[1]} 2"))


def test_particles_over_micrographs_of_one_pixel_size_in_two_roundings_are_taken(job, tmp_path):
    write_second_pixel_size(tmp_path, 7.1)
    assert common_pixel_size(find_micrographs([MICS])) == 7.08


def test_particles_over_micrographs_of_two_pixel_sizes_are_refused(job, tmp_path):
    write_particles(tmp_path / "Refine3D/job020/run_data.star", np.zeros((6, 2)))
    write_second_pixel_size(tmp_path, 3.54)
    with pytest.raises(UsageError, match=r"from 3\.54 to 7\.08"):
        train("--in_parts", "Refine3D/job020/run_data.star")


def test_coordinates_without_any_particle_are_refused(job, tmp_path):
    (tmp_path / "ManualPick/job004").mkdir(parents=True)
    (tmp_path / "ManualPick/job004/manualpick.star").touch()
    with pytest.raises(UsageError, match=r"manualpick\.star: there is no particle"):
        train("--in_coords", "ManualPick/job004/manualpick.star")


def test_coordinates_of_other_micrographs_are_refused(job, tmp_path):
    coordinates = hand_picks(tmp_path)
    (tmp_path / "ManualPick/job004/Movies/b_manualpick.star").unlink()
    (tmp_path / "ManualPick/job004/Movies/a_manualpick.star").rename(
        tmp_path / "ManualPick/job004/Movies/z_manualpick.star"
    )
    with pytest.raises(UsageError, match=r"coords_suffix_manualpick\.star: .* such as Movies/z, "):
        train("--in_coords", coordinates)


def test_training_and_picking_in_one_job_and_its_continuation(tmp_path, monkeypatch):
    folder = make(tmp_path, monkeypatch, "5.0")
    coordinates = hand_picks(tmp_path)
    train("--in_coords", coordinates, "--threshold", "-8", job=BOTH)
    model = age(folder / "model.safetensors")
    added = "MotionCorr/job002/Movies/c.mrc"
    write_micrograph(tmp_path / added, 3)
    write_micrographs_star(tmp_path / MICS, [*NAMES, added])
    train("--in_coords", coordinates, "--threshold", "-7", job=BOTH)
    assert age(folder / "model.safetensors") == model
    assert len(read_table(folder / "autopick.star")[1]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("change", ["labels", "parameters"])
def test_other_labels_or_parameters_train_again(job, tmp_path, change):
    coordinates = hand_picks(tmp_path)
    train("--in_coords", coordinates)
    before = (job / "model.safetensors").read_bytes()
    if change == "labels":
        write_coordinates(
            tmp_path / "ManualPick/job004/Movies/b_manualpick.star", disc_centres(1, SHAPE)
        )
    train("--in_coords", coordinates, *(["--seed", "1"] if change == "parameters" else []))
    assert (job / "model.safetensors").read_bytes() != before


def test_a_training_of_a_version_that_had_fewer_parameters_is_known_again(job, tmp_path):
    coordinates = hand_picks(tmp_path)
    train("--in_coords", coordinates)
    model = age(job / "model.safetensors")
    record = json.loads((job / "training_job.json").read_text())
    del record["parameters"]["slack"]
    (job / "training_job.json").write_text(json.dumps(record))
    train("--in_coords", coordinates)
    assert age(job / "model.safetensors") == model


def test_a_training_that_fails_does_not_pass_off_the_model_before_it(job, tmp_path):
    coordinates = hand_picks(tmp_path)
    train("--in_coords", coordinates)
    with pytest.raises(PupickError, match="[Ll]earning rate"):
        train("--in_coords", coordinates, "--learning_rate", "1e38", "--steps", "4")
    assert not (job / "model.safetensors").exists()


@pytest.mark.slow
def test_a_training_that_is_refused_leaves_the_model_and_may_be_mended(job, tmp_path):
    train("--in_coords", hand_picks(tmp_path))
    before = (job / "model.safetensors").read_bytes()
    more = tmp_path / "more.star"
    write_picks({NAMES[1]: Coordinates.unscored(*disc_centres(1, SHAPE).T)}, more)
    for wrong, refused in ((["--network", "unheard-of"], JobError), (["--gpu", "77"], UsageError)):
        with pytest.raises(refused):
            train("--in_coords", "more.star", *wrong)
        assert (job / "model.safetensors").read_bytes() == before
    train("--in_coords", "more.star")
    assert (job / "model.safetensors").read_bytes() != before


def test_a_stopped_training_continues(job, tmp_path, caplog, monkeypatch):
    coordinates = hand_picks(tmp_path)

    def save_and_stop(*arguments):
        save_progress(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("scipion_pupick.engine.training.checkpoint.save_progress", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train("--in_coords", coordinates, "--epochs", "2")
    caplog.set_level("INFO")
    train("--in_coords", coordinates, "--epochs", "2")
    assert (job / "model.safetensors").is_file()
    assert "epoch 2:" in caplog.text
    assert "epoch 1:" not in caplog.text


@pytest.mark.slow
def test_a_stopped_training_on_micrographs_that_changed_starts_anew(job, tmp_path):
    coordinates = hand_picks(tmp_path)
    train("--in_coords", coordinates)
    (job / "model.safetensors").unlink()
    write_micrograph(tmp_path / NAMES[0], 9)
    train("--in_coords", coordinates)
    assert (job / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_training_starts_from_another_jobs_model(job, tmp_path):
    def model_from(start):
        train("--in_coords", hand_picks(tmp_path), "--start", start)
        return (job / "model.safetensors").read_bytes()

    first = model_from("External/job004")
    assert model_from("none") != first
    assert model_from("External/job004") == first
    # that job was continued with other labels, say
    path = tmp_path / "External/job004/model.safetensors"
    other = load_model(path)
    with torch.no_grad():
        for weights in other.network.parameters():
            weights += 0.01
    save_model(other, path)
    assert model_from("External/job004") != first
    with pytest.raises(UsageError, match="External/job003: there is no such model"):
        train("--in_coords", hand_picks(tmp_path), "--start", "External/job003")


def test_the_general_model_picks_particles_of_a_diameter(job):
    with pytest.raises(PupickError, match="diameter"):
        pick(model="general")
    pick("--diameter", "180", model="general")
    assert read_table(job / "Movies/a_autopick.star")[1]


@pytest.mark.slow
def test_other_negatives_make_another_model(job, tmp_path):
    def model_with(*places):
        write_coordinates(tmp_path / "bad/Movies/a.star", np.array(places))
        train("--in_coords", hand_picks(tmp_path), "--negatives", "bad")
        return (job / "model.safetensors").read_bytes()

    first = model_with([5.0, 5.0])
    assert model_with([5.0, 5.0]) == first
    assert model_with([5.0, 5.0], [200.0, 40.0]) != first


def test_negatives_are_moved_by_the_micrographs_pixel_size(job, tmp_path):
    origins = np.random.default_rng(5).uniform(-30, 30, size=(6, 2))
    write_particles(tmp_path / "junk.star", origins)
    arguments = ["--o", "External/job005/", "--in_mics", MICS, "--diameter", "180"]
    labelled = [*arguments, "--in_coords", hand_picks(tmp_path)]
    options = parse_arguments(TRAIN, [*labelled, "--negatives", "junk.star"])
    found = read_negatives(options, find_micrographs([MICS]))[NAMES[0]]
    expected = disc_centres(0, SHAPE)
    np.testing.assert_allclose(np.column_stack([found.x, found.y]), expected, atol=1e-4)


def inputs_of(*parameters: str):
    arguments = ["--o", "External/job006/", "--in_mics", MICS, *parameters]
    return read_training_inputs(parse_arguments(TRAIN, arguments), find_micrographs([MICS]))


@pytest.mark.parametrize("version", ["3.1", "5.0"])
def test_picks_corrected_by_the_manual_picker_are_labels(tmp_path, monkeypatch, version):
    monkeypatch.setattr("relion_external.jobs.write_report", write_empty_report)
    folder = make(tmp_path, monkeypatch, version)
    pick()
    with pytest.raises(UsageError, match="no pick was removed, added or confirmed"):
        inputs_of("--corrected", "External/job005")
    file = folder / "Movies/a_autopick.star"
    columns, rows = read_table(file)
    lines = file.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.split() == rows[0])
    # what RELION's window writes for a pick that is set: no score
    values = {"rlnCoordinateX": "77", "rlnCoordinateY": "88", "rlnAutopickFigureOfMerit": "-999"}
    lines[first] = " ".join(values.get(name, "0") for name in columns)
    file.write_text("\n".join(lines) + "\n")
    found = inputs_of("--corrected", "External/job005")
    removed, added = found.negatives[NAMES[0]], found.picks[NAMES[0]]
    np.testing.assert_allclose(removed.xy, [np.array(rows[0][:2], float)], atol=1e-3)
    assert added.xy.tolist() == [[77, 88]]
    assert found.start == tmp_path / "External/job004/model.safetensors"
    assert found.settings["diameter"] == 180
    # what was done in the browser, and undone, hides nothing
    nothing = Correction()
    write_corrections(folder / ENGINE_FOLDER / "corrections.json", {NAMES[0]: nothing})
    done = inputs_of("--corrected", "External/job005", "--done", "changed")
    assert len(done.picks[NAMES[0]]) == len(rows)
    with pytest.raises(UsageError, match="is no job of pupick with picks"):
        inputs_of("--corrected", "External/job004")


def test_rejected_classes_of_a_select_job_are_negatives(job, tmp_path):
    origins = np.random.default_rng(5).uniform(-30, 30, size=(6, 2))
    write_particles(tmp_path / "Class2D/job008/run_it025_data.star", origins)
    write_particles(tmp_path / "Select/job009/particles.star", origins, [1])
    arguments = ["--in_parts", "Select/job009/particles.star", "--diameter", "180"]
    named = inputs_of(*arguments, "--selected_from", "Class2D/job008")
    assert len(named.picks[NAMES[0]]) == 3
    expected = disc_centres(0, SHAPE)[1::2]
    np.testing.assert_allclose(named.negatives[NAMES[0]].xy, expected, atol=1e-4)
    with pytest.raises(UsageError, match="no job.star"):
        inputs_of(*arguments, "--selected_from", "auto")
    (tmp_path / "Select/job009/job.star").write_text(
        "data_joboptions_values\nloop_\n_rlnJobOptionVariable #1\n_rlnJobOptionValue #2\n"
        "fn_model Class2D/job008/run_it025_optimiser.star\n"
    )
    auto = inputs_of(*arguments, "--selected_from", "auto")
    np.testing.assert_allclose(auto.negatives[NAMES[0]].xy, expected, atol=1e-4)
    with pytest.raises(UsageError, match="give the particles.star of the Select job"):
        inputs_of("--in_coords", hand_picks(tmp_path), "--diameter", "1", "--selected_from", "auto")


def test_continue_that_fails_leaves_picks_that_were_changed_by_hand(job, tmp_path, monkeypatch):
    pick()
    file = job / "Movies/a_autopick.star"
    changed = file.read_text().replace("\n\n", "\n", 1) + "\n"
    file.write_text(changed)
    added = "MotionCorr/job002/Movies/c.mrc"
    write_micrograph(tmp_path / added, 3)
    write_micrographs_star(tmp_path / MICS, [*NAMES, added])
    (job / "Movies/c_autopick.star").mkdir()
    with pytest.raises(OSError, match="c_autopick"):
        pick()
    (job / "Movies/c_autopick.star").rmdir()
    pick()
    assert file.read_text() == changed
    assert (job / "Movies/c_autopick.star").is_file()


def changed_by_hand(job):
    """Remove the first pick of a micrograph, as RELION's manual picker does."""
    file = job / "Movies/a_autopick.star"
    lines = file.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.split() and line.split()[0][0].isdigit())
    file.write_text("\n".join([*lines[:first], *lines[first + 1 :]]) + "\n")
    return file, file.read_text()


@pytest.mark.parametrize("elsewhere", ["4.0", "5.0"])
def test_changed_picks_stay_with_new_times_and_in_a_later_relion(
    tmp_path, monkeypatch, caplog, elsewhere
):
    monkeypatch.setattr("relion_external.jobs.write_report", write_empty_report)
    job = make(tmp_path, monkeypatch, "4.0")
    pick("--relion_version", "4.0")
    file, text = changed_by_hand(job)
    other = (job / "Movies/b_autopick.star").read_text()
    for name in NAMES:
        (tmp_path / name).touch()
    pick("--relion_version", elsewhere)
    assert file.read_text() == text
    assert (job / "Movies/b_autopick.star").read_text() == other
    assert "1 files of coordinates" in caplog.text
    assert "they stay, though" in caplog.text


def test_picks_that_were_changed_are_kept_beside_those_of_other_parameters(job, caplog):
    pick()
    file, text = changed_by_hand(job)
    pick("--threshold", "-3")
    assert file.read_text() != text
    aside = file.with_name("a_autopick.star.edited")
    assert aside.read_text() == text
    assert "they are replaced, and kept" in caplog.text
    file, second = changed_by_hand(job)
    pick("--threshold", "-2")
    assert aside.read_text() == text
    assert file.with_name("a_autopick.star.edited-2").read_text() == second
    assert len(list(file.parent.glob("b_autopick.star*"))) == 1


def test_corrections_in_the_browser_hide_those_of_the_manual_picker_with_a_warning(job, caplog):
    pick()
    changed_by_hand(job)
    removed = Correction(read_picks(job / "Movies/b_autopick.star")["b"].select([0]))
    write_corrections(job / ENGINE_FOLDER / "corrections.json", {NAMES[1]: removed})
    found = inputs_of("--corrected", "External/job005")
    assert sum(map(len, found.negatives.values())) == 1
    assert "1 files of coordinates, such as External/job005/Movies/a_autopick.star" in caplog.text


def test_a_micrograph_that_is_gone_fails_no_picking(job, tmp_path):
    pick()
    (tmp_path / ".gui_manualpickjob.star").unlink(missing_ok=True)
    (tmp_path / NAMES[0]).unlink()
    pick()
    assert (tmp_path / ".gui_manualpickjob.star").is_file()
    assert read_table(job / "Movies/a_autopick.star")[1]


def test_the_number_of_particles_is_that_of_the_training(job, tmp_path, caplog):
    train("--in_coords", hand_picks(tmp_path), job=BOTH)
    assert "ignored" not in caplog.text
