"""The page in a real browser: no error, nothing wider than the window, and words for what is under the pointer."""

import json
import os
import re
import shutil
import subprocess

import pytest

from pipeline.stage import Artifact

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --enable-logging=stderr"
)
PROBE = """
<script>
const over = (selector) => {
  const one = document.querySelector(selector), box = one.getBoundingClientRect();
  const at = {bubbles: true, clientX: box.left + box.width / 2, clientY: box.top + box.height / 2};
  one.dispatchEvent(new PointerEvent("pointermove", at));
  return document.getElementById("tip").hidden ? "" : document.getElementById("tip").textContent;
};
const room = 126; // of the names of a figure's rows, in its own pixels
const names = [...document.querySelectorAll("text.name")];
const timeline = document.querySelector(".figure.wide");
const sizes = [...document.querySelectorAll("svg.figure")].map((one) => one.getBoundingClientRect());
const before = document.querySelector(".matrix").getBoundingClientRect().width;
document.querySelector("[data-by='2']").click();
const seen = {
  figures: sizes.filter((box) => box.width > 100 && box.height > 20).length,
  all_figures: sizes.length,
  images: [...document.images].every((one) => one.naturalWidth > 0),
  wider: document.documentElement.scrollWidth > innerWidth,
  zoomed: document.querySelector(".matrix").getBoundingClientRect().width > before,
  names: names.length,
  too_long: names.filter((one) => one.getBBox().x + one.getBBox().width > room).map((one) => one.textContent),
  cut: [...document.querySelectorAll(".scroll > table")].filter((one) => one.scrollWidth > one.parentNode.clientWidth)
    .map((one) => one.closest(".example") ? "example" : one.tHead.textContent.trim()),
  letters: 12 * timeline.getBoundingClientRect().width / timeline.viewBox.baseVal.width,
  dot: over(".dot"),
  cell: over(".matrix .hit"),
  nothing: over("h1"),
};
dispatchEvent(new Event("beforeprint"));
seen.unfolded = [...document.querySelectorAll("details")].every((one) => one.open);
document.title = JSON.stringify(seen);
</script>
"""


ZOOM = "<script>for (let i = 0; i < 3; i++) document.querySelector('[data-by=\"2\"]').click();</script></body>"
WIDE_NAMES = [
    "WWWWWWWWWWWWWWWWWWWWWWWWWWWW",
    "%",
    "grandfather clock, and mantel",
    "\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57",
    "i",
]


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Return the function that opens a page in a browser, told what else by options, and returns folder and output."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"needs a browser: one of {', '.join(BROWSERS)}")

    def browse(page, *options):
        folder = tmp_path_factory.mktemp("browser")
        (folder / "page.html").write_text(page)
        place = [f"--user-data-dir={folder / 'profile'}", f"file://{folder}/page.html"]
        command = [browser, *OPTIONS.split(), *(option.format(folder=folder) for option in options), *place]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True, env=os.environ | {"HOME": str(folder)}
        )
        return folder, done

    return browse


@pytest.fixture(scope="module")
def look(browse):
    """Return the function that opens a page in a browser of some width, and returns what is seen, and all errors."""

    def look(page, width):
        _, done = browse(page.replace("</body>", f"{PROBE}</body>"), "--dump-dom", f"--window-size={width},900")
        title = re.search(r"<title>(.*?)</title>", done.stdout)[1]
        return json.loads(title.replace("&gt;", ">").replace("&lt;", "<")), re.findall(".*CONSOLE.*", done.stderr)

    return look


@pytest.fixture(scope="module")
def printed(browse):
    """Return the function that prints a page, and returns on how many sheets, and of how many bytes they are."""

    def printed(page):
        folder, _ = browse(page, "--print-to-pdf={folder}/page.pdf")
        content = (folder / "page.pdf").read_bytes()
        return len(re.findall(rb"/Type /Page\b", content)), len(content)

    return printed


@pytest.mark.parametrize("width", [500, 1300])
def test_page_opens_without_an_error_and_shows_its_figures(look, page, width):
    seen, errors = look(page, width)
    assert errors == []
    assert seen["figures"] == seen["all_figures"] >= 14
    assert seen["images"]
    assert not seen["wider"]
    assert seen["zoomed"]
    assert seen["unfolded"]
    assert "\N{MINUS SIGN}" in seen["dot"] or "+" in seen["dot"]
    assert re.fullmatch(r"class \d taken for class \d: \d+ of 20", seen["cell"])
    assert seen["nothing"] == ""
    assert seen["letters"] >= 11
    assert "example" not in seen["cut"]
    assert width < 1300 or not seen["cut"]


def test_names_end_where_the_drawing_begins(look, write, measure, test_half):
    named = Artifact(test_half.arrays, test_half.facts | {"class_names": WIDE_NAMES})
    seen, _ = look(write(measure(test=named), names=WIDE_NAMES)["report.html"].decode(), 1300)
    assert seen["names"] >= 4
    assert seen["too_long"] == []


def test_page_is_printed_as_if_nothing_had_been_enlarged(printed, page):
    sheets, size = printed(page)
    assert printed(page.replace("</body>", ZOOM))[0] == sheets > 1
    assert size < 2_000_000, "what is drawn must not be printed as pictures"


def test_browser_tells_of_errors(look, page):
    _, errors = look(page.replace("</body>", "<script>nonsense()</script></body>"), 1300)
    assert len(errors) == 1
    assert "nonsense is not defined" in errors[0]
