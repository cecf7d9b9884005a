# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and choices that several forms of the plugin share."""

PUPICK_PYTHON = "PUPICK_PYTHON"
ENVIRONMENT = "pupickenv"

SCORE = "_pupickScore"
# of micrographs: share free of contamination, picks dropped because of it, file of its mask
USABLE = "_pupickUsable"
ON_CONTAMINATION = "_pupickOnContamination"
MASK = "_pupickMask"
FIGURE_OF_MERIT = "_rlnAutopickFigureOfMerit"
CLASS_NUMBER = "_rlnClassNumber"
PSI = "_rlnAnglePsi"
# of coordinates: whether people have removed and added some
CORRECTED = "_pupickCorrected"

# a box that leaves room round the particle, as extraction programs advise
BOX_PER_DIAMETER = 1.5

DIAMETER_ANGSTROM, DIAMETER_PX, RADIUS_PX = range(3)
DIAMETER_UNITS = ("diameter in Å", "diameter in px", "radius in px")

START_GENERAL, START_PREVIOUS, START_SCRATCH = range(3)
STARTS = ("general model", "previous model", "from scratch")

MODEL_TRAINED, MODEL_GENERAL, MODEL_FILE = range(3)
MODELS = ("trained in this project", "general model", "file")
GENERAL = "general"

THRESHOLD_OF_MODEL, THRESHOLD_VALUE = range(2)
PICK_THRESHOLDS = ("of the model", "score")

BY_SCORE, BY_MEAN_NUMBER, BY_MOST, BY_PRECISION = range(4)
THRESHOLD_MODES = (
    "score",
    "particles per micrograph, on average",
    "best particles of each micrograph",
    "estimated precision",
)
