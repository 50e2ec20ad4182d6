"""The page in a real browser: no error, nothing wider than the window, and words for what is under the pointer."""

import json
import os
import re
import shutil
import subprocess

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --enable-logging=stderr --dump-dom"
)
PROBE = """
<script>
const over = (selector) => {
  const one = document.querySelector(selector), box = one.getBoundingClientRect();
  const at = {bubbles: true, clientX: box.left + box.width / 2, clientY: box.top + box.height / 2};
  one.dispatchEvent(new PointerEvent("pointermove", at));
  return document.getElementById("tip").hidden ? "" : document.getElementById("tip").textContent;
};
const sizes = [...document.querySelectorAll("svg.figure")].map((one) => one.getBoundingClientRect());
const before = document.querySelector(".matrix").getBoundingClientRect().width;
document.querySelector("[data-by='2']").click();
const seen = {
  figures: sizes.filter((box) => box.width > 100 && box.height > 20).length,
  all_figures: sizes.length,
  images: [...document.images].every((one) => one.naturalWidth > 0),
  wider: document.documentElement.scrollWidth > innerWidth,
  zoomed: document.querySelector(".matrix").getBoundingClientRect().width > before,
  dot: over(".dot"),
  cell: over(".matrix .hit"),
  nothing: over("h1"),
};
dispatchEvent(new Event("beforeprint"));
seen.unfolded = [...document.querySelectorAll("details")].every((one) => one.open);
document.title = JSON.stringify(seen);
</script>
"""


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    """Return the function that opens a page in a browser of some width, and returns what is seen, and all errors."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"needs a browser: one of {', '.join(BROWSERS)}")

    def look(page, width):
        folder = tmp_path_factory.mktemp("browser")
        (folder / "page.html").write_text(page.replace("</body>", f"{PROBE}</body>"))
        place = [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", f"file://{folder}/page.html"]
        command = [browser, *OPTIONS.split(), *place]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True, env=os.environ | {"HOME": str(folder)}
        )
        title = re.search(r"<title>(.*?)</title>", done.stdout)[1]
        return json.loads(title.replace("&gt;", ">").replace("&lt;", "<")), re.findall(".*CONSOLE.*", done.stderr)

    return look


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


def test_browser_tells_of_errors(look, page):
    _, errors = look(page.replace("</body>", "<script>nonsense()</script></body>"), 1300)
    assert len(errors) == 1
    assert "nonsense is not defined" in errors[0]
