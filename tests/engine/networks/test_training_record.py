# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of how models came about: what files of every version hold is read and written again."""

import json

import pytest

from scipion_pupick.engine.networks.model_file import show_model
from scipion_pupick.engine.networks.training_record import TrainingRecord

# as version 0.1 has written them
TRAINED = """{"labels": 24, "held_out_labels": 0, "micrographs": 4, "bright_particles": false,
"held_out_micrographs": 0, "failed_micrographs": {}, "particles_per_micrograph": 9,
"particles_estimated": false, "pi": 0.0013, "score_uncertainty": 1.024, "best_epoch": 3,
"epochs": 3, "trained_share": 1.0, "held_out_average_precision": null,
"settings": {"network": "conv3", "slack": null}}"""
GENERAL = """{"general": true, "simulated_particles": 1600, "epochs": 30, "best_epoch": 25,
"held_out_average_precision": 0.8, "score_uncertainty": 1.423, "settings": {"network": "conv3"}}"""
ADAPTED = """{"general": true, "simulated_particles": 1600, "epochs": 30, "best_epoch": 25,
"held_out_average_precision": 0.8165, "score_uncertainty": 1.0, "settings": {"network": "conv3"},
"bright_particles": true, "adapted": {"general": "5c", "diameter": 180.0, "particles": null},
"fitted_to": {"a.mrc": [1.77, 4096, 17]}, "micrographs": 1, "particles_per_micrograph": null}"""
OF_NO_MICROGRAPH = """{"general": true, "score_uncertainty": 1.0,
"adapted": {"general": "5c", "diameter": 180.0, "particles": null}, "fitted_to": {},
"micrographs": 0, "particles_per_micrograph": null}"""


@pytest.mark.parametrize(
    "text", [TRAINED, GENERAL, ADAPTED, OF_NO_MICROGRAPH, "{}", '{"score_uncertainty": 0.3}']
)
def test_a_record_is_written_as_it_was_read(text):
    record = json.loads(text)
    written = TrainingRecord.from_dict(record).to_dict()
    assert json.dumps(written) == json.dumps(record)


def test_the_general_model_that_comes_with_pupick_is_written_as_it_was_read():
    record = show_model("general")["training"]
    assert json.dumps(TrainingRecord.from_dict(record).to_dict()) == json.dumps(record)


def test_what_a_newer_version_says_besides_is_kept():
    record = {**json.loads(TRAINED), "mood": {"good": [1, 2]}}
    assert TrainingRecord.from_dict(record).extra == {"mood": {"good": [1, 2]}}
    assert TrainingRecord.from_dict(record).to_dict() == record


def test_the_fraction_of_what_training_found_is_read_from_its_older_key():
    assert TrainingRecord.from_dict({"trained_share": 0.25}).finetuned_fraction == 0.25


def test_labels_and_micrographs_that_were_held_out_are_counted_in():
    record = TrainingRecord(labels=80, held_out_labels=20, micrographs=8, held_out_micrographs=2)
    assert (record.all_labels, record.all_micrographs) == (100, 10)
    assert TrainingRecord().all_labels == 0


@pytest.mark.parametrize("record", [None, 3, "labels"])
def test_what_is_no_record_is_refused(record):
    with pytest.raises((TypeError, ValueError)):
        TrainingRecord.from_dict(record)
