# SPDX-License-Identifier: GPL-3.0-or-later
"""The model file: what is written comes back, and everything else is refused with its reason."""

import json
import pickle
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.networks.architectures import (
    ARCHITECTURES,
    make_network,
    strided_scores,
)
from scipion_pupick.engine.networks.model import Model, load_model, save_model
from scipion_pupick.engine.networks.model_file import read_model_file, show_model
from scipion_pupick.engine.networks.numpy_scoring import make_numpy_judge
from scipion_pupick.engine.networks.training_record import TrainingRecord
from scipion_pupick.engine.preprocessing.mixture import Mixture
from scipion_pupick.engine.preprocessing.scale import ANGSTROM, ModelScale, pixels

MIXTURE = Mixture(0.3, (-1.5, 0.5), (0.7, 1.1))


def make_model(name="conv3", **changes):
    torch.manual_seed(7)
    model = Model(
        network=make_network(name).eval(),
        network_name=name,
        scale=ModelScale(180.0, 20.0),
        threshold=1.25,
        training=TrainingRecord(labels=12, settings={"objective": "pn"}),
    )
    return replace(model, **changes)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(make_model(), path)
    return path


def rewritten(written, folder, tensors=lambda tensors: None, metadata=lambda metadata: None):
    """A copy of a model file, with its tensors and its metadata changed in place."""
    weights = load_file(written)
    tensors(weights)
    with safe_open(written, framework="pt") as file:
        about = json.loads(file.metadata()["pupick"])
    metadata(about)
    path = folder / "changed.safetensors"
    save_file(weights, path, {"pupick": json.dumps(about)})
    return path


def refused(path):
    """The text of the refusal, which always names the file."""
    with pytest.raises(UsageError) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("mixture", [None, MIXTURE])
def test_a_model_comes_back_as_it_was(name, mixture, tmp_path):
    model = make_model(name, mixture=mixture, normalisation="gmm")
    save_model(model, tmp_path / "a" / "model.safetensors")
    read = load_model(tmp_path / "a" / "model.safetensors")
    assert (read.network_name, read.scale, read.threshold) == (name, model.scale, 1.25)
    assert (read.normalisation, read.mixture, read.training) == ("gmm", mixture, model.training)
    assert read.digest == model.digest
    assert not read.network.training
    image = torch.randn(1, 1, 140, 140)
    with torch.no_grad():
        np.testing.assert_array_equal(read.network(image), model.network(image))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_network_of_another_width_comes_back_and_scores_without_pytorch(name, tmp_path):
    torch.manual_seed(7)
    model = make_model(network=make_network(name, 12).eval(), network_name=name)
    save_model(model, tmp_path / "model.safetensors")
    assert show_model(tmp_path / "model.safetensors")["units"] == 12
    read = load_model(tmp_path / "model.safetensors")
    assert (read.units, read.digest) == (12, model.digest)
    image = np.random.default_rng(0).normal(size=(1, 120, 140)).astype(np.float32)
    with torch.no_grad():
        expected = strided_scores(model.network, torch.from_numpy(image))
    scores = make_numpy_judge(read_model_file(tmp_path / "model.safetensors"))(image)[0]
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("units", [True, "32", 10, -4, 2**40, 36, None])
def test_a_width_that_is_not_the_weights_is_refused(written, tmp_path, units):
    path = rewritten(written, tmp_path, metadata=lambda about: about.update(units=units))
    assert "units" in refused(path)


@pytest.mark.parametrize(
    "change",
    [
        {"scale": ModelScale(181.0, 20.0)},
        {"scale": ModelScale(180.0, 24.0)},
        {"normalisation": "affine"},
        {"mixture": MIXTURE},
    ],
)
def test_the_digest_follows_what_scores_depend_on(change):
    assert replace(make_model(), **change).digest != make_model().digest


def test_the_digest_follows_the_weights():
    model = make_model()
    with torch.no_grad():
        model.network.classifier.bias += 1e-6
    assert model.digest != make_model().digest


def test_the_digest_leaves_out_what_scores_do_not_depend_on():
    assert make_model(threshold=0.0, training=TrainingRecord()).digest == make_model().digest
    assert make_model(scale=ModelScale(180.0, 20.0, pixels(7.0))).digest == make_model().digest


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        (None, {}),
        (ANGSTROM, {"diameter_unit": "Å"}),
        (pixels(7.08), {"diameter_unit": "px", "pixel_size": 7.08}),
        (pixels(None), {"diameter_unit": "px", "pixel_size": None}),
    ],
)
def test_a_model_says_the_unit_of_its_diameter(unit, said, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(make_model(scale=ModelScale(180.0, 20.0, unit)), path)
    shown = show_model(path)
    assert {key: shown[key] for key in ("diameter_unit", "pixel_size") if key in shown} == said
    assert load_model(path).scale.unit == unit


def test_show_gives_what_was_written(written):
    shown = show_model(written)
    assert shown["network"] == "conv3"
    assert (shown["diameter"], shown["diameter_px"]) == (180.0, 20.0)
    assert (shown["field"], shown["stride"], shown["threshold"]) == (31, 4, 1.25)
    assert shown["training"] == {"labels": 12, "settings": {"objective": "pn"}}
    assert shown["versions"]["torch"] == torch.__version__


class _Trap:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_pytorch_file_is_refused_unread(zipped, tmp_path):
    path, touched = tmp_path / "topaz.sav", tmp_path / "touched"
    torch.save({"trap": _Trap(touched)}, path, _use_new_zipfile_serialization=zipped)
    assert "pickle" in refused(path)
    assert not touched.exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_bare_pickle_is_refused_unread(protocol, tmp_path):
    path, touched = tmp_path / "model.pt", tmp_path / "touched"
    path.write_bytes(pickle.dumps(_Trap(touched), protocol))
    assert "pickle" in refused(path)
    assert not touched.exists()


def test_a_header_whose_length_looks_like_a_pickle_is_no_pickle(tmp_path):
    path = tmp_path / "model.safetensors"
    for length in range(256):
        save_model(make_model(training=TrainingRecord(extra={"remark": "x" * length})), path)
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert load_model(path).training.to_dict() == {"remark": "x" * length}


def test_weights_of_other_software_are_refused(tmp_path):
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    assert "other software" in refused(tmp_path / "other.safetensors")


def test_a_missing_tensor_is_named(written, tmp_path):
    path = rewritten(written, tmp_path, lambda tensors: tensors.pop("classifier.bias"))
    assert "classifier.bias" in refused(path)


def test_an_unknown_tensor_is_named(written, tmp_path):
    path = rewritten(written, tmp_path, lambda tensors: tensors.update(extra=torch.zeros(1)))
    assert "extra" in refused(path)


def test_a_wrong_shape_is_named(written, tmp_path):
    path = rewritten(
        written, tmp_path, lambda tensors: tensors.update({"classifier.bias": torch.zeros(5)})
    )
    text = refused(path)
    assert "classifier.bias" in text
    assert "(5,)" in text
    assert "(1,)" in text


def test_a_wrong_number_type_is_named(written, tmp_path):
    def halve(tensors):
        tensors["classifier.bias"] = tensors["classifier.bias"].half()

    text = refused(rewritten(written, tmp_path, halve))
    assert "classifier.bias" in text
    assert "float16" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_named(written, tmp_path, value):
    path = rewritten(written, tmp_path, lambda tensors: tensors["classifier.bias"].fill_(value))
    text = refused(path)
    assert "classifier.bias" in text
    assert "NaN" in text


@pytest.mark.parametrize("name", ["resnet999", None, ["conv3"], 3])
def test_an_unknown_network_is_named(written, tmp_path, name):
    path = rewritten(written, tmp_path, metadata=lambda about: about.update(network=name))
    assert repr(name) in refused(path)


@pytest.mark.parametrize("number", [2, "1.0", None])
def test_an_unknown_format_is_named(written, tmp_path, number):
    path = rewritten(written, tmp_path, metadata=lambda about: about.update(format=number))
    text = refused(path)
    assert f"format {number!r}" in text
    assert "reads format 1" in text


@pytest.mark.parametrize(
    "key", ["diameter", "diameter_px", "threshold", "mixture", "normalisation"]
)
def test_missing_metadata_are_named(written, tmp_path, key):
    path = rewritten(written, tmp_path, metadata=lambda about: about.pop(key))
    assert key in refused(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("diameter", "wide"),
        ("diameter", -3),
        ("diameter_unit", "nm"),
        ("threshold", None),
        ("mixture", {"rho": 2, "means": [0, 1], "deviations": [1, 1]}),
        ("mixture", {"weights": [1, 2]}),
    ],
)
def test_metadata_that_make_no_sense_are_refused(written, tmp_path, key, value):
    path = rewritten(written, tmp_path, metadata=lambda about: about.update({key: value}))
    assert "metadata" in refused(path)


@pytest.mark.parametrize("text", ["{", "[1, 2]", "", "null"])
def test_damaged_metadata_are_refused(tmp_path, text):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"pupick": text})
    assert "damaged" in refused(path)


@pytest.mark.parametrize("keep", [0, 4, 9, 300, -1000])
def test_a_cut_off_file_is_refused(written, tmp_path, keep):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(written.read_bytes()[:keep])
    assert "safetensors" in refused(path)


def test_a_header_that_asks_for_too_much_is_refused(written, tmp_path):
    path = tmp_path / "large.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + written.read_bytes()[8:])
    assert "safetensors" in refused(path)


def test_a_text_file_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("this is no model, however long the text may be\n")
    assert "safetensors" in refused(path)


def test_a_missing_file_is_refused(tmp_path):
    assert "No such file" in refused(tmp_path / "none.safetensors")


def test_a_folder_is_refused(tmp_path):
    assert "directory" in refused(tmp_path)


def test_writing_leaves_no_other_file(tmp_path):
    for threshold in (1.0, 2.0):
        save_model(make_model(threshold=threshold), tmp_path / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert load_model(tmp_path / "model.safetensors").threshold == 2.0
