# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick-topaz train` and `extract`, called with the very arguments of RELION's Auto-picking."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.dirty import dirty_model, in_dirt, in_the_clear, simulate_dirty
from helpers.processors import without_bfloat16
from helpers.topaz_files import (
    DIAMETER,
    DOWNSAMPLING,
    PARTICLES,
    PIXEL_SIZE,
    SIDE,
    write_job_star,
    write_micrograph,
    write_mrc,
    write_tables,
)
from scipy.spatial import cKDTree

from relion_external.topaz_command import extract, train
from relion_external.topaz_command.arguments import make_parser
from relion_external.topaz_command.cli import main
from relion_external.topaz_command.device import device_of_number
from relion_external.topaz_command.pixel_sizes import picked_pixel_size, trained_pixel_size
from relion_external.topaz_command.relion_job import find_job
from relion_external.topaz_command.tables import WRITERS, table_text
from relion_external.topaz_command.train import model_paths, read_settings
from scipion_pupick.engine import Coordinates, load_model, read_picks, show_model
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.micrographs import Micrograph
from scipion_pupick.engine.networks import scoring
from scipion_pupick.engine.networks.model import save_model
from scipion_pupick.engine.preprocessing.scale import ANGSTROM, ModelScale
from scipion_pupick.engine.training import data as training_data

pytestmark = pytest.mark.slow

QUICK_STEPS = 20


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A finished training job: proc/m*.mrc (4 to train on, 2 to test), model_epoch10.sav..."""
    folder = tmp_path_factory.mktemp("job")
    paths = [folder / "proc" / f"m{seed}.mrc" for seed in range(6)]
    # RELION leaves the pixel size of the micrographs in the headers of what it has downsampled
    particles = {
        path: write_micrograph(path, seed, PIXEL_SIZE / DOWNSAMPLING)
        for seed, path in enumerate(paths)
    }
    proc = folder / "proc"
    write_job_star(folder, DIAMETER * PIXEL_SIZE)
    write_tables(proc, "train", {path: particles[path] for path in paths[:4]})
    write_tables(proc, "test", {path: particles[path] for path in paths[4:]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "all_steps", lambda *_: QUICK_STEPS)
        arguments = (
            f"train -n {PARTICLES} -r 3 -d -1 -o {folder}/model_training.txt --num-threads=1 "
            f"--num-workers=1 --train-images={proc}/image_list_train.txt "
            f"--test-images={proc}/image_list_test.txt "
            f"--train-targets={proc}/coordinates_train.txt "
            f"--test-targets={proc}/coordinates_test.txt --save-prefix={folder}/model -m conv31"
        )
        assert main(arguments.split()) == 0
    return folder, particles


@pytest.fixture(scope="module")
def model(job):
    return job[0] / "model_epoch10.sav"


def pick(model, *arguments):
    return main(["extract", "-t", "-6", "-r", "12", "-d", "-1", "-m", str(model), *arguments])


def read_rows(path):
    """The names, and x, y, score (n, 3), of a table in Topaz's format."""
    header, *lines = Path(path).read_text().splitlines()
    assert header == "image_name\tx_coord\ty_coord\tscore"
    assert all(re.fullmatch(r"\S+\t-?\d+\t-?\d+\t-?\d+\.?\d*(e-?\d+)?", line) for line in lines)
    fields = [line.split("\t") for line in lines]
    return [row[0] for row in fields], np.array([row[1:] for row in fields], float).reshape(-1, 3)


def read_via(path):
    """The x, y, score (n, 3) of a table of the VGG Image Annotator."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["region_count"], row["region_id"]) for row in rows] == [
        (str(len(rows)), str(i)) for i in range(len(rows))
    ]
    places = [json.loads(row["region_shape_attributes"]) for row in rows]
    scores = [json.loads(row["region_attributes"])["score"] for row in rows]
    return np.array([[p["cx"], p["cy"], float(s)] for p, s in zip(places, scores)])


READERS = {"coord": lambda path: read_rows(path)[1], "csv": read_via}


def test_the_model_lies_under_the_names_that_callers_look_for(job, model):
    folder, _ = job
    assert {path.name for path in folder.glob("*.sav")} == {
        f"model_epoch{epoch}.sav" for epoch in range(1, 11)
    }
    read = load_model(model)
    assert (read.scale.diameter, read.scale.diameter_px) == (DIAMETER, 24.0)
    assert read.network_name == "conv3"


def test_the_model_says_that_its_diameter_is_in_px_and_of_what_size(job, model):
    shown = show_model(model)
    assert (shown["diameter"], shown["diameter_unit"]) == (DIAMETER, "px")
    assert shown["pixel_size"] == pytest.approx(PIXEL_SIZE, rel=1e-6)
    assert load_model(model).scale.of(None).diameter == pytest.approx(DIAMETER * PIXEL_SIZE)
    assert "Å" not in (job[0] / "model_training" / "train.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("diameter", "radius", "header", "pixel_size"),
    [
        # by 4, unless two diameters need more of the 71 px that Topaz's network sees
        (180.0, 3, 1.77, 7.08),
        (180.0, 4, 0.885, 5.31),
        # not RELION's own radius, or a diameter that was not set
        (180.0, 2, 1.77, None),
        (-1.0, 3, 1.77, None),
        # a header that says nothing
        (180.0, 3, 1.0, None),
    ],
)
def test_the_pixel_size_of_relions_images_follows_from_its_form(
    tmp_path, diameter, radius, header, pixel_size
):
    image = tmp_path / "proc" / "mic000.mrc"
    write_mrc(image, np.zeros((20, 20)), header)
    write_job_star(tmp_path, diameter)
    job = find_job(str(tmp_path / "model_training.txt"))
    found = trained_pixel_size([Micrograph(image, "mic000", 1.0)], job, radius)
    assert found == (None if pixel_size is None else pytest.approx(pixel_size, rel=1e-6))


def test_the_pixel_size_of_other_images_is_that_of_their_headers(tmp_path):
    write_mrc(tmp_path / "a.mrc", np.zeros((20, 20)), 7.08)
    image = Micrograph(tmp_path / "a.mrc", "a", 1.0)
    assert trained_pixel_size([image], None, 3) == pytest.approx(7.08)
    assert picked_pixel_size([image], 4.0) == pytest.approx(7.08)


def test_a_model_trained_in_angstrom_picks_where_the_pixel_size_is_known(
    job, model, tmp_path, caplog
):
    """As of an External job, in images whose px are 4 times as large as their header says."""
    trained = load_model(model)
    diameter = DIAMETER * PIXEL_SIZE
    scale = ModelScale(diameter, trained.scale.diameter_px, ANGSTROM)
    other = tmp_path / "model.safetensors"
    save_model(replace(trained, scale=scale), other)
    image = str([*job[1]][4])
    for path, name in ((model, "px"), (other, "angstrom")):
        assert pick(path, "-x", "4", "-o", str(tmp_path / name), image) == 0
    assert len(read_rows(tmp_path / "px")[1])
    assert (tmp_path / "angstrom").read_text() == (tmp_path / "px").read_text()
    # nobody can tell what these px are
    assert pick(other, "-o", str(tmp_path / "none"), image) == 2
    assert "trained on particles 339.84 Å wide" in caplog.text
    assert "(--diameter)" in caplog.text
    assert pick(other, "--diameter", "24", "-o", str(tmp_path / "given"), image) == 0


def test_a_model_that_does_not_say_its_unit_is_doubted_where_it_contradicts_the_radius(
    job, model, tmp_path, caplog
):
    trained = load_model(model)
    old = tmp_path / "old.safetensors"
    for diameter in (DIAMETER, DIAMETER * PIXEL_SIZE / 4):
        save_model(replace(trained, scale=ModelScale(diameter)), old)
        caplog.clear()
        assert pick(old, "-o", str(tmp_path / "picks"), str([*job[1]][4])) == 0
        assert ("does not say whether these are px or Å" in caplog.text) == (diameter > 60)


def relions_call(job, tmp_path):
    """A picking job as RELION prepares it: the image in JOB/proc, and the form."""
    (tmp_path / "proc").mkdir()
    shutil.copyfile([*job[1]][4], tmp_path / "proc/rank00000000.mrc")
    write_job_star(tmp_path, DIAMETER * PIXEL_SIZE)
    proc = tmp_path / "proc"
    return ["-x", "4", "-o", str(proc / "rank00000000.txt"), str(proc / "rank00000000.mrc")]


def test_relions_job_says_from_which_score_on_picks_are_good(job, model, tmp_path):
    advice = f"use the autopick FOM threshold, with {load_model(model).threshold:.2f} as"
    assert advice in (job[0] / "note.txt").read_text()
    call = relions_call(job, tmp_path)
    assert pick(model, *call) == pick(model, *call) == 0
    # once, though RELION calls for each micrograph
    for name in ("run.out", "note.txt"):
        assert (tmp_path / name).read_text().count(advice) == 1
    assert not (tmp_path / "run.err").exists()
    general = ["extract", "-t", "-6", "-r", "12", "-d", "-1", *call]
    assert main(general) == 0
    assert "the general model picks from a score of" in (tmp_path / "run.out").read_text()
    # a picking job in which the user has set it already
    (tmp_path / "run.out").unlink()
    assert pick(model, *call, "-t", "9") == 0
    assert not (tmp_path / "run.out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-m", "nowhere.sav"], "nowhere.sav: the model cannot be read"),
        (["-r", "0"], "give the particle diameter (Å) on the Topaz tab"),
        (["--filaments"], "'Pick filaments?'"),
        (["-f", "-fp", "-fl", "30", "-fp"], "relion_python_topaz"),
    ],
)
def test_what_fails_stands_in_the_file_that_relion_shows(job, model, tmp_path, arguments, told):
    call = relions_call(job, tmp_path)
    assert pick(model, *call, *arguments) == pick(model, *call, *arguments) == 2
    (line,) = (tmp_path / "run.err").read_text().splitlines()
    assert line.startswith("ERROR: pupick-topaz extract: ")
    assert told in line


def test_a_micrograph_that_cannot_be_used_is_said_there_too(job, model, tmp_path):
    call = relions_call(job, tmp_path)
    write_mrc(Path(call[-1]), np.ones((SIDE, SIDE)))
    assert pick(model, *call) == 1
    assert "rank00000000.mrc" in (tmp_path / "run.err").read_text()


def test_the_number_that_relion_gives_where_the_form_has_none_is_unknown(job, tmp_path):
    write_job_star(tmp_path, 180.0)
    relion = find_job(str(tmp_path / "model_training.txt"))
    assert settings_of("-n", "200", job=relion)[0].particles_per_micrograph is None
    assert settings_of("-n", "150", job=relion)[0].particles_per_micrograph == 150
    assert settings_of("-n", "200")[0].particles_per_micrograph == 200
    form = (tmp_path / "job.star").read_text()
    (tmp_path / "job.star").write_text(form.replace("-1", "200"))
    assert settings_of("-n", "200", job=relion)[0].particles_per_micrograph == 200


def test_the_curve_has_the_columns_of_topaz(job):
    folder, _ = job
    lines = (folder / "model_training.txt").read_text().splitlines()
    assert lines[0] == (
        "epoch\titer\tsplit\tloss\tge_penalty\tprecision\tadjusted_precision\ttpr\tfpr\tauprc"
    )
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"))) for line in lines[1:]]
    assert [row["split"] for row in rows] == ["train"] * 10 + ["test"]
    assert [int(row["epoch"]) for row in rows] == [*range(1, 11), 10]
    assert all(float(row["loss"]) > 0 for row in rows[:-1])
    # the particles are plain to see
    assert float(rows[-1]["auprc"]) > 0.9
    assert 0.5 < float(rows[-1]["tpr"]) <= 1
    assert 0.5 < float(rows[-1]["precision"]) <= 1


def test_the_test_images_are_not_trained_on(job):
    folder, _ = job
    summary = json.loads((folder / "model_training" / "train.json").read_text())
    assert (summary["labels"], summary["micrographs"]) == (4 * PARTICLES, 4)
    assert summary["held_out_labels"] == 0


def test_picks_are_the_particles_scaled_up(job, model, tmp_path):
    _, particles = job
    image, xy = list(particles.items())[5]
    assert pick(model, "-x", "4", "-o", str(tmp_path / "new" / "a.txt"), str(image)) == 0
    names, rows = read_rows(tmp_path / "new" / "a.txt")
    assert set(names) == {"m5"}
    assert (np.diff(rows[:, 2]) <= 0).all()
    best = rows[:PARTICLES, :2] / 4
    distance, nearest = cKDTree(xy).query(best)
    hits = distance < 0.25 * DIAMETER
    assert len(set(nearest[hits])) >= 0.9 * PARTICLES


def test_down_scale_divides_and_no_two_picks_are_near(job, model, tmp_path):
    image = str([*job[1]][4])
    pick(model, "-o", str(tmp_path / "as_is.txt"), image)
    pick(model, "-o", str(tmp_path / "scaled.txt"), "-x", "10", "-s", "4", image)
    _, plain = read_rows(tmp_path / "as_is.txt")
    _, scaled = read_rows(tmp_path / "scaled.txt")
    np.testing.assert_allclose(scaled[:, :2] / 2.5, plain[:, :2], atol=0.5 + 0.2)
    np.testing.assert_array_equal(scaled[:, 2], plain[:, 2])
    # up to the rounding of four coordinates
    assert cKDTree(plain[:, :2]).query(plain[:, :2], k=2)[0][:, 1].min() > 12 - np.sqrt(2)
    assert plain[:, :2].min() >= 12 - 0.5
    assert plain[:, :2].max() <= SIDE - 1 - 12 + 0.5


def test_the_threshold_leaves_out_what_scores_less(job, model, tmp_path):
    image = str([*job[1]][4])
    pick(model, "-o", str(tmp_path / "all.txt"), image)
    _, everything = read_rows(tmp_path / "all.txt")
    threshold = everything[9:11, 2].mean()
    pick(model, "-o", str(tmp_path / "some.txt"), "-t", str(threshold), image)
    _, some = read_rows(tmp_path / "some.txt")
    np.testing.assert_array_equal(some, everything[:10])


def test_without_picks_the_header_is_written(job, model, tmp_path, capsys):
    image = str([*job[1]][4])
    assert pick(model, "-t", "99", "-o", str(tmp_path / "none.txt"), image) == 0
    header = "image_name\tx_coord\ty_coord\tscore\n"
    assert (tmp_path / "none.txt").read_text() == header
    assert pick(model, "-t", "99", image) == 0
    assert capsys.readouterr().out == header


def test_numpy_and_pytorch_pick_alike(job, model, tmp_path, monkeypatch):
    image = str([*job[1]][4])
    pick(model, "-o", str(tmp_path / "numpy.txt"), image)
    monkeypatch.setattr(extract, "MOST_WITHOUT_PYTORCH", 0)
    pick(model, "-j", "1", "-o", str(tmp_path / "torch.txt"), image)
    _, ours = read_rows(tmp_path / "numpy.txt")
    _, theirs = read_rows(tmp_path / "torch.txt")
    # bfloat16, where PyTorch uses it, moves scores a little
    distance, same = cKDTree(theirs[:, :2]).query(ours[:PARTICLES, :2])
    assert distance.max() <= 2
    np.testing.assert_allclose(theirs[same, 2], ours[:PARTICLES, 2], atol=0.1)


@pytest.mark.parametrize("most_without_pytorch", [extract.MOST_WITHOUT_PYTORCH, 0])
def test_picks_on_contamination_are_dropped(tmp_path, monkeypatch, most_without_pytorch):
    without_bfloat16(tmp_path, monkeypatch)
    model = dirty_model(tmp_path / "model.safetensors")
    simulate_dirty(tmp_path / "m.mrc", 1)
    monkeypatch.setattr(extract, "MOST_WITHOUT_PYTORCH", most_without_pytorch)
    # the model's 96 Å are 24 px of an image of 4 Å/px
    common = ["-j", "1", "-t", "0", "-r", "12", "--diameter", "24", str(tmp_path / "m.mrc")]
    assert pick(model, "-o", str(tmp_path / "a.txt"), *common) == 0
    assert pick(model, "-o", str(tmp_path / "b.txt"), "--contamination", "1", *common) == 0
    clean, everything = (read_rows(tmp_path / name)[1][:, :2] for name in ("a.txt", "b.txt"))
    assert in_dirt(everything).sum() > 2
    assert in_dirt(clean).sum() == 0
    assert in_the_clear(clean).sum() == in_the_clear(everything).sum() > 10


def test_a_gpu_whose_memory_is_full(job, model, tmp_path, monkeypatch, caplog):
    def make_full_judge(network, device):
        def judge(images):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

        return judge

    monkeypatch.setattr(extract, "MOST_WITHOUT_PYTORCH", 0)
    monkeypatch.setattr(scoring, "make_judge", make_full_judge)
    assert pick(model, "-o", str(tmp_path / "a.txt"), str([*job[1]][4])) == 1
    assert "The GPU has too little free memory" in caplog.text


def test_one_micrograph_needs_no_pytorch(job, model, tmp_path):
    image = str([*job[1]][4])
    arguments = ["extract", "-r", "12", "-m", str(model), "-o", str(tmp_path / "a.txt"), image]
    code = (
        "import sys; from relion_external.topaz_command.cli import main; code = main(sys.argv[1:]);"
        "sys.exit(code or ('torch' in sys.modules) * 7 or ('pandas' in sys.modules) * 8)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(read_rows(tmp_path / "a.txt")[0]) >= PARTICLES


def test_images_listed_on_standard_input_or_in_a_file(job, model, tmp_path, monkeypatch):
    images = [str(path) for path in [*job[1]][3:5]]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*images, ""])))
    assert pick(model, "-o", str(tmp_path / "a.txt")) == 0
    assert list(dict.fromkeys(read_rows(tmp_path / "a.txt")[0])) == ["m3", "m4"]
    (tmp_path / "list").write_text("\n".join(images))
    assert pick(model, "-o", str(tmp_path / "b.txt"), f"@{tmp_path / 'list'}") == 0
    assert (tmp_path / "b.txt").read_text() == (tmp_path / "a.txt").read_text()


@pytest.mark.parametrize("format", ["coord", "star", "box", "csv", "json"])
def test_a_file_for_each_micrograph(job, model, tmp_path, format):
    images = [str(path) for path in [*job[1]][3:5]]
    pick(model, "-x", "2", "-o", str(tmp_path / "all.txt"), *images)
    names, rows = read_rows(tmp_path / "all.txt")
    options = ["--per-micrograph", "--suffix", "_p", "--format", format]
    assert pick(model, "-x", "2", "-o", str(tmp_path / "each"), *options, *images) == 0
    assert {path.name for path in (tmp_path / "each").iterdir()} == {
        f"m3_p.{format}",
        f"m4_p.{format}",
    }
    expected = rows[[name == "m4" for name in names]]
    path = tmp_path / "each" / f"m4_p.{format}"
    if format in READERS:
        np.testing.assert_array_equal(READERS[format](path), expected)
        return
    if format == "json":
        boxes = json.loads(path.read_text())["boxes"]
        assert boxes == [[x, y, "manual"] for x, y in expected[:, :2]]
        return
    (found,) = read_picks(path).values()
    np.testing.assert_allclose(np.column_stack([found.x, found.y]), expected[:, :2], atol=0.51)
    if format == "box":
        assert path.read_text().splitlines()[0].split()[2:] == ["48", "48"]


def test_the_files_are_those_of_topaz():
    """The first two picks of a run of Topaz 0.3.20 with `--per-micrograph`, as it wrote them."""
    found = Coordinates([93, 43], [16, 85], [7.66826, 7.140424])
    texts = {name: write("a.mrc", found, 24) for name, write in WRITERS.items()}
    table = "image_name\tx_coord\ty_coord\tscore\na\t93\t16\t7.66826\na\t43\t85\t7.140424\n"
    assert texts["coord"] == table
    assert texts["csv"] == (
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
        "region_attributes\n"
        'a.png,-1,{},2,0,"{""name"":""point"",""cx"":93,""cy"":16}","{""score"":""7.66826""}"\n'
        'a.png,-1,{},2,1,"{""name"":""point"",""cx"":43,""cy"":85}","{""score"":""7.140424""}"\n'
    )
    boxes = '[\n93,\n16,\n"manual"\n],\n[\n43,\n85,\n"manual"\n]'
    assert texts["json"] == f'{{\n"boxes": [\n{boxes}\n]\n}}'
    columns = ("AutopickFigureOfMerit", "MicrographName", "CoordinateX", "CoordinateY")
    head = ["data_images", "loop_", *(f"_rln{name} #{i}" for i, name in enumerate(columns, 1))]
    rows = ["7.66826\ta.mrc\t93\t16", "7.140424\ta.mrc\t43\t85"]
    assert [line for line in texts["star"].splitlines() if line] == [*head, *rows]
    # Topaz writes boxes of the width 0 there
    assert texts["box"] == "81\t4\t24\t24\n31\t73\t24\t24\n"


def test_files_beside_the_micrographs(model, tmp_path):
    write_micrograph(tmp_path / "mics" / "a.mrc", 9)
    assert pick(model, "--per-micrograph", str(tmp_path / "mics" / "a.mrc")) == 0
    assert len(read_rows(tmp_path / "mics" / "a.coord")[0]) >= PARTICLES


def test_one_bad_micrograph_does_not_stop_the_others(job, model, tmp_path, caplog):
    write_mrc(tmp_path / "blank.mrc", np.ones((SIDE, SIDE)))
    good = str([*job[1]][4])
    assert pick(model, "-o", str(tmp_path / "a.txt"), str(tmp_path / "blank.mrc"), good) == 1
    assert set(read_rows(tmp_path / "a.txt")[0]) == {"m4"}
    assert "blank.mrc" in caplog.text
    assert "failed micrographs: 1" in caplog.text
    # so that a caller who reads the table of one micrograph can go on
    assert pick(model, "-o", str(tmp_path / "b.txt"), str(tmp_path / "blank.mrc")) == 1
    assert read_rows(tmp_path / "b.txt")[0] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-r", "0"], "diameter"),
        (["--diameter", "0"], "--diameter 0"),
        (["-m", "nowhere.sav"], "nowhere.sav"),
        (["-x", "0"], "--up-scale"),
        (["nowhere.mrc"], "nowhere.mrc"),
    ],
)
def test_wrong_calls_of_extract(job, model, caplog, arguments, told):
    assert pick(model, str([*job[1]][4]), *arguments) == 2
    assert told in caplog.text


def test_two_micrographs_of_one_name_are_refused(job, model, tmp_path, caplog):
    for folder in ("a", "b"):
        write_micrograph(tmp_path / folder / "m.mrc", 9)
    assert pick(model, str(tmp_path / "a" / "m.mrc"), str(tmp_path / "b" / "m.mrc")) == 2
    assert "m.mrc" in caplog.text


@pytest.mark.parametrize("name", ["resnet8", "resnet16_u64"])
def test_names_of_general_models_of_topaz_mean_the_general_model(
    job, model, tmp_path, monkeypatch, name
):
    """A file of that name stands for the general model here; its own diameter must not count."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(model, "general")
    image = str([*job[1]][4].resolve())
    assert main(["extract", "-r", "9", "-m", name, "-o", "half.txt", image]) == 0
    arguments = ["extract", "-r", "9", "-m", str(model), "--diameter", "18"]
    assert main([*arguments, "-o", "given.txt", image]) == 0
    assert Path("half.txt").read_text() == Path("given.txt").read_text()
    assert main([*arguments[:-2], "-o", "own.txt", image]) == 0
    assert Path("half.txt").read_text() != Path("own.txt").read_text()


def test_the_general_model_needs_a_radius_or_a_diameter(job, model, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(model, "general")
    image = str([*job[1]][4].resolve())
    assert main(["extract", image]) == 2
    assert "give -r or --diameter" in caplog.text
    assert main(["extract", "--diameter", "24", "-o", "a.txt", image]) == 0


def test_the_general_model_finds_particles(job, tmp_path):
    image, xy = [*job[1].items()][4]
    # what RELION calls where no model was given
    arguments = ["extract", "-t", "-6", "-r", "12", "-d", "-1", "-x", "4"]
    assert main([*arguments, "-o", str(tmp_path / "a.txt"), str(image)]) == 0
    _, rows = read_rows(tmp_path / "a.txt")
    distance, nearest = cKDTree(xy).query(rows[:PARTICLES, :2] / 4)
    assert len(set(nearest[distance < 0.4 * DIAMETER])) >= 0.7 * PARTICLES


def test_training_starts_from_the_general_model_unless_that_is_unwanted():
    assert settings_of()[1] == Path("general")
    assert settings_of("--no-pretrained")[1] is None


def test_a_model_of_topaz_itself_is_refused(job, tmp_path, caplog):
    torch.save(torch.nn.Linear(1, 1), tmp_path / "topaz_epoch10.sav")
    assert pick(tmp_path / "topaz_epoch10.sav", str([*job[1]][4])) == 2
    assert "pickled" in caplog.text


@pytest.mark.parametrize(
    ("epochs", "names"),
    [
        (1, ["p_epoch1.sav"]),
        (3, ["p_epoch1.sav", "p_epoch2.sav", "p_epoch3.sav"]),
        (10, [f"p_epoch{n}.sav" for n in range(1, 11)]),
        (11, [f"p_epoch{n:02d}.sav" for n in range(1, 12)]),
    ],
)
def test_names_of_models(epochs, names):
    # as Topaz 0.3.20 names them, which pads to the digits of one less than the number
    assert [path.name for path in model_paths("p", epochs)] == names


def settings_of(*arguments, image=None, labels=1000, job=None):
    required = ["--train-images=a", "--train-targets=b", "--save-prefix=c"]
    options = make_parser().parse_args(["train", *required, *arguments])
    images = [Micrograph(image or Path("a.mrc"), "a", 1.0)]
    return read_settings(options, images, labels, has_test=False, job=job)


@pytest.mark.parametrize(
    ("arguments", "diameter"),
    [([], 24.0), (["-r", "4"], 32.0), (["-r", "1", "--diameter", "9.5"], 9.5)],
)
def test_the_diameter_follows_the_radius(arguments, diameter):
    assert settings_of(*arguments)[0].diameter == diameter


def test_training_options():
    settings, start = settings_of(
        *("-n", "150", "--method", "GE-KL", "--slack", "3", "--num-epochs", "7"),
        *("-m", "resnet16", "--learning-rate", "0.0002"),
    )
    training = settings.training
    assert (settings.particles_per_micrograph, start) == (150.0, None)
    assert (training.objective, training.slack, training.network) == ("ge-kl", 3.0, "resnet16")
    assert training.epochs == 7
    assert 600 <= 7 * training.steps < 607
    assert training.learning_rate == 2e-3


def test_defaults_of_training():
    settings, start = settings_of()
    assert (settings.particles_per_micrograph, settings.held_out, start) == (
        None,
        None,
        Path("general"),
    )
    assert (settings.training.objective, settings.training.slack) == ("nnpu", None)
    assert settings.training.network == "resnet8"


def test_few_labels_adjust_the_general_model_in_half_as_many_steps():
    def steps(*arguments, labels):
        training = settings_of("--num-epochs", "10", *arguments, labels=labels)[0].training
        return training.epochs * training.steps

    assert steps(labels=20) == 300
    assert steps(labels=1000) == 600
    assert steps("--no-pretrained", labels=20) == 600
    assert steps("-m", "resnet16", labels=20) == 600


def test_pi_becomes_a_number_of_particles(job):
    image = [*job[1]][0]
    settings, _ = settings_of("--pi", "0.01", "-r", "5", image=image)
    assert settings.particles_per_micrograph == pytest.approx(0.01 * SIDE**2 / (25 * np.pi))


def test_networks_that_are_not_here_and_models_to_start_from(caplog):
    assert settings_of("-m", "conv127")[0].training.network == "resnet8"
    assert "conv127" in caplog.text
    assert settings_of("-m", "old_epoch10.sav")[1] == Path("old_epoch10.sav")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-r", "0"], "diameter"),
        (["--num-epochs", "0"], "--num-epochs 0"),
        (["--pi", "1.5"], "--pi 1.5"),
        (["--pi", "0.1"], "a.mrc"),
        (["--diameter", "0"], "--diameter 0"),
    ],
)
def test_wrong_settings(arguments, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        settings_of(*arguments)


def test_picks_of_other_images_are_refused(job, tmp_path, caplog):
    folder, particles = job
    write_tables(tmp_path, "other", {Path("elsewhere.mrc"): [*particles.values()][0]})
    arguments = [
        "train",
        f"--train-images={folder}/proc/image_list_train.txt",
        f"--train-targets={tmp_path}/coordinates_other.txt",
        f"--save-prefix={tmp_path}/model",
    ]
    assert main(arguments) == 2
    assert "coordinates_other.txt" in caplog.text
    assert not list(tmp_path.glob("model*"))


def train_again(job, prefix, *more, name="train"):
    """Train on the first two images of the job for two steps, without -n and test images."""
    folder, particles = job
    write_tables(prefix.parent, name, dict([*particles.items()][:2]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "all_steps", lambda *_: 2)
        return main(
            [
                "train",
                f"--train-images={prefix.parent}/image_list_{name}.txt",
                f"--train-targets={prefix.parent}/coordinates_{name}.txt",
                f"--save-prefix={prefix}",
                *("--num-epochs", "2", "-m", "conv31", "-j", "1", *more),
            ]
        )


def test_training_without_a_number_of_particles_or_a_test(job, tmp_path, capsys):
    assert train_again(job, tmp_path / "m") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("epoch\titer\tsplit\t")
    assert [row.split("\t")[2] for row in rows] == ["train", "train"]
    summary = json.loads((tmp_path / "m_training" / "train.json").read_text())
    assert summary["particles_estimated"]
    assert (tmp_path / "m_epoch1.sav").read_bytes() == (tmp_path / "m_epoch2.sav").read_bytes()


def test_without_a_prefix_only_the_curve_is_written(job, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tables(tmp_path, "few", dict([*job[1].items()][:2]))
    before = sorted(tmp_path.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "all_steps", lambda *_: 2)
        tables = ["--train-images=image_list_few.txt", "--train-targets=coordinates_few.txt"]
        assert main(["train", *tables, "-n", "20", "--num-epochs", "1", "-m", "conv31"]) == 0
    assert capsys.readouterr().out.startswith("epoch\titer\tsplit\t")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["conv31", "resnet16"])
def test_describe_prints_the_network(name, capsys):
    assert main(["train", "--describe", "-m", name]) == 0
    convolutions = {"conv31": 3 + 1, "resnet16": 16 + 1 + 1}  # a classifier, and a shortcut
    assert capsys.readouterr().out.count("Conv2d") == convolutions[name]


def test_training_needs_images(caplog):
    assert main(["train"]) == 2
    assert "--train-images" in caplog.text


def test_held_out_picks_give_rows_of_the_curve(job, tmp_path, capsys, monkeypatch):
    """Without test images, and with enough picks, pupick puts a fifth of them aside by itself."""
    monkeypatch.setattr(training_data, "LEAST_BY_DEFAULT", 10)
    folder, particles = job
    write_tables(tmp_path, "train", dict([*particles.items()][:4]))
    arguments = [
        *("train", "-n", "20", "--num-epochs", "2", "-m", "conv31", "-j", "1", "-d", "-1"),
        f"--train-images={tmp_path}/image_list_train.txt",
        f"--train-targets={tmp_path}/coordinates_train.txt",
        f"--save-prefix={tmp_path}/m",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "all_steps", lambda *_: 4)
        assert main(arguments) == 0
    header, *lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    rows = [dict(zip(header, line)) for line in lines]
    assert [(row["epoch"], row["iter"], row["split"]) for row in rows] == [
        ("1", "2", "train"),
        ("1", "2", "test"),
        ("2", "4", "train"),
        ("2", "4", "test"),
    ]
    for row in rows:
        known = {name for name, value in row.items() if value != "-"}
        measured = {"loss", "ge_penalty"} if row["split"] == "train" else {"auprc"}
        assert known == {"epoch", "iter", "split"} | measured
        assert all(np.isfinite(float(row[name])) for name in measured)


def test_training_again_replaces_what_was_there(job, tmp_path):
    assert train_again(job, tmp_path / "m", "-n", "20", "-o", str(tmp_path / "curve")) == 0
    first = (tmp_path / "m_epoch2.sav").read_bytes()
    assert train_again(job, tmp_path / "m", "-n", "25", "-o", str(tmp_path / "curve")) == 0
    assert (tmp_path / "m_epoch2.sav").read_bytes() != first


def test_training_starts_from_a_model(job, model, tmp_path):
    arguments = ["-n", "20", "-o", str(tmp_path / "curve"), "-m", str(model)]
    assert train_again(job, tmp_path / "m", *arguments) == 0
    before, after = load_model(model).network, load_model(tmp_path / "m_epoch2.sav").network
    # calibration changes the classifier further
    names = [name for name, _ in before.features.named_parameters()]
    far = [
        (before.features.state_dict()[name] - after.features.state_dict()[name]).abs().max().item()
        for name in names
    ]
    # two steps with 0.002 at most, where random weights would be anywhere
    assert 0 < max(far) < 0.02


def test_a_bad_image_to_train_on_is_reported(job, tmp_path, caplog):
    folder, particles = job
    write_mrc(tmp_path / "blank.mrc", np.ones((SIDE, SIDE)))
    chosen = dict([*particles.items()][:2])
    write_tables(tmp_path, "mixed", {**chosen, tmp_path / "blank.mrc": np.empty((0, 2))})
    arguments = [
        *("train", "-n", "20", "--num-epochs", "1", "-m", "conv31", "-j", "1", "-d", "-1"),
        f"--train-images={tmp_path}/image_list_mixed.txt",
        f"--train-targets={tmp_path}/coordinates_mixed.txt",
        f"--save-prefix={tmp_path}/m",
        f"--output={tmp_path}/curve.txt",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "all_steps", lambda *_: 2)
        assert main(arguments) == 1
    assert "blank.mrc" in caplog.text
    assert (tmp_path / "m_epoch1.sav").exists()
    assert len((tmp_path / "curve.txt").read_text().splitlines()) == 2


@pytest.mark.parametrize("given", ["images", "targets"])
def test_half_a_test_is_refused_before_the_training(job, tmp_path, caplog, given):
    write_tables(tmp_path, "test", dict([*job[1].items()][4:]))
    table = {"images": "image_list_test.txt", "targets": "coordinates_test.txt"}[given]
    assert train_again(job, tmp_path / "m", f"--test-{given}={tmp_path / table}") == 2
    assert "a test needs images and picks" in caplog.text
    assert not list(tmp_path.glob("m_*"))


def test_a_folder_in_the_place_of_the_curve_is_refused_before_the_training(job, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        train_again(job, tmp_path / "m", "-o", str(tmp_path))
    assert f"{tmp_path} is a folder" in capsys.readouterr().err
    assert not list(tmp_path.glob("m_*"))


@pytest.mark.parametrize("first", [1, 2])
def test_test_images_that_are_trained_on_are_told(job, tmp_path, caplog, first):
    """The first two are trained on."""
    write_tables(tmp_path, "test", dict([*job[1].items()][first : first + 2]))
    more = [f"--test-images={tmp_path}/image_list_test.txt", "-n", "20"]
    more.append(f"--test-targets={tmp_path}/coordinates_test.txt")
    assert train_again(job, tmp_path / "m", *more) == 0
    assert ("1 test images, such as m1, are trained on, too" in caplog.text) is (first == 1)


def test_test_images_that_cannot_be_used_leave_the_model(job, tmp_path, caplog):
    write_mrc(tmp_path / "blank.mrc", np.ones((SIDE, SIDE)))
    write_tables(tmp_path, "test", {tmp_path / "blank.mrc": np.array([[50.0, 50.0]])})
    more = [
        *("-n", "20", "-o", str(tmp_path / "curve.txt")),
        f"--test-images={tmp_path}/image_list_test.txt",
        f"--test-targets={tmp_path}/coordinates_test.txt",
    ]
    assert train_again(job, tmp_path / "m", *more) == 0
    assert "The test images are of no use" in caplog.text
    assert (tmp_path / "m_epoch2.sav").exists()
    assert "test" not in (tmp_path / "curve.txt").read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about computers without a GPU")
def test_without_a_gpu_the_cpu_is_taken(caplog):
    assert device_of_number(3, 1) == torch.device("cpu")
    assert "There is no GPU 3" in caplog.text
    caplog.clear()
    assert device_of_number(-1, 1) == torch.device("cpu")
    assert not caplog.messages


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_number_is_that_of_the_gpu():
    assert device_of_number(0, 1) == torch.device("cuda", 0)


def test_a_result_that_cannot_be_written(job, model, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "a.txt"
    assert pick(model, "-o", str(output), str([*job[1]][4])) == 1
    assert str(tmp_path / "file") in caplog.text


def test_the_table_goes_into_a_folder_that_is_there(job, model, tmp_path):
    assert pick(model, "-o", str(tmp_path), str([*job[1]][4])) == 0
    assert len(read_rows(tmp_path / "extracted_particles.txt")[0]) >= PARTICLES


def test_the_radius_is_half_the_diameter_unless_it_is_given(job, model, tmp_path):
    image = str([*job[1]][4])
    pick(model, "-o", str(tmp_path / "given.txt"), "-r", "12", image)
    arguments = ["extract", "-m", str(model), "-o", str(tmp_path / "derived.txt"), image]
    assert main(arguments) == 0
    assert (tmp_path / "derived.txt").read_text() == (tmp_path / "given.txt").read_text()


def test_verbose_says_how_many(job, model, tmp_path, caplog):
    caplog.set_level("INFO")
    image = str([*job[1]][4])
    pick(model, "-v", "-t", "99", "-o", str(tmp_path / "a.txt"), image)
    assert f"0 particles in {image}" in caplog.text


def test_rows_are_whole_px_and_nine_digits():
    found = Coordinates([3.49, 1e6], [3.51, 0.2], [1.23456789012, -0.5])
    assert table_text({"a b": found}) == (
        "image_name\tx_coord\ty_coord\tscore\na b\t3\t4\t1.23456789\na b\t1000000\t0\t-0.5\n"
    )


def test_relions_abort_stops_training_at_once(job, tmp_path):
    folder, _ = job
    write_job_star(tmp_path, DIAMETER * PIXEL_SIZE)
    code = "from relion_external.topaz_command.cli import main; raise SystemExit(main())"
    arguments = [
        f"--train-images={folder}/proc/image_list_train.txt",
        f"--train-targets={folder}/proc/coordinates_train.txt",
        *("-n", "20", "-j", "1", "-d", "-1", f"--save-prefix={tmp_path}/m"),
        f"--output={tmp_path}/model_training.txt",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", *arguments], stderr=subprocess.PIPE, text=True
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("Training on"):
            break
    (tmp_path / "RELION_JOB_ABORT_NOW").touch()
    asked = time.monotonic()
    assert process.wait(timeout=60) == 1
    # users wait for it: this is a promise, not a benchmark; two seconds where nothing else runs
    assert time.monotonic() - asked < 5
    rest = process.stderr.read()
    process.stderr.close()
    assert "80 labels" in said[-1]
    assert "(and 0 labels held out)" in said[-1]
    # lengths are px here
    assert any("Best scale for the general model: " in line for line in said)
    assert "Å" not in "".join(said)
    assert "pupick-topaz train: stopped." in rest
    assert "pupick-topaz train: stopped." in (tmp_path / "run.err").read_text()
    assert not list(tmp_path.glob("*.sav"))


@pytest.mark.parametrize("threshold", ["nan", "inf"])
def test_a_threshold_that_is_no_number_is_refused(job, model, tmp_path, threshold, caplog):
    image = next(iter(job[1]))
    table = tmp_path / "picks.txt"
    assert pick(model, "-t", threshold, "-o", str(table), str(image)) == 2
    assert "the threshold must be a number" in caplog.text
    assert not table.exists()


def test_no_table_is_written_over_an_image(job, model, capsys):
    image = next(iter(job[1]))
    before = image.read_bytes()
    with pytest.raises(SystemExit):
        pick(model, "-o", str(image))
    assert "is the name of an image" in capsys.readouterr().err
    assert image.read_bytes() == before
