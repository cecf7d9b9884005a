# SPDX-License-Identifier: GPL-3.0-or-later
"""Training on arrays: it learns, it can be stopped and continued, and it says when it cannot."""

import copy
import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.simulated import DIAMETER, HASTY, PIXEL_SIZE, QUICK, draw, place, simulate, write_mrc
from safetensors.torch import save_file
from scipy.special import expit

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.errors import PupickError, UsageError
from scipion_pupick.engine.evaluation.evaluate import evaluate_picks
from scipion_pupick.engine.micrographs import Micrograph
from scipion_pupick.engine.networks.architectures import make_network
from scipion_pupick.engine.networks.scoring import make_scorer
from scipion_pupick.engine.networks.symmetry import is_symmetric
from scipion_pupick.engine.picking.detector import detect_peaks
from scipion_pupick.engine.settings import (
    Augmentation,
    OptimizerSettings,
    TrainSettings,
    make_settings,
)
from scipion_pupick.engine.training.checkpoint import load_progress, save_progress
from scipion_pupick.engine.training.data import hold_out, read_data
from scipion_pupick.engine.training.fit import (
    first_epochs,
    fit,
    usual_faintest,
    usual_steps,
    usual_tiles,
)
from scipion_pupick.engine.training.labels import Labels, _distinct
from scipion_pupick.engine.training.loop import Trainer, one_cycle
from scipion_pupick.engine.training.objectives import OBJECTIVE_FUNCTIONS
from scipion_pupick.engine.training.prior import (
    assumed_pi,
    fresh_network,
    prior_shift,
    start_scores,
    with_prior,
)
from scipion_pupick.engine.training.progress import Epoch, Progress, best_network, log_epoch
from scipion_pupick.engine.training.pu_loss import _mixed
from scipion_pupick.engine.training.regions import POSITIVE, TrainingImage, label_map
from scipion_pupick.engine.training.request import TrainRequest
from scipion_pupick.engine.training.start import Start
from scipion_pupick.engine.training.step import StepLoss
from scipion_pupick.engine.training.task import TrainingTask
from scipion_pupick.engine.training.validation import held_out_ap, validate
from scipion_pupick.engine.training.weight_averaging import choose_fraction, interpolate_weights

CPU = torch.device("cpu")
WIDTH = 24.0
PARTICLES = 14
NOWHERE = np.empty((0, 2))


def make_image(seed, labels=None, side=192, particles=PARTICLES, decoys=0):
    """A working image whose first `labels` particles are labelled; decoys are half as wide."""
    random = np.random.default_rng(seed)
    xy = place((side, side), particles + decoys, 1.25 * WIDTH, random)
    pixels = draw((side, side), xy[:particles], WIDTH, random)
    pixels += draw((side, side), xy[particles:], WIDTH / 2, random) if decoys else 0
    pixels = (pixels - np.median(pixels)).astype(np.float32)
    known = xy[:particles][:labels]
    return TrainingImage(pixels, label_map((side, side), known, 1.0, WIDTH / 2), known, NOWHERE), xy


def make_images(seeds, **options):
    return [make_image(seed, **options)[0] for seed in seeds]


def task_of(images, held_out, settings, start=None):
    return TrainingTask(images, held_out, PARTICLES, settings, CPU, start)


IMAGES = make_images([0, 1])
HELD_OUT = make_images([2])


@pytest.fixture(scope="module")
def trained():
    """What the quick settings reach, with a copy after each epoch."""
    settings = replace(QUICK, epochs=8)
    reached = []
    progress = fit(
        task_of(IMAGES, HELD_OUT, settings),
        after_epoch=lambda progress: reached.append(copy.deepcopy(progress)),
    )
    return settings, progress, reached


def true_ap(scorer, images):
    """Average precision with all particles labelled, by the evaluation of picks."""
    peaks = [detect_peaks(scorer, image.image, WIDTH / 2) for image in images]
    picks = {str(i): Coordinates(*found.xy.T, found.score) for i, found in enumerate(peaks)}
    known = {str(i): Coordinates.unscored(*image.positive.T) for i, image in enumerate(images)}
    return evaluate_picks(picks, known, 0.4 * WIDTH).curve.average_precision


def assert_same_state(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def assert_same_progress(one, other):
    for state in ("weights", "average", "best", "optimizer"):
        assert_same_state(getattr(one, state), getattr(other, state))
    assert repr(one.history) == repr(other.history)
    assert one.best_epoch == other.best_epoch


class _StopError(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("stop_after", [1, 2])
@pytest.mark.parametrize("autoencoder", [0.0, 0.1])
def test_stopped_training_continues_as_if_never_stopped(stop_after, autoencoder, tmp_path):
    settings = replace(HASTY, autoencoder=autoencoder)
    path = tmp_path / "checkpoint.safetensors"

    def save_and_stop(progress):
        save_progress(progress, "mark", path)
        if len(progress.history) == stop_after:
            raise _StopError

    with pytest.raises(_StopError):
        fit(task_of(IMAGES, HELD_OUT, settings), after_epoch=save_and_stop)
    epochs = []
    continued = fit(
        task_of(IMAGES, HELD_OUT, settings),
        progress=load_progress(path, "mark"),
        after_epoch=lambda progress: epochs.append(len(progress.history)),
    )
    assert epochs == list(range(stop_after + 1, settings.epochs + 1))
    assert_same_progress(continued, fit(task_of(IMAGES, HELD_OUT, settings)))


def test_finished_training_does_nothing_more(tmp_path):
    settings = replace(HASTY, epochs=1)
    save_progress(fit(task_of(IMAGES, [], settings)), "mark", tmp_path / "checkpoint.safetensors")
    progress = load_progress(tmp_path / "checkpoint.safetensors", "mark")

    def never(progress):
        raise AssertionError("another epoch was trained")

    again = fit(task_of(IMAGES, [], settings), progress=progress, after_epoch=never)
    assert_same_progress(again, progress)


def test_the_seed_decides_the_weights():
    settings = replace(HASTY, epochs=1)
    first, same, other = (
        fit(task_of(IMAGES, [], replace(settings, seed=seed))) for seed in (3, 3, 4)
    )
    assert_same_progress(first, same)
    assert any(not torch.equal(first.best[name], other.best[name]) for name in first.best)


@pytest.mark.slow
def test_it_learns_to_find_blobs(trained):
    settings, progress, _ = trained
    unseen = make_images([5, 6])
    scorer = make_scorer(best_network(progress, settings), CPU)
    assert true_ap(scorer, unseen) > 0.9
    untrained = make_scorer(make_network(settings.network).eval(), CPU)
    assert true_ap(untrained, unseen) < 0.7


@pytest.mark.slow
def test_it_learns_from_incomplete_labels():
    images = make_images([0, 1, 3], labels=4)
    progress = fit(task_of(images, [], QUICK))
    scorer = make_scorer(best_network(progress, QUICK), CPU)
    assert true_ap(scorer, make_images([5, 6])) > 0.9


@pytest.mark.slow
def test_the_held_out_ap_of_all_labels_is_the_true_one(trained):
    settings, _, reached = trained
    for progress in reached[:2]:
        scorer = make_scorer(best_network(progress, settings), CPU)
        images = make_images([5, 6])
        estimated = held_out_ap(scorer, images, PARTICLES, WIDTH)
        assert estimated == pytest.approx(true_ap(scorer, images), abs=0.05)


@pytest.mark.slow
def test_the_held_out_ap_allows_for_particles_without_a_label(trained):
    settings, progress, _ = trained
    scorer = make_scorer(best_network(progress, settings), CPU)
    some = make_images([5, 6], labels=5)
    assert true_ap(scorer, some) < 0.6
    assert held_out_ap(scorer, some, PARTICLES, WIDTH) > 0.7


@pytest.mark.slow
def test_the_best_epoch_is_one_of_the_second_half(trained):
    settings, progress, _ = trained
    held_out = [epoch.held_out_ap for epoch in progress.history]
    assert len(held_out) == settings.epochs
    assert progress.best_epoch == 5 + int(np.argmax(held_out[4:]))
    assert progress.best_ap == max(held_out[4:])


@pytest.mark.parametrize(
    ("held_out", "before", "best"),
    [
        ([0.9, 0.1, 0.5, 0.4], math.nan, 3),
        ([0.9, 0.1, 0.5, 0.5], 0.3, 3),
        ([0.1, 0.2, 0.3, 0.4], math.nan, 4),
        ([0.9, 0.1, 0.5, 0.4], 0.6, 0),
        ([0.9, 0.1, 0.4, 0.5, 0.3], math.nan, 4),
    ],
)
def test_a_lucky_epoch_at_a_high_learning_rate_is_not_chosen(held_out, before, best):
    settings = replace(HASTY, epochs=len(held_out), steps=1)
    scores = iter(held_out)
    trainer = Trainer(
        fresh_network(settings, 0.1),
        lambda model, random: StepLoss(
            sum(value.square().sum() for value in model.parameters()), (0.0, 0.0, 0.0), 1
        ),
        lambda network: next(scores),
        0.1,
        settings,
        CPU,
    )
    trainer.best_ap = before
    assert trainer.run(None, lambda progress: None).best_epoch == best


@pytest.mark.slow
def test_the_best_epoch_is_kept(trained):
    settings, progress, reached = trained
    best = reached[progress.best_epoch - 1]
    assert_same_state(progress.best, best.average)
    assert any(not torch.equal(progress.best[name], progress.average[name]) for name in best.best)
    network = best_network(progress, settings)
    assert not network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, best.average[f"network.{name}"])


@pytest.mark.parametrize("labels", [0, 9])
def test_with_few_labels_held_out_the_last_epoch_is_taken(labels):
    held_out = make_images([2], labels=labels) if labels else []
    progress = fit(task_of(IMAGES, held_out, HASTY))
    assert [math.isnan(epoch.held_out_ap) for epoch in progress.history] == [True] * HASTY.epochs
    assert progress.best_epoch == HASTY.epochs
    assert_same_state(progress.best, progress.average)


@pytest.mark.parametrize("objective", OBJECTIVE_FUNCTIONS)
@pytest.mark.parametrize("autoencoder", [0.0, 1e-3])
def test_every_objective_trains(objective, autoencoder):
    """The log has the autoencoder's error per pixel; the paper's weight is of its sum over 961."""
    settings = replace(QUICK, objective=objective, autoencoder=autoencoder, epochs=2, steps=6)
    history = fit(task_of(IMAGES, [], settings)).history
    for epoch in history:
        parts = (epoch.loss, epoch.classification, epoch.penalty, epoch.reconstruction)
        assert np.isfinite(parts).all()
        assert 0 < epoch.pi < 0.1
        assert epoch.regions > 0
        assert (epoch.reconstruction > 0) == (autoencoder > 0)
        whole = epoch.classification + epoch.penalty + 961 * autoencoder * epoch.reconstruction
        assert epoch.loss == pytest.approx(whole, rel=1e-3)
    assert history[1].loss < history[0].loss


def test_the_autoencoder_is_on_by_itself_with_few_labels_only():
    automatic = replace(HASTY, autoencoder=None, epochs=1)
    few_labels = task_of(make_images([0], labels=10), [], automatic)
    few = fit(few_labels)
    assert few.history[0].reconstruction > 0
    for same in ({"autoencoder_per_pixel": 1.0}, {"autoencoder": 1 / 961}):
        as_well = fit(replace(few_labels, settings=replace(automatic, **same)))
        assert as_well.history[0].loss == pytest.approx(few.history[0].loss, rel=1e-5)
    summed = fit(replace(few_labels, settings=replace(automatic, reconstruction="sum")))
    by_hand = fit(replace(few_labels, settings=replace(automatic, autoencoder=1.0)))
    assert_same_progress(summed, by_hand)
    many = replace(IMAGES[0], positive=np.tile(IMAGES[0].positive, (20, 1)))
    none = fit(task_of([many], [], automatic))
    assert none.history[0].reconstruction == 0


def test_the_recipe_of_the_paper_trains_as_the_paper_did():
    """U of all micrographs, even odds at first, Adam with a constant rate, no average."""
    labelled, unlabelled = make_images([0], labels=6)[0], make_images([1, 2], labels=0)
    recipe = make_settings(TrainSettings, {"diameter": DIAMETER, "recipe": "paper"}).training
    settings = replace(recipe, training_radius=1.0, epochs=2, steps=3)
    task = task_of([labelled, *unlabelled], [], settings)
    disc = np.pi * settings.training_radius**2
    pi = (3 * PARTICLES - 6) * disc / (3 * 192**2 - 6 * disc)
    assert task.pi == pytest.approx(pi)
    shift = math.log(3 * PARTICLES / (3 * PARTICLES - 6))
    assert prior_shift(task.images, PARTICLES, settings) == pytest.approx(shift)
    assert fresh_network(settings, pi).classifier.bias.item() == 0
    reached = []
    progress = fit(task, after_epoch=lambda progress: reached.append(copy.deepcopy(progress)))
    assert_same_state(progress.best, progress.weights)
    assert [epoch.regions for epoch in progress.history] == [3 * 256] * 2
    # a step of Adam is at most a little longer than its rate, and as long late as early
    name = "network.features.0.weight"
    moved = (reached[1].weights[name] - reached[0].weights[name]).abs().max().item()
    assert 1.5 * 2e-4 < moved < 3.3 * 2e-4


@pytest.mark.parametrize("negative", [{}, {"m": Coordinates.unscored([9.0], [9.0])}])
def test_the_weight_of_negatives_makes_another_training_where_there_are_some(negative):
    """What version 0.1 has begun with negatives goes on with the weight that they had there."""

    def request(**training):
        settings = TrainSettings(
            DIAMETER, training=OptimizerSettings(objective="ge-kl", **training)
        )
        labels = Labels({"m": Coordinates.unscored([50.0], [50.0])}, negative)
        return TrainRequest([], labels, Start(None, settings))

    requests = [request(), request(negatives_weight="class"), request(negatives_weight="pooled")]
    fingerprints = {each.fingerprint() for each in requests}
    assert len(fingerprints) == (3 if negative else 1)
    old = request().of_version_01()
    as_clear = Augmentation(faintest=1.0)
    of_then = request(negatives_weight="class", mosaics=8, tiles=8, augmentation=as_clear)
    assert old.fingerprint() == of_then.fingerprint()
    assert old.start.settings.training.negatives_weight == "class"


@pytest.mark.parametrize("negative", [{}, {"m": Coordinates.unscored([9.0], [9.0])}])
def test_fainter_patches_make_another_training_where_there_may_be_some(negative):
    def fingerprint(faintest):
        changes = Augmentation(faintest=faintest)
        settings = TrainSettings(DIAMETER, training=OptimizerSettings(augmentation=changes))
        labels = Labels({"m": Coordinates.unscored([50.0], [50.0])}, negative)
        return TrainRequest([], labels, Start(None, settings)).fingerprint()

    as_suits, clear, half = map(fingerprint, (None, 1.0, 0.5))
    assert clear != half
    assert (as_suits == clear) == (not negative)


@pytest.mark.slow
def test_labelled_negatives_part_particles_from_their_like():
    images, places = zip(*[make_image(seed, particles=7, decoys=7) for seed in (0, 1, 3)])
    excluded = [replace(image, negative=xy[7:]) for image, xy in zip(images, places)]
    settings = replace(QUICK, objective="ge-kl", negatives_weight="class")

    def scores(training):
        scorer = make_scorer(best_network(fit(task_of(training, [], settings)), settings), CPU)
        maps = [scorer(image.image[None])[0] for image in images]
        cells = [np.rint(xy / 4).astype(int) for xy in places]
        each = np.array([scores[xy[:, 1], xy[:, 0]] for scores, xy in zip(maps, cells)])
        return each[:, :7], each[:, 7:]

    particles, decoys = scores(excluded)
    assert particles.min() > decoys.max()
    unaware_particles, unaware_decoys = scores(images)
    gap = particles.mean() - decoys.mean()
    assert gap > unaware_particles.mean() - unaware_decoys.mean() + 1


@pytest.mark.slow
def test_training_can_start_from_a_network(trained):
    settings, progress, _ = trained
    start = best_network(progress, settings)
    before = copy.deepcopy(start.state_dict())
    gentle = replace(HASTY, epochs=1, learning_rate=1e-5)
    first = fit(task_of(IMAGES, HELD_OUT, gentle, start))
    assert first.history[0].held_out_ap > 0.9
    assert_same_state(start.state_dict(), before)
    assert not torch.equal(first.weights["network.classifier.weight"], before["classifier.weight"])


@pytest.mark.slow
def test_pi_and_the_scores_to_start_with_are_of_the_micrographs_with_labels(trained):
    settings, progress, _ = trained
    images = make_images([0], labels=6) + make_images([1, 2], labels=0)
    disc, particle = (np.pi * radius**2 for radius in (QUICK.training_radius, WIDTH / 2))
    pi = (PARTICLES - 6) * disc / (192**2 - 6 * particle)
    assert assumed_pi(images, PARTICLES, QUICK) == pytest.approx(pi)
    shift = math.log(PARTICLES / (PARTICLES - 6))
    assert prior_shift(images, PARTICLES, QUICK) == pytest.approx(shift)
    network = best_network(progress, settings)
    scorer = make_scorer(with_prior(network, start_scores(network, images, CPU), pi), CPU)
    assert expit(scorer(images[0].image[None])).mean() == pytest.approx(pi, rel=1e-4)


@pytest.mark.slow
def test_the_answers_of_the_start_hold_a_network_that_has_one_label(trained):
    settings, progress, _ = trained
    start = best_network(progress, settings)
    one_label = make_images([0], labels=1) + make_images([1], labels=0)
    pi = assumed_pi(one_label, PARTICLES, QUICK)
    scores = start_scores(start, one_label, CPU)
    scorer = make_scorer(with_prior(start, scores, pi), CPU)
    known = expit(scorer(IMAGES[1].image[None]))
    distances = []
    for weight in (None, 0.0):
        settings = replace(QUICK, epochs=8, learning_rate=5e-3, distillation=weight)
        reached = fit(task_of(one_label, [], settings, start))
        scorer = make_scorer(best_network(reached, settings), CPU)
        distances.append(np.abs(expit(scorer(IMAGES[1].image[None])) - known).mean())
    held, free = distances
    assert held < free / 1.5


@pytest.mark.slow
def test_the_answers_of_the_start_weigh_by_themselves_with_few_labels_only(trained):
    settings, progress, _ = trained
    start = best_network(progress, settings)
    short = replace(HASTY, epochs=1)

    def first_epoch(images, **changes):
        return fit(task_of(images, [], replace(short, **changes), start)).history[0]

    few = make_images([0], labels=5)
    held = first_epoch(few)
    assert repr(held) == repr(first_epoch(few, distillation=1.0))
    assert held.penalty > first_epoch(few, distillation=0.0).penalty
    assert held.loss == pytest.approx(held.classification + held.penalty, rel=1e-3)
    many = [replace(few[0], positive=np.tile(few[0].positive, (51, 1)))]
    assert repr(first_epoch(many)) == repr(first_epoch(many, distillation=0.0))


@pytest.mark.slow
def test_held_out_labels_choose_the_share_of_what_training_found(trained):
    settings, progress, _ = trained
    good = best_network(progress, settings)
    spoiled = copy.deepcopy(good)
    with torch.no_grad():
        spoiled.classifier.weight.neg_()

    def validate_average(network):
        return validate(network, task_of(IMAGES, HELD_OUT, settings))

    assert validate_average(spoiled) < validate_average(good) == 1
    assert choose_fraction(spoiled, good, 10_000, validate_average) == (0.0, 1.0)
    assert choose_fraction(good, spoiled, 4, validate_average) == (1.0, 1.0)
    assert_same_state(interpolate_weights(spoiled, good, 0.0).state_dict(), good.state_dict())
    assert_same_state(interpolate_weights(good, spoiled, 1.0).state_dict(), good.state_dict())


@pytest.mark.parametrize(("better", "chosen"), [(0.019, 0.2), (0.021, 1.0), (math.nan, 0.2)])
def test_a_share_that_is_hardly_better_is_not_chosen(better, chosen):
    start, network = make_network("conv3").eval(), make_network("conv3").eval()
    with torch.no_grad():
        start.classifier.bias[:], network.classifier.bias[:] = 0.0, 1.0

    def validate_average(average):
        share = average.classifier.bias.item()
        return 0.5 + (better if share == 1 else 0 if share == pytest.approx(0.2) else -0.1)

    share, precision = choose_fraction(network, start, 4, validate_average)
    assert share == pytest.approx(chosen)
    assert precision == pytest.approx(0.5 + (better if chosen == 1 else 0))


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_symmetric_network_stays_so_and_another_is_free(symmetric):
    settings = replace(HASTY, network="resnet8", epochs=2, learning_rate=3e-3)
    start = make_network("resnet8").eval()
    if not symmetric:
        with torch.no_grad():
            start.features[0].weight[0] *= 1.1
    reached = best_network(fit(task_of(IMAGES, [], settings, start)), settings)
    assert is_symmetric(reached) == symmetric
    moved = (reached.features[0].weight - start.features[0].weight).abs().flatten(1).amax(1)
    assert moved.min() > 1e-4


def test_networks_are_averaged_weight_by_weight():
    torch.manual_seed(0)
    start, network = make_network("conv3").eval(), make_network("conv3").eval()
    before = copy.deepcopy(network.state_dict())
    blended = interpolate_weights(network, start, 0.2).state_dict()
    for name, old in start.state_dict().items():
        if old.is_floating_point():
            torch.testing.assert_close(blended[name], 0.2 * before[name] + 0.8 * old)
    assert_same_state(network.state_dict(), before)


@pytest.mark.parametrize(("labels", "share"), [(4, 1 / 5), (64, 1 / 2), (576, 3 / 4)])
def test_few_labels_leave_the_network_near_its_start(labels, share):
    start, network = make_network("conv3"), make_network("conv3")
    chosen, precision = choose_fraction(network, start, labels, lambda average: math.nan)
    assert chosen == pytest.approx(share)
    assert math.isnan(precision)


def test_few_labels_that_adjust_a_network_take_half_as_many_batches():
    assert [usual_steps(n, True) for n in (1, 100, 250, 251, 1000)] == [25, 25, 25, 50, 50]
    assert [usual_steps(n, False) for n in (1, 250, 251)] == [50, 50, 50]
    assert [usual_tiles(n, True) for n in (1, 100, 250, 251, 1000)] == [4, 4, 4, 8, 8]
    assert [usual_tiles(n, False) for n in (1, 250, 251)] == [8, 8, 8]
    assert [first_epochs(n, True) for n in (1, 250, 251)] == [2, 2, 3]
    assert first_epochs(1, False) == 3


def test_many_picks_with_rejected_ones_are_made_fainter_where_they_adjust_a_network():
    assert [usual_faintest(n, 9, True) for n in (1, 250, 251, 1000)] == [1.0, 1.0, 0.5, 0.5]
    assert usual_faintest(1000, 0, True) == 1.0
    assert usual_faintest(1000, 9, False) == 1.0


@pytest.mark.parametrize(
    ("precision", "end"),
    [(math.nan, "reconstruction 0)"), (0.75, ", held-out average precision 0.750")],
)
def test_the_log_tells_of_held_out_labels_only_where_there_are_any(precision, end, caplog):
    caplog.set_level(logging.INFO)
    epoch = Epoch(1, 0.5, 0.3, 0.2, 0.0, 0.01, 100, precision)
    log_epoch(Progress({}, {}, {}, {}, (epoch,), 1, precision))
    assert caplog.messages[0].startswith("epoch 1: loss 0.5000 (labelled 0.3000")
    assert caplog.messages[0].endswith(end)


def test_an_objective_that_diverges_is_reported():
    with pytest.raises(PupickError, match="epoch 1.*[Ll]earning rate"):
        fit(task_of(IMAGES, [], replace(HASTY, learning_rate=1e38, steps=4)))


@pytest.mark.parametrize("field", ["network", "objective"])
def test_unknown_names_are_refused(field):
    with pytest.raises(UsageError, match="'other'.*choose"):
        fit(task_of(IMAGES, [], replace(HASTY, **{field: "other"})))


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("epochs", 0, "0"),
        ("steps", -1, "-1"),
        ("tiles", 0, "0"),
        ("mosaics", 0, "0"),
        ("learning_rate", math.nan, "nan"),
        ("training_radius", 0.0, "0 px"),
        ("seed", -1, "-1"),
        ("seed", 2**63, "9223372036854775808"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, value, shown):
    with pytest.raises(UsageError, match=f"{name} is {shown}: "):
        replace(HASTY, **{name: value})


def test_the_learning_rate_rises_and_falls_to_zero():
    rate = np.array([one_cycle(fraction) for fraction in np.linspace(0, 1, 1001)])
    assert 0 < rate[0] < 0.02
    assert rate.max() == pytest.approx(1)
    assert (np.diff(rate[:100]) > 0).all()
    assert (np.diff(rate[101:]) < 0).all()
    assert rate[-1] == pytest.approx(0, abs=1e-12)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_progress(fit(task_of(IMAGES, [], replace(HASTY, epochs=1))), "one", path)
    with pytest.raises(UsageError, match="allow to overwrite") as caught:
        load_progress(path, "another")
    assert caught.value.settings == ("output", "overwrite")


def test_a_checkpoint_without_its_fingerprint_is_damaged(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_file({}, path, {"progress": '{"x": 1}'})
    with pytest.raises(UsageError, match=r"checkpoint.safetensors is damaged.*fingerprint"):
        load_progress(path, "one")


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_a_damaged_checkpoint_is_refused(keep, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_progress(fit(task_of(IMAGES, [], replace(HASTY, epochs=1))), "one", path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UsageError, match=r"checkpoint.safetensors is damaged.*delete"):
        load_progress(path, "one")


def test_without_a_checkpoint_there_is_no_progress(tmp_path):
    assert load_progress(tmp_path / "checkpoint.safetensors", "one") is None


def labelled_image(count):
    xy = np.zeros((count, 2))
    return TrainingImage(np.zeros((4, 4), np.float32), np.zeros((4, 4), np.uint8), xy, NOWHERE)


@pytest.mark.parametrize("seed", range(5))
def test_held_out_images_have_their_share_of_the_labels(seed):
    images = [labelled_image(count) for count in (0, 12, 30, 7, 0, 21, 9, 21)]
    training, held_out = hold_out(images, 0.2, seed)
    assert sorted(map(id, [*training, *held_out])) == sorted(map(id, images))
    assert all(len(image.positive) for image in held_out)
    counts = [len(image.positive) for image in held_out]
    assert sum(counts) >= 20
    assert sum(counts[:-1]) < 20
    again = hold_out(images, 0.2, seed)[1]
    assert [id(image) for image in again] == [id(image) for image in held_out]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("counts", "least", "most"),
    [
        ((500, 12), 12, 12),
        ((1000, *[20] * 9), 180, 180),
        ((40, 862), 40, 40),
        ((300, 300), 300, 300),
        ((333, 333, 333), 333, 333),
        ((500, 5), 0, 0),
    ],
)
def test_most_labels_are_never_held_out(counts, least, most, seed):
    images = [labelled_image(count) for count in counts]
    _, held_out = hold_out(images, None, seed)
    assert least <= sum(len(image.positive) for image in held_out) <= most


def test_the_seed_chooses_what_is_held_out():
    images = [labelled_image(10) for _ in range(20)]
    chosen = {frozenset(map(id, hold_out(images, 0.2, seed)[1])) for seed in range(5)}
    assert len(chosen) > 1


@pytest.mark.parametrize(
    ("counts", "share"), [((25, 24), 0.2), ((100,), 0.2), ((0, 100, 0), 0.5), ((50, 50), 0.0)]
)
def test_nothing_is_held_out_of_too_little(counts, share):
    images = [labelled_image(count) for count in counts]
    training, held_out = hold_out(images, share, 0)
    assert len(training) == len(images)
    assert held_out == ()


def test_one_labelled_image_always_stays_to_train_on():
    training, held_out = hold_out([labelled_image(50), labelled_image(50)], 0.99, 0)
    assert (len(training), len(held_out)) == (1, 1)


def read(micrographs, labelled, excluded=None, normalisation="micrograph"):
    settings = TrainSettings(DIAMETER, normalisation=normalisation, held_out=0.0)
    data = read_data(micrographs, Labels(labelled, excluded or {}), settings)
    return data.images, data.mixture, data.failures


@pytest.fixture
def micrographs(tmp_path):
    """Two micrographs of different pixel sizes with all their particles, px."""
    sizes = {"a": PIXEL_SIZE, "b": PIXEL_SIZE / 2}
    found, labelled = [], {}
    for seed, (name, pixel_size) in enumerate(sizes.items()):
        path = tmp_path / f"{name}.mrc"
        side = int(128 * PIXEL_SIZE / pixel_size)
        xy = simulate(path, seed, side=side, pixel_size=pixel_size, particles=6)
        labelled[name] = Coordinates.unscored(*xy.T)
        found.append(Micrograph(path, name))
    return found, labelled


def test_labels_lie_on_the_particles_whatever_the_pixel_size(micrographs):
    images, mixture, failures = read(*micrographs)
    assert mixture is None
    assert failures == {}
    for image in images:
        assert image.image.shape == (128, 128)
        rows, columns = np.nonzero(image.labels == POSITIVE)
        # the discs are dark, and the background has mean 0 and deviation 1
        assert image.image[rows, columns].mean() < -1
        centre = np.rint(image.positive).astype(int)
        assert (image.labels[centre[:, 1], centre[:, 0]] == POSITIVE).all()
    np.testing.assert_allclose(
        images[1].positive * 2, np.c_[micrographs[1]["b"].x, micrographs[1]["b"].y]
    )


def test_particles_that_are_given_twice_count_once(micrographs, caplog):
    found, labelled = micrographs
    extracted = {
        name: Coordinates.unscored(np.append(c.x, c.x + 0.1 * side), np.append(c.y, c.y))
        for (name, c), side in zip(labelled.items(), (24.0, 48.0))
    }
    images, _, _ = read(found, extracted)
    assert [len(image.positive) for image in images] == [6, 6]
    assert "6 of 12 picks are of particles that are picked already" in caplog.text
    apart = {"a": Coordinates.unscored([60.0, 60.0 + 0.3 * 24], [60.0, 60.0])}
    assert len(read(found, apart)[0][0].positive) == 2


def test_excluded_places_are_read_like_labels(micrographs):
    found, labelled = micrographs
    images, _, _ = read(found, {"a": labelled["a"]}, {"b": labelled["b"]})
    assert [len(image.positive) for image in images] == [6, 0]
    assert [len(image.negative) for image in images] == [0, 6]


def test_labels_outside_the_micrograph_are_left_out(micrographs, caplog):
    found, labelled = micrographs
    x = np.array([-0.4, 127.4, -0.6, 127.6, 50.0, 50.0])
    y = np.array([-0.4, 127.4, 50.0, 50.0, -0.6, 1e6])
    images, _, _ = read(found[:1], {"a": Coordinates.unscored(x, y)})
    assert len(images[0].positive) == 2
    assert "a: 4 of 6 picks lie outside the image of 128 x 128 px" in caplog.text
    with pytest.raises(PupickError, match="outside"):
        read(found[:1], {"a": Coordinates.unscored([500.0], [3.0])})


def test_a_micrograph_that_cannot_be_used_is_left_out_with_its_reason(
    micrographs, tmp_path, caplog
):
    found, labelled = micrographs
    write_mrc(tmp_path / "flat.mrc", np.ones((128, 128), np.float32))
    bad = [Micrograph(tmp_path / "flat.mrc", "flat"), Micrograph(tmp_path / "none.mrc", "none")]
    images, _, failures = read([found[0], *bad, found[1]], labelled)
    assert len(images) == 2
    assert set(failures) == {"flat", "none"}
    assert "no such file" in failures["none"]
    assert caplog.text.count("flat.mrc") == 1
    with pytest.raises(PupickError, match=r"none.mrc: no such file"):
        read(bad[1:], {"none": labelled["a"]})


def test_a_joint_normalisation_shares_one_mixture(micrographs):
    images, mixture, _ = read(*micrographs, normalisation="joint")
    assert mixture is not None
    assert len(images) == 2
    _, none, _ = read(*micrographs, normalisation="affine")
    assert none is None


def test_a_joint_normalisation_leaves_a_flat_image_out(micrographs, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    found, labelled = micrographs
    write_mrc(tmp_path / "flat.mrc", np.zeros((128, 128), np.float32))
    flat = Micrograph(tmp_path / "flat.mrc", "flat")
    images, mixture, failures = read([*found, flat], labelled, normalisation="joint")
    assert len(images) == 2
    assert mixture is not None
    assert set(failures) == {"flat"}


def test_doubted_negatives_are_a_tenth_of_what_is_unlabelled():
    """So that a few wrong ones among them are outweighed, as particles are that nobody picked."""
    unlabeled, negative = torch.zeros(1000), torch.tensor([1.0, 2.0, 3.0])
    mixed = _mixed(unlabeled, negative, np.random.default_rng(0))
    assert len(mixed) == 1000
    assert (mixed > 0).sum() == 100
    assert mixed.sum() / 100 == pytest.approx(2.0, abs=0.3)


def test_of_a_row_of_near_labels_each_second_one_counts():
    row = np.column_stack([np.arange(6) * 4.0, np.zeros(6)])
    assert _distinct(row, 4.8, "a")[:, 0].tolist() == [0.0, 8.0, 16.0]
    assert len(_distinct(row[:0], 4.8, "a")) == 0
