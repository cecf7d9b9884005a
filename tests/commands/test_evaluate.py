# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation from files to files: names, borders, tables; and the demonstration."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.dense import dense_scores
from helpers.simulated import as_picks, shared_model, simulate
from sklearn.metrics import average_precision_score

from scipion_pupick.engine import (
    Coordinates,
    OptimizerSettings,
    TrainSettings,
    demo,
    evaluate,
    evaluate_regions,
    find_micrographs,
    load_model,
    read_picks,
)
from scipion_pupick.engine.cli.main import main
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.micrographs import Micrograph
from scipion_pupick.engine.preprocessing.working_image import prepare

EXAMPLES = Path(__file__).parents[2] / "examples" / "empiar10017"


@pytest.fixture
def picked():
    """Reference particles, and scored picks with misses and false ones, of two micrographs."""
    random = np.random.default_rng(0)
    grid = np.array([(x, y) for x in range(20, 240, 40) for y in range(20, 240, 40)], float)
    reference, picks, labels, scores = {}, {}, [], []
    for name in ("a", "b"):
        hits = grid[random.random(len(grid)) < 0.8] + random.uniform(-2, 2, 2)
        false = grid[: len(grid) // 2] + 20
        score = np.r_[random.normal(1, 1, len(hits)), random.normal(0, 1, len(false))]
        reference[f"{name}.mrc"] = grid
        picks[f"folder/{name}.mrc"] = Coordinates(*np.vstack([hits, false]).T, score)
        labels += [1] * len(hits) + [0] * len(false)
        scores += score.tolist()
    return picks, as_picks(reference), np.array(labels), np.array(scores)


def test_the_average_precision_is_that_of_scikit_learn(picked):
    picks, reference, labels, scores = picked
    found = evaluate(picks, reference, 5.0)
    total = sum(len(particles) for particles in reference.values())
    # scikit-learn takes the recall from what was picked; ours counts what was missed too
    expected = average_precision_score(labels, scores) * labels.sum() / total
    assert found.curve.average_precision == pytest.approx(expected)
    assert (found.hits, found.picks, found.reference) == (labels.sum(), len(labels), total)


def test_names_need_not_be_written_alike(picked):
    picks, reference, _, _ = picked
    bare = {name.split("/")[1][:-4]: found for name, found in picks.items()}
    known = evaluate(picks, reference, 5.0).curve.average_precision
    assert evaluate(bare, reference, 5.0).curve.average_precision == known


def test_the_table_holds_the_curve(picked, tmp_path):
    picks, reference, _, _ = picked
    curve = evaluate(picks, reference, 5.0, table=tmp_path / "curve.tsv").curve
    header, *rows = (tmp_path / "curve.tsv").read_text().splitlines()
    assert header.split("\t") == ["threshold", "precision", "recall", "f1", "picks"]
    table = np.array([row.split("\t") for row in rows], float)
    np.testing.assert_allclose(table[:, 0], curve.threshold, rtol=1e-6)
    np.testing.assert_allclose(table[:, 1], curve.precision, atol=1e-6)
    np.testing.assert_allclose(table[:, 2], curve.recall, atol=1e-6)


def test_the_plot_is_a_picture(picked, tmp_path):
    pytest.importorskip("matplotlib")
    picks, reference, _, _ = picked
    evaluate(picks, reference, 5.0, plot=tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_border_leaves_out_what_lies_in_it(tmp_path):
    xy = simulate(tmp_path / "m.mrc", 0)
    reference = as_picks({"m": xy})
    inside = ((xy >= 40) & (xy <= 255 - 40)).all(axis=1)
    picks = {"m.mrc": Coordinates(*xy[inside].T, np.arange(inside.sum(), dtype=float))}
    micrographs = find_micrographs([str(tmp_path / "m.mrc")])
    found = evaluate(picks, reference, 5.0, border=40.0, micrographs=micrographs)
    assert found.curve.average_precision == 1
    assert found.reference == inside.sum() < len(xy)
    assert evaluate(picks, reference, 5.0).curve.average_precision < 1


def test_a_border_needs_the_micrographs(picked):
    picks, reference, _, _ = picked
    with pytest.raises(UsageError, match="size of the micrographs") as caught:
        evaluate(picks, reference, 5.0, border=10.0)
    assert caught.value.settings == ("micrographs",)


def test_only_given_micrographs_count(picked, tmp_path):
    picks, reference, _, _ = picked
    simulate(tmp_path / "b.mrc", 0)
    micrographs = find_micrographs([str(tmp_path / "b.mrc")])
    found = evaluate(picks, reference, 5.0, micrographs=micrographs)
    assert [counts.name for counts in found.micrographs] == [(tmp_path / "b.mrc").as_posix()]


def test_picks_without_any_reference_are_refused(picked):
    picks, _, _, _ = picked
    with pytest.raises(UsageError, match="at least one"):
        evaluate(picks, {}, 5.0)


def test_picks_of_other_micrographs_are_refused_but_none_are_not(picked):
    picks, reference, _, _ = picked
    with pytest.raises(UsageError, match="no micrograph in common"):
        evaluate({"elsewhere.mrc": next(iter(picks.values()))}, reference, 5.0)
    assert evaluate({}, reference, 5.0).curve.average_precision == 0


def test_picks_in_none_of_the_references_micrographs_are_doubted(picked, caplog):
    picks, reference, _, _ = picked
    (name, known), *_ = reference.items()
    others = {"elsewhere.mrc": next(iter(picks.values()))}
    micrographs = [Micrograph(Path(each), each) for each in (name, "elsewhere.mrc")]
    evaluate(others, {name: known}, 5.0, micrographs=micrographs)
    assert "No pick is of a micrograph that has reference particles" in caplog.text


def test_regions_are_not_scored_with_a_model_for_any_diameter(tmp_path):
    simulate(tmp_path / "m.mrc", 0)
    micrographs = find_micrographs([str(tmp_path)])
    centre = {micrographs[0].name: Coordinates.unscored([128.0], [128.0])}
    with pytest.raises(UsageError, match=r"any diameter.*adapted\.safetensors"):
        evaluate_regions("general", centre, micrographs)


def test_a_border_leaves_out_regions(tmp_path_factory):
    folder = shared_model(tmp_path_factory)
    micrographs = find_micrographs([str(folder / "train")])[:1]
    path = folder / "model.safetensors"
    far = Coordinates.unscored([128.0], [128.0])
    # the only particle lies outside what a border of half the image leaves
    with pytest.raises(UsageError, match="no reference particle"):
        evaluate_regions(
            path,
            {micrographs[0].name: Coordinates.unscored([20.0], [20.0])},
            micrographs,
            border=60,
        )
    assert 0 < evaluate_regions(path, {micrographs[0].name: far}, micrographs, border=60) <= 1


@pytest.mark.slow
@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples come with a clone only")
def test_a_short_demonstration_finds_most_particles_of_real_micrographs(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    short = OptimizerSettings(epochs=4, steps=16, mosaics=3, tiles=3, autoencoder=0.0)
    monkeypatch.setattr(
        "scipion_pupick.engine.jobs.demo.TrainSettings",
        lambda diameter, particles: TrainSettings(diameter, particles, training=short),
    )
    result = demo(EXAMPLES, tmp_path, device="cpu", threads=1)
    # what `make demo` promises; it trains ten times as long
    assert result.evaluation.curve.average_precision >= 0.7
    assert result.picked.failures == {}
    trained_on = read_picks(EXAMPLES / "picks_100.star")
    names = {Path(name).name for name in result.picked.picks}
    assert names == {Path(name).name for name in read_picks(EXAMPLES / "reference.star")}
    assert names.isdisjoint(Path(name).name for name in trained_on)
    assert sum(len(found) for found in trained_on.values()) == 100
    written = read_picks(tmp_path / "pick" / "picks.star")
    assert {name: len(found) for name, found in written.items()} == {
        name: len(found) for name, found in result.picked.picks.items()
    }
    for name in ("picks.png", "precision_recall.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "precision_recall.tsv").is_file()


def test_the_demonstration_needs_its_examples(tmp_path):
    with pytest.raises(UsageError, match="example micrographs") as raised:
        demo(tmp_path, tmp_path / "out")
    assert raised.value.settings == ("examples",)


def test_average_precision_over_regions_is_that_of_scikit_learn(tmp_path_factory):
    folder = shared_model(tmp_path_factory)
    path = folder / "model.safetensors"
    micrographs = find_micrographs([str(folder / "train")])
    reference = read_picks(folder / "picks.star")
    model = load_model(path)
    scores, positive = [], []
    for micrograph in micrographs:
        image = prepare(micrograph, model.scale.of(), model.normalisation).image
        with torch.inference_mode():
            scores.append(dense_scores(model.network, torch.from_numpy(image))[::4, ::4].numpy())
        rows, columns = np.mgrid[: image.shape[0] : 4, : image.shape[1] : 4]
        particles = reference[micrograph.name]
        distance = np.hypot(columns[..., None] - particles.x, rows[..., None] - particles.y)
        positive.append((distance <= 3).any(axis=-1))
    expected = average_precision_score(np.ravel(positive), np.ravel(scores))
    found = evaluate_regions(path, reference, micrographs, training_radius=3.0, device="cpu")
    assert found == pytest.approx(expected, abs=0.01)
    assert found > 3 * np.mean(positive)


def test_regions_need_a_reference_in_the_micrographs(tmp_path_factory):
    folder = shared_model(tmp_path_factory)
    micrographs = find_micrographs([str(folder / "train")])
    with pytest.raises(UsageError, match="no reference particle"):
        evaluate_regions(folder / "model.safetensors", {}, micrographs, device="cpu")


def test_what_is_not_defined_is_said_in_words(tmp_path, capsys):
    reference, none, missed = (tmp_path / f"{name}.csv" for name in ("reference", "none", "missed"))
    reference.write_text("micrograph,x,y\na,10,20\n")
    none.write_text("micrograph,x,y,score\n")
    missed.write_text("micrograph,x,y,score\na,80,90,1.5\n")
    words = {none: "There is no pick", missed: "no pick hits a reference particle"}
    for picks, text in words.items():
        files = ["--picks", str(picks), "--reference", str(reference)]
        assert main(["evaluate", *files, "--tolerance", "5"]) == 0
        printed = capsys.readouterr().out
        assert "F1 0.000 (precision 0.000, recall 0.000)" in printed
        assert text in printed
        assert "nan" not in printed


def test_picks_where_the_reference_has_none_are_said(tmp_path, caplog):
    micrographs = [Micrograph(tmp_path / f"{name}.mrc", f"{name}.mrc") for name in "ab"]
    reference = as_picks({"a.mrc": np.array([[10.0, 10.0]])})
    picks = as_picks({"a.mrc": np.array([[10.0, 10.0]]), "b.mrc": np.array([[5.0, 5.0]] * 3)})
    assert evaluate(picks, reference, 5.0, micrographs=micrographs).picks == 1
    assert "3 picks of 1 micrographs, such as b.mrc, do not count" in caplog.text


def test_a_least_score_is_one_of_picks_alone(tmp_path, capsys):
    rows = "micrograph,x,y,score\na.mrc,10,10,{}\na.mrc,50,50,{}\n"
    picks, reference = tmp_path / "picks.csv", tmp_path / "reference.csv"
    picks.write_text(rows.format(5, 1))
    reference.write_text(rows.format(1, 1))
    arguments = ["evaluate", "--picks", str(picks), "--reference", str(reference)]
    summary = tmp_path / "summary.json"
    more = ["--tolerance", "5", "--least-score", "3", "--summary", str(summary)]
    assert main([*arguments, *more]) == 0
    values = json.loads(summary.read_text())
    assert (values["picks"], values["reference"], values["hits"]) == (1, 2, 1)


def test_picks_without_scores_have_no_ranking(tmp_path, capsys):
    (tmp_path / "reference.csv").write_text("micrograph,x,y\na,10,10\na,50,50\n")
    (tmp_path / "picks.csv").write_text("micrograph,x,y\na,10,13\na,90,90\na,90,50\n")
    files = ["--picks", f"{tmp_path}/picks.csv", "--reference", f"{tmp_path}/reference.csv"]
    summary = tmp_path / "summary.json"
    assert main(["evaluate", *files, "--tolerance", "5", "--summary", str(summary)]) == 0
    said = capsys.readouterr().out
    assert "F1 0.400 (precision 0.333, recall 0.500)" in said
    assert "The picks have no scores, so there is no ranking." in said
    assert "mean distance of the hits 3.00 px" in said
    assert "inf" not in said
    assert "average precision" not in said
    values = json.loads(summary.read_text())
    assert values["f1"] == pytest.approx(0.4)
    ranking = ("average_precision", "best_f1", "best_threshold")
    assert [values[name] for name in ranking] == [None] * 3
