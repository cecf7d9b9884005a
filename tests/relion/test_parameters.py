# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines that RELION puts together, from its sources and from runs of it."""

import pytest

from relion_external.errors import JobError
from relion_external.parameters import (
    BOTH,
    PICK,
    PROGRAMS,
    SUGGEST,
    TRAIN,
    help_text,
    parameters_of,
    parse_arguments,
)

MICS = "CtfFind/job003/micrographs_ctf.star"
START = ["--o", "External/job005/", "--in_mics", MICS]
END = ["--j", "2", "--pipeline_control", "External/job005/"]


def pick(*parameters: str):
    return parse_arguments(PICK, [*START, "--model", "External/job004", *parameters, *END])


def test_reads_a_picking_job_as_relion_writes_it():
    options = pick("--threshold", "-1.5", "--gpu", "0")
    assert (options.output, options.micrographs, options.threads) == ("External/job005/", MICS, 2)
    assert options.values == {"model": "External/job004", "threshold": -1.5, "gpu": "cuda:0"}


def test_reads_a_training_job_with_both_sources_of_particles():
    options = parse_arguments(
        TRAIN,
        [*START, "--in_parts", "p.star", "--in_coords", "c.star", "--diameter", "180", *END],
    )
    assert (options.coordinates, options.particles) == ("c.star", "p.star")
    assert options.values == {"diameter": 180.0}


def test_takes_the_order_of_ccpems_pipeliner():
    options = parse_arguments(PICK, ["--in_mics", MICS, "--o", "External/job005/", "--model", "m"])
    assert (options.output, options.threads) == ("External/job005/", 1)


@pytest.mark.parametrize("text", ["-3", "-3.5", "-1e-3", "-.5", "+2", "1e3"])
def test_takes_every_way_to_write_a_number(text):
    assert pick("--threshold", text).values["threshold"] == float(text)


def test_empty_values_count_as_not_given():
    assert "threshold" not in pick("--threshold").values
    assert "threshold" not in pick("--threshold", "").values


def test_an_empty_required_value_is_missing():
    with pytest.raises(JobError, match="diameter is missing"):
        parse_arguments(TRAIN, [*START, "--in_coords", "c.star", "--diameter", *END])


def test_old_names_of_parameters_still_work_and_are_noted():
    options = pick("--edge", "20", "--separation", "90", "--threshold", "1")
    assert options.values["border"] == 20
    assert options.values["min_distance"] == 90
    assert options.renamed == {"edge": "border", "separation": "min_distance"}
    assert pick("--edge", "", "--border", "20").renamed == {}


def test_values_out_of_range_are_refused_before_the_engine_starts():
    for arguments, wanted in (
        (["--border", "-1"], "a number of 0 or more"),
        (["--threshold", "-9"], "a number of -8 or more"),
    ):
        with pytest.raises(JobError, match=f"give {wanted}"):
            pick(*arguments)
    training = [*START, "--in_coords", "c.star", "--diameter", "180"]
    with pytest.raises(JobError, match="give one of conv3, resnet8, resnet16"):
        parse_arguments(TRAIN, [*training, "--network", "vgg"])
    with pytest.raises(JobError, match="give a whole number above 0"):
        parse_arguments(TRAIN, [*training, "--epochs", "1.5"])


def test_dashes_and_equals_signs_do_as_well():
    arguments = [*START, "--in_coords=c.star", "--diameter=180", "--particles-per-micrograph=300"]
    assert parse_arguments(BOTH, arguments).values["particles_per_micrograph"] == 300


def test_the_last_of_two_values_counts():
    assert pick("--threshold", "1", "--threshold", "2").values["threshold"] == 2


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("auto", "auto"),
        ("none", "cpu"),
        ("No", "cpu"),
        ("-1", "cpu"),
        ("1", "cuda:1"),
        ("cuda:2", "cuda:2"),
        ("0:1", "cuda:0,cuda:1"),
        ("0,1:3", "cuda:0,cuda:1,cuda:3"),
        ("0:0", "cuda:0"),
        ("cuda:0,cuda:1", "cuda:0,cuda:1"),
        ("ALL", "all"),
    ],
)
def test_devices(text, device):
    assert pick("--gpu", text).values["gpu"] == device


@pytest.mark.parametrize(("text", "version"), [("3.1.3", "3.1"), ("4", "4.0"), ("5.0.1", "5.0")])
def test_versions_of_relion(text, version):
    assert pick("--relion_version", text).values["relion_version"] == version


@pytest.mark.parametrize("job", [TRAIN, PICK, BOTH, SUGGEST])
def test_an_unknown_parameter_is_refused_with_the_known_ones(job):
    with pytest.raises(JobError) as caught:
        parse_arguments(job, [*START, "--treshold", "3", *END])
    for name in parameters_of(job):
        assert name in str(caught.value)


def test_a_near_miss_is_named():
    with pytest.raises(JobError, match=r"'treshold' \(did you mean threshold\?\)"):
        pick("--treshold", "3")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threshold", "high"],
        ["--threshold", "nan"],
        ["--gpu", "fast"],
        ["--gpu", "0,,1"],
        ["--workers", "-1"],
        ["--pixel_size", "0"],
        ["--diameter", "-180"],
        ["--relion_version", "6"],
        ["--j", "-1"],
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_its_parameter(arguments):
    with pytest.raises(JobError) as caught:
        parse_arguments(PICK, [*START, "--model", "m", *arguments])
    assert f"{arguments[0][2:]} is '{arguments[1]}': give " in str(caught.value)


@pytest.mark.parametrize("values", [["3", "4"], ["a", "b"]])
def test_a_value_with_blanks_is_explained(values):
    with pytest.raises(JobError, match=f"'{values[1]}'.*blanks"):
        pick("--threshold", *values)


def test_a_path_with_a_blank_is_explained():
    with pytest.raises(JobError, match=r"no use for 'folder/micrographs\.star'.*blanks"):
        parse_arguments(
            PICK, ["--o", "External/job005/", "--in_mics", "my", "folder/micrographs.star"]
        )


def test_a_word_before_any_label_is_explained():
    with pytest.raises(JobError, match="no use for 'word'"):
        parse_arguments(PICK, ["word", *START])


@pytest.mark.parametrize(
    ("argument", "what"),
    [
        ("in_movies", "movies"),
        ("in_3dref", "3D reference"),
        ("in_3Dref", "3D reference"),
        ("in_mask", "mask"),
        ("in_coords", "coordinates"),
        ("in_parts", "particles"),
    ],
)
def test_inputs_of_other_kinds_are_refused(argument, what):
    with pytest.raises(JobError, match=f"no use for .*{what}.*--{argument}"):
        pick(f"--{argument}", "file.star")


def test_missing_inputs_are_named():
    with pytest.raises(JobError, match="input micrographs are missing"):
        parse_arguments(PICK, ["--o", "External/job005/", "--model", "m"])
    with pytest.raises(JobError, match="training needs particles"):
        parse_arguments(TRAIN, [*START, "--diameter", "180"])


def test_a_form_has_room_for_the_ten_first_parameters():
    for job in (TRAIN, PICK, BOTH):
        required = [p.name for p in parameters_of(job).values() if p.required]
        # picking needs nothing more with a trained model, and the diameter with the general one
        assert required or job == PICK
        required.append("diameter")
        assert set(required) <= set(list(parameters_of(job))[:10])


@pytest.mark.parametrize("job", [TRAIN, PICK, BOTH, SUGGEST])
def test_help_names_the_program_and_every_parameter(job):
    text = help_text(job)
    assert PROGRAMS[job] in text
    assert all(f"  {name}: " in text for name in parameters_of(job))
    assert max(map(len, text.splitlines())) <= 96


@pytest.mark.parametrize("value", ["all", "none", ""])
def test_done_is_said_of_corrected_picks(value):
    arguments = [*START, "--in_coords", "c.star", "--diameter", "180", "--done", value, *END]
    corrected = [*arguments, "--corrected", "External/job004"]
    assert parse_arguments(TRAIN, corrected).values.get("done", "") == value
    if value != "all":
        assert parse_arguments(TRAIN, arguments)
        return
    with pytest.raises(JobError, match="done says which micrographs of corrected picks"):
        parse_arguments(TRAIN, arguments)
