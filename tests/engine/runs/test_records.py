# SPDX-License-Identifier: GPL-3.0-or-later
"""Records and kept files, whatever is in them: read, refused with a sentence, or made anew."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.errors import PupickError, UsageError
from scipion_pupick.engine.files.json_files import read_json, write_json
from scipion_pupick.engine.files.tables import read_table
from scipion_pupick.engine.networks.model_file import read_model_file
from scipion_pupick.engine.picking.peaks_file import MicrographPeaks, load_peaks, save_peaks
from scipion_pupick.engine.runs.lists import read_failures, read_micrographs
from scipion_pupick.engine.runs.pick_run import read_pick_run
from scipion_pupick.engine.runs.training_log import read_training_log
from scipion_pupick.engine.training.checkpoint import load_progress

MODEL = Path(__file__).parents[2] / "fixtures" / "model.safetensors"
fuzzed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
KEYS = ("threshold", "diameter", "edge", "training", "model", "fingerprints", "seconds")


def damaged(good):
    """Texts that a file may hold after whatever happened to it."""
    flips = st.tuples(st.integers(0, max(0, len(good) - 1)), st.binary(min_size=1, max_size=4))
    flipped = flips.map(lambda at: good[: at[0]] + at[1] + good[at[0] + len(at[1]) :])
    return st.one_of(st.binary(max_size=200), flipped, flips.map(lambda at: good[: at[0]]))


def refused(read, words):
    """What comes out; None where it is refused with these words."""
    text = words
    try:
        return read()
    except PupickError as error:
        text = str(error)
    finally:
        assert words in text
    return None


@fuzzed
@given(data=st.data())
def test_tables_of_any_bytes(data, tmp_path):
    good = b"micrograph\tfile\tpixel_size\na.mrc\t/in/a.mrc\t1.5\n"
    for name in ("micrographs.tsv", "failed.tsv", "training.tsv"):
        (tmp_path / name).write_bytes(data.draw(damaged(good)))
    for read, path in (
        (read_micrographs, tmp_path),
        (read_failures, tmp_path / "failed.tsv"),
        (read_training_log, tmp_path / "training.tsv"),
        (read_table, tmp_path / "training.tsv"),
    ):
        refused(lambda read=read, path=path: read(path), "damaged")


@fuzzed
@given(record=st.dictionaries(st.sampled_from(KEYS), JSON))
def test_a_record_of_any_values(record, tmp_path):
    write_json(tmp_path / "pick.json", record)
    (tmp_path / "micrographs.tsv").write_text("micrograph\tfile\tpixel_size\n", encoding="utf-8")
    run = refused(lambda: read_pick_run(tmp_path), "damaged")
    if run is not None:
        assert isinstance((run.score_uncertainty, run.border, run.model), tuple)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "[]", "null", "{", "\ud800", ""])
def test_a_record_that_is_no_object(text, tmp_path):
    (tmp_path / "pick.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(PupickError, match="damaged"):
        read_json(tmp_path / "pick.json")


@fuzzed
@given(data=st.data())
def test_a_model_of_any_bytes(data, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(data.draw(damaged(MODEL.read_bytes())))
    refused(lambda: read_model_file(tmp_path / "m.safetensors"), "m.safetensors")


@fuzzed
@given(data=st.data())
def test_kept_peaks_of_any_bytes(data, tmp_path):
    xy = np.array([1.0, 2.0])
    save_peaks(MicrographPeaks(Coordinates(xy, xy, xy), (9, 9), 1.0, "f"), tmp_path / "good")
    (tmp_path / "bad").write_bytes(data.draw(damaged((tmp_path / "good").read_bytes())))
    found = load_peaks(tmp_path / "bad")
    assert found is None or np.isfinite(found.coordinates.xy).all()


@fuzzed
@given(data=st.data())
def test_a_checkpoint_of_any_bytes(data, tmp_path):
    shutil.copy(MODEL, tmp_path / "c")
    (tmp_path / "c").write_bytes(data.draw(damaged(MODEL.read_bytes())))
    with pytest.raises(UsageError, match=r"damaged|other micrographs"):
        load_progress(tmp_path / "c", "f")
