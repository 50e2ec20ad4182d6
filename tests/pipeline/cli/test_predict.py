import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import load_student
from pipeline.cli import kept
from pipeline.cli.predict import predict
from pipeline.errors import StageError
from tests.pipeline.cli.conftest import Command, Done, make_arrays, newest


@pytest.fixture
def images(finished: Path) -> Path:
    """A folder of test images, one in a folder below, and things that are no images."""
    folder = finished / "images"
    (folder / "below" / ".hidden").mkdir(parents=True)
    arrays = make_arrays()["x_test"]
    Image.fromarray(arrays[0]).save(folder / "a.png")
    Image.fromarray(arrays[20]).resize((30, 20)).convert("RGBA").save(folder / "below" / "B.PNG")
    Image.fromarray(arrays[0]).save(folder / "below" / ".hidden" / "c.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_predict_takes_an_ending_for_an_image_without_torch(images: Path) -> None:
    script = (
        "import sys; from pipeline.cli import predict;"
        "print(*map(str, predict._expanded(['images'])), 'torch' in sys.modules, sep='|')"
    )
    Image.new("L", (8, 8)).save(images / "moving.GIF")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "images/a.png|images/below/B.PNG|images/moving.GIF|False\n"


def told(done: Done) -> dict[str, list[str]]:
    return {image["image"]: [c["name"] for c in image["classes"]] for image in json.loads(done.out)}


def test_predict_looks_at_files_and_folders(finished: Path, images: Path, command: Command) -> None:
    done = command("predict", "tiny", "images", "images/a.png", "--top", "2")
    told = (
        "1 of 3 images (images/below/B.PNG) was scaled to the network's 8 x 8 pixels, and cut to its shape;"
        " got 30 x 20 (width x height)\n"
    )
    assert (done.code, done.err) == (0, told)
    *lines, last = (line.split() for line in done.out.splitlines())
    assert last == ["by", "the", "student", "of", newest(finished / "runs").name]
    assert lines[0] == ["image", "class", "probability"]
    assert [line[0] for line in lines[1::2]] == ["images/a.png", "images/below/B.PNG", "images/a.png"]
    assert all(line[-1] == "%" for line in lines[1:])
    assert len(lines) == 7


def test_predict_says_what_the_student_says(finished: Path, images: Path, command: Command) -> None:
    (image,) = json.loads(command("predict", "tiny", "images/a.png", "--json", "--top", "9").out)
    student = load_student(newest(finished / "runs"))
    with Image.open(images / "a.png") as picture:
        expected = student.top(picture, 9)[0]
    assert [(c["name"], c["probability"]) for c in image["classes"]] == expected
    assert sum(c["probability"] for c in image["classes"]) == pytest.approx(1)


def test_predict_with_the_ensemble(finished: Path, images: Path, command: Command) -> None:
    done = command("predict", "tiny", "images/a.png", "--json", "--ensemble", "--top", "4")
    run = kept.find(finished / "runs", "tiny")
    labels = np.array([c["name"] for c in json.loads(done.out)[0]["classes"]]).astype(int)
    kept_probs = np.exp(run.artifact("evaluate").arrays["ensemble"][0])
    assert [c["probability"] for c in json.loads(done.out)[0]["classes"]] == pytest.approx(
        kept_probs[labels].tolist(), abs=1e-5
    )


def test_predict_with_the_ensemble_that_a_sweep_chose(finished: Path, images: Path, command: Command) -> None:
    sweep = 'sweep={"active_classes": [1, 4], "measure": "nll"}'
    settings = ("--set", "combine.active_classes=2", "--set", sweep, "--set", "controls=[]")
    assert command("run", "tiny.yaml", *settings).code == 0
    run = kept.find(finished / "runs", "tiny")
    chosen = run.facts("sweep")["chosen"]["distilled"]["active_classes"]
    assert run.task("evaluate").arguments["combine"].active_classes == chosen
    done = command("predict", "tiny", "images/a.png", "--json", "--ensemble", "--top", "4")
    told = {int(c["name"]): c["probability"] for c in json.loads(done.out)[0]["classes"]}
    kept_probs = np.exp(run.artifact("evaluate").arrays["ensemble"][0])
    assert [told[label] for label in range(4)] == pytest.approx(kept_probs.tolist(), abs=1e-6)
    table = command("targets", "show", "tiny", "--store", "store", "--json")
    assert json.loads(table.out)["teacher"] == f"combined/active={chosen}"


def test_predict_reads_stdin(finished: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = kept.find(finished / "runs", "tiny")
    stdin = io.BytesIO((images / "a.png").read_bytes())
    predict(run, ["-"], top=1, ensemble=False, as_json=True, stdin=stdin)
    assert told(Done(0, capsys.readouterr().out, "")).keys() == {"stdin"}


def test_predict_says_that_there_was_nothing(finished: Path, images: Path) -> None:
    run = kept.find(finished / "runs", "tiny")
    told = "stdin must be a picture in a format that Pillow reads; got nothing"
    with pytest.raises(StageError, match=f"^{told}$"):
        predict(run, ["-"], top=1, ensemble=False, as_json=True, stdin=io.BytesIO())
    (images / "empty.png").touch()
    with pytest.raises(StageError, match=r"^images/empty\.png must be a picture .*; got nothing$"):
        predict(run, ["images/empty.png"], top=1, ensemble=False, as_json=True)


def test_predict_tells_which_images_were_scaled(finished: Path, images: Path, command: Command) -> None:
    for width in (9, 10, 2000):
        Image.new("L", (width, 8)).save(images / f"{width}.jpg")
    Image.new("L", (9, 8)).save(images / "again.png")
    done = command("predict", "tiny", "images", "--json")
    scaled = {Path(one["image"]).name: (one["size"], one["scaled_to"]) for one in json.loads(done.out)}
    own = {"width": 8, "height": 8}
    assert scaled["a.png"] == (own, None)
    assert scaled["2000.jpg"] == ({"width": 2000, "height": 8}, own)
    assert done.err == (
        "5 of 6 images (images/10.jpg, images/2000.jpg, images/9.jpg and 2 more) were scaled to the network's 8 x 8"
        " pixels, and cut to its shape; "
        "got 9 x 8, 10 x 8, 2000 x 8 and 1 more (width x height)\n"
    )
    assert command("predict", "tiny", "images/a.png").err == ""


def test_predict_tells_of_what_cannot_be_read_and_does_the_rest(finished: Path, images: Path, command: Command) -> None:
    (images / "broken.png").write_text("no image")
    Image.new("I;16", (8, 8)).save(images / "deep.png")
    done = command("predict", "tiny", "images", "--json")
    assert done.code == 1
    assert told(done).keys() == {"images/a.png", "images/below/B.PNG"}
    assert done.err.splitlines() == [
        (
            "1 of 2 images (images/below/B.PNG) was scaled to the network's 8 x 8 pixels, and cut to its shape;"
            " got 30 x 20 (width x height)"
        ),
        "images/broken.png must be a picture in a format that Pillow reads; got something else",
        "images/deep.png must be of a mode in 1, L, LA, P, RGB, RGBA, RGBX, CMYK, YCbCr; got I;16",
    ]
    alone = command("predict", "tiny", "images/broken.png")
    assert (alone.code, alone.out) == (1, "")


def test_predict_says_what_is_wrong_with_the_command(finished: Path, images: Path, command: Command) -> None:
    (finished / "empty").mkdir()
    done = command("predict", "tiny", "nothing.png", "empty")
    assert (done.code, done.out) == (2, "")
    assert "nothing.png: must be an image, a folder of images, or - for stdin" in done.err
    assert "empty: must hold images (.jpg, " in done.err
    assert command("predict", "tiny", "images", "--top", "0").err == "--top: must be 1 or more; got 0\n"
    assert "did you mean 'tiny'?" in command("predict", "tinny", "images").err


def test_ensemble_wants_the_store_of_its_run(finished: Path, images: Path, command: Command) -> None:
    (finished / "store").rename(finished / "elsewhere")
    done = command("predict", "tiny", "images/a.png", "--ensemble")
    assert done.code == 2
    assert done.err.startswith("store: must be the store of tiny-")
    assert command("predict", "tiny", "images/a.png", "--ensemble", "--store", "elsewhere").code == 0


def test_run_and_store_may_be_moved_together(
    finished: Path, images: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished.rename(finished.parent / "moved")
    monkeypatch.chdir(finished.parent)
    run = f"moved/runs/{newest(finished.parent / 'moved' / 'runs').name}"
    assert command("predict", run, "moved/images/a.png", "--ensemble").code == 0


COMMANDS = {
    "predict": ["a.png"],
    "predict --ensemble": ["--ensemble", "a.png"],
    "evaluate": [],
    "export": ["--format", "torch-export"],
    "report": [],
    "compare": ["other"],
}
"""What commands that need a whole run are given beside its name."""


def test_commands_say_the_same_of_a_run_that_has_not_reached_its_end(project: Path, command: Command) -> None:
    command("run", "tiny.yaml", "--until", "data", "--set", "name=other")
    command("run", "tiny.yaml", "--until", "generalist")
    Image.new("L", (8, 8)).save(project / "a.png")
    rule = "have reached its end; got one that was asked for no more than generalist"
    advice = "run its config without --until or --only, and name that run, or another"
    expected = f"{kept.find(project / 'runs', 'tiny').name} must {rule}: {advice}\n"
    told = {name: command(name.split()[0], "tiny", *arguments) for name, arguments in COMMANDS.items()}
    assert told == dict.fromkeys(COMMANDS, Done(2, "", expected))


def test_terminal_that_lacks_a_character_shows_a_question_mark(finished: Path, images: Path) -> None:
    (images / "a.png").rename(images / "\N{MINUS SIGN}.png")
    command = [sys.executable, "-m", "pipeline", "predict", "tiny", "images/\N{MINUS SIGN}.png"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"images/?.png" in done.stdout
    as_json = subprocess.run([*command, "--json"], env=environment, capture_output=True, check=True).stdout
    assert json.loads(as_json)[0]["image"] == "images/\N{MINUS SIGN}.png"
