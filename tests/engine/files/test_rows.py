# SPDX-License-Identifier: GPL-3.0-or-later
"""Regular lines read at once, against splitting each."""

import numpy as np
import pytest

from scipion_pupick.engine.files.rows import RegularLines

WORDS = [
    "1",
    "-2.5",
    "+.5",
    "007",
    "1e-5",
    "nan",
    "inf",
    "1_0",
    "-",
    ".",
    "0.1",
    "12345678901234567",
]


def test_numbers_and_texts_are_those_of_float_and_split():
    random = np.random.default_rng(0)
    numbers = [f"{value:.9g}" for value in random.normal(0, 1e4, 500)]
    words = [*WORDS, *numbers]
    rows = [(word, f"m/{i // 7}.mrc", words[-1 - i]) for i, word in enumerate(words)]
    text = "".join(f" {a}\t{b}  {c} \n" for a, b, c in rows)
    found = RegularLines.between_blanks(text, 3, 5)
    assert (len(found), found.line(2)) == (len(rows), 7)
    for column in range(3):
        assert found.texts(column) == [row[column] for row in rows]
    plain = [word for word in words if word not in ("1_0", "-", ".")]
    is_plain = np.isin(words, plain)
    np.testing.assert_array_equal(found.numbers(0)[is_plain], [float(word) for word in plain])
    assert np.isnan(found.numbers(0)[~is_plain]).all()


@pytest.mark.parametrize(
    "text", ["", "1 2 3\n4 5\n6 7 8 9\n", "1 2\n\n3 4 5 6\n", "1 2 é\n", "a b\rc\n"]
)
def test_irregular_lines_are_left_to_others(text):
    assert RegularLines.between_blanks(text, 3, 1) is None


def test_fields_may_be_empty_but_no_row():
    found = RegularLines.between_marks("a,1,\nb,,2\n", 3, 1, ",")
    assert found.texts(2) == ["", "2"]
    np.testing.assert_array_equal(found.numbers(1), [1, np.nan])
    assert RegularLines.between_marks("a,1,2\n,,\n", 3, 1, ",") is None
