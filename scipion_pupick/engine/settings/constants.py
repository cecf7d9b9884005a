# SPDX-License-Identifier: GPL-3.0-or-later
"""Choices and numbers that settings share with what they set."""

from __future__ import annotations

from typing import Mapping

GENERAL = "general"
# that of version 0.1, for what was begun with it
EARLIER_GENERAL = "general-0.1"
WORKING_DIAMETER_PX = 24.0
STRIDE = 4  # px of the working image from one score to the next, in every network
UNITS = 32  # filters of a network's first layer
LEAST_SCORE = -8.0
# picks whose correction is asked for
SUGGESTED_PICKS = 50
# particles overlap in projection, and diameters are guesses
MIN_DISTANCE_DIAMETERS = 0.4
# so near to a particle, a pick is right
TOLERANCE_DIAMETERS = 0.4
# of the probabilities of contamination at a pick
MOST_CONTAMINATION = 0.5
MOST_SEEDS = 2**63
# spread over those given, to which the general model is fitted
MICROGRAPHS_FITTED = 12

NETWORKS: Mapping[str, str] = {
    "conv3": "the paper's, smallest and fastest",
    "resnet8": "as large as Topaz's",
    "resnet16": "sees most of the surroundings",
    "resnet8-fine": "the general model's: resnet8 that also tells near particles apart and sees "
    "contamination",
}
OBJECTIVES: Mapping[str, str] = {
    "pn": "takes all that was not picked for no particle",
    "upu": "positive and unlabelled regions, without bias",
    "nnpu": "the same, kept from falling below 0",
    "ge-kl": "expects a number of particles, by a divergence",
    "ge-binomial-kl": "the same, by a divergence of counts",
    "ge-binomial": "expects a number of particles, the paper's way",
}
WITH_SLACK = ("ge-kl", "ge-binomial-kl", "ge-binomial")
SAMPLINGS: Mapping[str, str] = {
    "tiles": "tiles of the micrographs with picks",
    "regions": "single regions of all micrographs, the paper's way",
}
NEGATIVES_WEIGHTS: Mapping[str, str] = {
    "class": "as all picks together",
    "pooled": "each as one pick, the paper's way",
    "doubted": "together a tenth of the regions without picks, since some may be wrong",
}
RECIPES: Mapping[str, str] = {
    "pupick": "what finds most particles",
    "paper": "what the method's paper did, from random weights",
}
SCHEDULES: Mapping[str, str] = {
    "one-cycle": "rises in a tenth of the training, then falls to zero",
    "constant": "stays as it is",
}
FIRST_SCORES: Mapping[str, str] = {
    "prior": "the log-odds of the expected share of positives",
    "even": "even odds, the paper's way",
}
RECONSTRUCTION_ERRORS: Mapping[str, str] = {
    "pixel": "its mean over pixels",
    "sum": "its sum over pixels, the paper's way",
}
NORMALISATIONS: Mapping[str, str] = {
    "micrograph": "a mixture of two Gaussians for each, whose background gets mean 0, deviation 1",
    "joint": "one mixture for the set",
    "affine": "mean 0 and deviation 1 of all pixels",
}
CHECKS: Mapping[str, str] = {
    "stop": "training stops, and says what would mend it",
    "warn": "a warning, and training goes on",
    "off": "the picks are not looked at",
}
RULES: Mapping[str, str] = {
    "union": "those that any picker found",
    "intersection": "those that all pickers found",
    "minus": "those that the first picker found and no other",
    "vote": "those that several pickers found",
}
DONE: Mapping[str, str] = {
    "none": "on none",
    "changed": "on those where a pick was removed or added",
    "all": "on all that the corrected picks name",
}
ANSWERS: Mapping[str, str] = {"no": "as they are", "yes": "swapped"}
MIRRORS: Mapping[str, str] = {
    "none": "not at all",
    "x": "left and right",
    "y": "top and bottom",
    "xy": "both, which is half a turn",
}
