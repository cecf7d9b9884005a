# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick-topaz`: its options, the images it is given, `preprocess` and `normalize`."""

import json
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from helpers.topaz_files import PIXEL_SIZE, write_mrc

from relion_external.topaz_command.arguments import make_parser
from relion_external.topaz_command.cli import main
from relion_external.topaz_command.images import read_image_list
from relion_external.topaz_command.tables import WRITERS
from scipion_pupick.engine import Coordinates, read_picks
from scipion_pupick.engine.errors import UsageError

# every option of Topaz 0.3.20 with a value that it takes
TRAIN = (
    "--device 1 --num-workers 2 --num-threads 3 --train-images a --train-targets b "
    "--test-images c --test-targets d --format coord --image-ext .mrc --k-fold 5 --fold 1 "
    "--cross-validation-seed 3 --num-particles 100 --pi 0.1 --radius 2 --method PN --slack 2 "
    "--autoencoder 1 --l2 0.1 --learning-rate 0.1 --natural --minibatch-size 12 "
    "--minibatch-balance 0.1 --epoch-size 50 --num-epochs 3 --preload auto --pretrained "
    "--no-pretrained --model resnet8 --units 64 --dropout 0.1 --bn off --pooling max "
    "--unit-scaling 1 --ngf 16 --patch-size 50 --patch-padding 20 --save-prefix p --output o "
    "--test-batch-size 3 --describe"
)
EXTRACT = (
    "--model m --radius 12 --threshold -3 --down-scale 2 --up-scale 4 --num-workers -1 "
    "--num-threads 2 --patch-size 100 --batch-size 2 --assignment-radius 3 --min-radius 2 "
    "--max-radius 20 --step-radius 3 --targets t --only-validate --device -1 --output o "
    "--per-micrograph --suffix _a --format star --dims 2 --verbose a.mrc b.mrc"
)
PREPROCESS = (
    "--scale 4 --affine --sample 5 --niters 50 --alpha 800 --beta 2 --metadata --device -1 "
    "--num-workers 2 --num-threads 2 --destdir d --format mrc --verbose a.mrc b.mrc"
)


@pytest.mark.parametrize(
    ("command", "arguments", "ignored"),
    [
        (
            "train",
            TRAIN,
            "--num-workers --format --image-ext --k-fold --fold --cross-validation-seed "
            "--autoencoder --l2 --learning-rate --natural --minibatch-size --minibatch-balance "
            "--epoch-size --preload --units --dropout --bn --pooling --unit-scaling --ngf "
            "--patch-size --patch-padding --test-batch-size",
        ),
        (
            "extract",
            EXTRACT,
            "--num-workers --patch-size --batch-size --assignment-radius --min-radius "
            "--max-radius --step-radius --targets --only-validate --dims",
        ),
        (
            "preprocess",
            PREPROCESS,
            "--sample --niters --alpha --beta --device --num-workers",
        ),
        ("normalize", PREPROCESS, "--sample --niters --alpha --beta --device --num-workers"),
    ],
)  # fmt: skip
def test_every_option_of_topaz_is_taken(command, arguments, ignored):
    options = make_parser().parse_args([command, *arguments.split()])
    assert options.ignored == ignored.split()
    assert options.command == command


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            "train -n 60 -r 1 -d 2 -j 3 -k 5 -m m -s 96 -p 48 -o o --train-images a "
            "--train-targets b --save-prefix c",
            {"num_particles": 60, "radius": 1, "device": 2, "num_threads": 3, "model": "m",
             "output": "o", "ignored": ["-k", "-s", "-p"]},
        ),
        (
            "extract -t -6 -r 5 -d -1 -x 4 -s 2 -m m -p 0 -j 1 -v -o o a.mrc",
            {"threshold": -6, "radius": 5, "device": -1, "up_scale": 4, "down_scale": 2,
             "model": "m", "num_threads": 1, "verbose": True, "output": "o", "paths": ["a.mrc"],
             "ignored": ["-p"]},
        ),
        (
            "preprocess -s 8 -a 900 -b 1 -d -1 -t 4 -j 2 -o o -v a.mrc b.mrc",
            {"scale": 8, "num_threads": 2, "destdir": "o", "files": ["a.mrc", "b.mrc"],
             "ignored": ["-a", "-b", "-d", "-t"]},
        ),
    ],
)  # fmt: skip
def test_short_options(arguments, expected):
    options = vars(make_parser().parse_args(arguments.split()))
    assert {name: options[name] for name in expected} == expected


TOPAZ = """#!/bin/sh
echo "$@"
exit 7
"""


@pytest.mark.parametrize("command", ["denoise", "denoise3d", "segment"])
def test_what_pupick_does_not_do_is_left_to_topaz(command, tmp_path, monkeypatch, capfd):
    (tmp_path / "topaz").write_text(TOPAZ)
    (tmp_path / "topaz").chmod(0o755)
    monkeypatch.setenv("PUPICK_TOPAZ", str(tmp_path / "topaz"))
    assert main([command, "-d", "-1", "-o", "out", "a b.mrc"]) == 7
    assert capfd.readouterr().out == f"{command} -d -1 -o out a b.mrc\n"


@pytest.mark.parametrize("named", [None, "/nowhere/topaz", "itself"])
def test_without_topaz_it_is_said_how_to_name_it(named, tmp_path, monkeypatch, capsys):
    itself = tmp_path / "pupick-topaz"
    itself.write_text(TOPAZ)
    itself.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(itself)])
    monkeypatch.delenv("PUPICK_TOPAZ", raising=False)
    if named:
        monkeypatch.setenv("PUPICK_TOPAZ", str(itself) if named == "itself" else named)
    assert main(["denoise", "-o", "out", "a.mrc"]) == 2
    assert "PUPICK_TOPAZ" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "segments -o o a.mrc",
        "extract --no-such-option",
        "preprocess a.mrc",
        "preprocess -o o --format mrc,gif a.mrc",
    ],
)
def test_wrong_calls_end_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments.split())
    assert end.value.code == 2
    assert "pupick-topaz" in capsys.readouterr().err


def test_ignored_options_are_reported(tmp_path, caplog):
    write_mrc(tmp_path / "a.mrc", image_of(20, 20))
    arguments = ["normalize", "--niters", "3", "-o", str(tmp_path / "out")]
    assert main([*arguments, str(tmp_path / "a.mrc")]) == 0
    assert caplog.messages == [
        "pupick-topaz normalize: --niters has no meaning here and is ignored."
    ]


def test_the_executable_itself(tmp_path):
    code = "from relion_external.topaz_command.cli import main; raise SystemExit(main())"
    missing = str(tmp_path / "no.mrc")
    done = subprocess.run(
        [sys.executable, "-c", code, "preprocess", "-o", str(tmp_path / "out"), missing],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pupick-topaz preprocess: ")
    assert missing in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text",
    [
        "image_name\tpath\na\tproc/a.mrc\nb c\tother place/b.mrc\n",
        "path\tsource\timage_name\nproc/a.mrc\t0\ta\nother place/b.mrc\t1\tb c\n\n",
    ],
)
def test_a_table_of_images(tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    images = read_image_list(tmp_path / "list.txt")
    assert [(image.name, image.path, image.pixel_size) for image in images] == [
        ("a", Path("proc/a.mrc"), 1.0),
        ("b c", Path("other place/b.mrc"), 1.0),
    ]


def test_a_table_of_images_with_blanks(tmp_path):
    (tmp_path / "list.txt").write_text("image_name  path\na   proc/a.mrc\nb proc/b.mrc\n")
    images = read_image_list(tmp_path / "list.txt")
    assert [(image.name, str(image.path)) for image in images] == [
        ("a", "proc/a.mrc"),
        ("b", "proc/b.mrc"),
    ]


def test_a_folder_of_images(tmp_path):
    write_mrc(tmp_path / "a.mrc", image_of(4, 4), pixel_size=5.0)
    (image,) = read_image_list(tmp_path)
    assert (image.path, image.pixel_size) == (tmp_path / "a.mrc", 1.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "nothing"),
        ("name\tpath\na\ta.mrc\n", "name, path"),
        ("image_name\tpath\na\n", "too few"),
        ("image_name\tpath\na\tx/a.mrc\na\ty/a.mrc\n", "'a'"),
    ],
)
def test_tables_of_images_that_make_no_sense(tmp_path, text, told):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(UsageError, match=told) as caught:
        read_image_list(tmp_path / "list.txt")
    assert str(tmp_path / "list.txt") in str(caught.value)


def image_of(height, width, seed=1):
    return np.random.default_rng(seed).normal(7.0, 3.0, (height, width)).astype(np.float32)


def cropped(image, scale):
    """Downsample by cropping the whole complex spectrum, both Nyquist frequencies left out."""
    height, width = image.shape[0] // scale, image.shape[1] // scale
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    middle = image.shape[0] // 2, image.shape[1] // 2
    small = np.zeros((height, width), complex)
    rows, columns = (height - 1) // 2, (width - 1) // 2
    small[
        height // 2 - rows : height // 2 + rows + 1, width // 2 - columns : width // 2 + columns + 1
    ] = spectrum[
        middle[0] - rows : middle[0] + rows + 1, middle[1] - columns : middle[1] + columns + 1
    ]
    shrunk = np.fft.ifft2(np.fft.ifftshift(small)).real
    return shrunk * small.size / image.size


@pytest.mark.parametrize(("scale", "shape"), [(4, (12, 17)), (1, (50, 70))])
def test_preprocess_crops_the_spectrum_and_normalises(tmp_path, scale, shape):
    image = image_of(50, 70)
    write_mrc(tmp_path / "a.mrc", image)
    arguments = ["preprocess", "--affine", "-s", str(scale), "-o", str(tmp_path / "out" / "deep")]
    assert main([*arguments, str(tmp_path / "a.mrc")]) == 0
    with mrcfile.open(tmp_path / "out" / "deep" / "a.mrc") as file:
        written = file.data.copy()
        assert float(file.voxel_size.x) == pytest.approx(PIXEL_SIZE * scale, rel=1e-5)
    assert (written.shape, written.dtype) == (shape, np.float32)
    small = cropped(image, scale) if scale > 1 else image
    np.testing.assert_allclose(written, (small - small.mean()) / small.std(), atol=1e-4)


def test_the_background_becomes_standard_beside_a_bright_part(tmp_path):
    image = image_of(200, 200)
    image[:, :40] += 40.0
    write_mrc(tmp_path / "a.mrc", image)
    for command in ("preprocess", "normalize"):
        assert main([command, "-o", str(tmp_path / command), str(tmp_path / "a.mrc")]) == 0
        written = mrcfile.read(tmp_path / command / "a.mrc")[:, 40:]
        assert abs(written.mean()) < 0.05
        assert abs(written.std() - 1) < 0.05


def test_an_image_without_a_pixel_size(tmp_path):
    write_mrc(tmp_path / "a.mrc", image_of(40, 40), pixel_size=0.0)
    assert main(["preprocess", "-s", "2", "-o", str(tmp_path / "o"), str(tmp_path / "a.mrc")]) == 0
    with mrcfile.open(tmp_path / "o" / "a.mrc") as file:
        # what also other programs write that do not know it, and pupick doubts
        assert float(file.voxel_size.x) == 1.0


def test_one_bad_image_does_not_stop_the_others(tmp_path, caplog):
    caplog.set_level("INFO")
    write_mrc(tmp_path / "good.mrc", image_of(40, 40))
    content = (tmp_path / "good.mrc").read_bytes()
    (tmp_path / "nan.mrc").write_bytes(content[:-4] + np.float32(np.nan).tobytes())
    (tmp_path / "cut.mrc").write_bytes(content[:3000])
    write_mrc(tmp_path / "blank.mrc", np.ones((40, 40)))
    write_mrc(tmp_path / "small.mrc", image_of(3, 40))
    images = [str(path) for path in sorted(tmp_path.glob("*.mrc"))]
    assert main(["preprocess", "-s", "4", "-v", "-o", str(tmp_path / "out"), *images]) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.mrc"]
    for name in ("nan", "blank", "small", "cut"):
        assert f"{tmp_path / name}.mrc: " in caplog.text
    assert "failed micrographs: 4" in caplog.text
    assert f"{tmp_path / 'out' / 'good.mrc'} written" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-o", "{folder}", "{folder}/a.mrc"], "overwrite"),
        (["-o", "{folder}/out", "{folder}/a.mrc", "{folder}/b/a.mrc"], "one name"),
        (["-o", "{folder}/out", "-s", "0", "{folder}/a.mrc"], "-s 0"),
    ],
)
def test_wrong_calls_of_preprocess(tmp_path, caplog, arguments, told):
    for path in (tmp_path / "a.mrc", tmp_path / "b" / "a.mrc"):
        write_mrc(path, image_of(20, 20))
    before = (tmp_path / "a.mrc").read_bytes()
    assert main(["preprocess", *(text.format(folder=tmp_path) for text in arguments)]) == 2
    assert told in caplog.text
    assert (tmp_path / "a.mrc").read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_every_format_of_written_images(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    write_mrc(tmp_path / "a.mrc", image_of(50, 70))
    out = tmp_path / "out"
    arguments = ["preprocess", "--format", "mrc,tiff,png", "-o", str(out), str(tmp_path / "a.mrc")]
    assert main(arguments) == 0
    pixels = mrcfile.read(out / "a.mrc")
    assert pixels.min() < -3
    np.testing.assert_array_equal(tifffile.imread(out / "a.tiff"), pixels)
    grey = pyplot.imread(out / "a.png") * 255
    np.testing.assert_allclose(grey, np.clip((pixels + 3) / 6 * 255, 0, 255), atol=0.501)


@pytest.mark.parametrize("options", [[], ["--affine"]])
def test_metadata_hold_what_was_subtracted_and_divided_by(tmp_path, options):
    image = image_of(50, 70)
    write_mrc(tmp_path / "a.mrc", image)
    out = tmp_path / "out"
    arguments = ["normalize", "--metadata", *options, "-o", str(out), str(tmp_path / "a.mrc")]
    assert main(arguments) == 0
    about = json.loads((out / "a.metadata.json").read_text())
    pixels = mrcfile.read(out / "a.mrc")
    np.testing.assert_allclose(pixels * about["std"] + about["mu"], image, atol=1e-3)
    assert 0.5 <= about["pi"] <= 1


@pytest.mark.parametrize("format", WRITERS)
def test_whatever_is_written_is_read_by_pupick(tmp_path, format):
    found = Coordinates([12.0, 300.0], [7.0, 45.0], [1.5, -2.0])
    path = tmp_path / f"m1.{format}"
    path.write_text(WRITERS[format]("m1.mrc", found, 30))
    (picks,) = read_picks(path).values()
    np.testing.assert_array_equal(picks.xy, found.xy)
    if format in ("coord", "csv", "star"):
        np.testing.assert_array_equal(picks.score, found.score)


@pytest.mark.parametrize(("text", "number"), [("0:1", 0), ("1,2", 1), ("-1", -1), ("2", 2)])
def test_of_several_gpus_as_relion_spells_them_the_first_is_used(text, number):
    options = make_parser().parse_args(["extract", "-r", "5", "-m", "m", "-d", text, "a.mrc"])
    assert options.device == number
