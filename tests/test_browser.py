"""The report and the documentation in headless Chromium: nothing cut, no page wider than the screen, axe-core content.

Skipped without Chromium and the packages of `make browser`, or with REQUIRE_BROWSER=1 in the environment (CI) fails.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.reporting.gallery import gallery_page
from pipeline_lib.reporting.report import make_report
from readme import ROOT
from test_figures import examples
from test_front import rendered
from test_pages import HOSTILE, page_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LACKING = CHROMIUM is None or find_spec("playwright") is None or find_spec("axe_playwright_python") is None
LEFT_OUT = LACKING and not os.environ.get("REQUIRE_BROWSER")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(LEFT_OUT, reason="no Chromium, or no playwright and axe-core")]
SCREENS = {"light": (1366, 768, "light"), "dark": (1366, 768, "dark"), "phone": (390, 844, "light")}
# Texts outside of the screen or of an element that hides what does not fit, and that nothing scrolls to.
CUT = """() => {
  const found = [], wide = document.documentElement.clientWidth;
  const scrolled = (one) => {
    for (let up = one.parentElement; up && up !== document.body; up = up.parentElement)
      if (["auto", "scroll"].includes(getComputedStyle(up).overflowX)) return true;
    return false;
  };
  for (const one of document.querySelectorAll("body *")) {
    const seen = one.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!seen || one.closest("[data-md-component=sidebar]")) continue;
    const box = one.getBoundingClientRect(), hides = ["hidden", "clip"].includes(getComputedStyle(one).overflowX);
    const text = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const larger = one.clientWidth > 2 && one.scrollWidth > one.clientWidth + 1;
    if (hides && larger && one.textContent.trim()) found.push(one);
    else if (text && box.width && (box.right > wide + 1 || box.left < -1) && !scrolled(one)) found.push(one);
  }
  return found.map((one) => one.outerHTML.slice(0, 200));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(params=SCREENS)
def tab(browser, request) -> Iterator[Any]:
    width, height, scheme = SCREENS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.troubles = []
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("requestfailed", lambda request: page.troubles.append(request.url[:200]))
    page.on("dialog", lambda dialog: page.troubles.append(dialog.message))
    yield page
    context.close()


def check(tab: Any) -> None:
    """The page in a tab fits its screen, loads nothing that is not there, and axe-core finds nothing serious."""
    from axe_playwright_python.base import AXE_FILE_PATH

    assert tab.troubles == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.evaluate(CUT) == []
    tab.evaluate(Path(AXE_FILE_PATH).read_text())
    found = tab.evaluate("axe.run({ preload: false, resultTypes: ['violations'] })")["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in serious] == []


def open_page(tab: Any, page: Path) -> None:
    tab.goto(page.absolute().as_uri())
    check(tab)


@pytest.mark.parametrize("rows", [1, 60])
def test_a_table_with_any_labels(tab, tmp_path, rows):
    labels = [HOSTILE[place % len(HOSTILE)] + "." * (place // len(HOSTILE)) for place in range(rows)]
    page_of(tmp_path, {label: {"clean": ["10"], "pgd": ["10"]} for label in labels})
    open_page(tab, tmp_path / "t.html")
    assert tab.locator("tbody tr").count() == rows
    for name in ("pgd", "model"):  # sorted by a column's button, with details shown at a cell
        tab.get_by_role("columnheader", name=name).get_by_role("button").click()
    tab.locator("tbody td summary").first.hover()
    check(tab)
    tab.locator("tbody td summary").first.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("tbody td details").first.get_attribute("open") is not None
    assert "measured" in tab.locator("tbody td details dl").first.inner_text()
    check(tab)


def test_a_page_of_clips(tab, tmp_path):
    (tmp_path / "clips.html").write_text(gallery_page(examples(), 5))
    open_page(tab, tmp_path / "clips.html")


SNAKEFILE = """
report: "front.rst"
rule results:
    output:
        report("t.html", caption="a.rst", category="Tables", labels={"table": "A title long enough to need two lines"})
    params: identity={"settings": "many"}
    shell: "cp made/t.html {output}"
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A report of one table with any labels, and a first page of three studies."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "made").mkdir()
    page_of(folder / "made", {label: {"clean": ["10"], "pgd": ["10"]} for label in HOSTILE})
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "front.rst").write_text(".. raw:: html\n\n   " + " ".join(rendered(folder, ["a", "b", "c"], []).split()))
    (folder / "a.rst").write_text("What this table is, in a few words.")
    run = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", "--directory", str(folder)]
    subprocess.run([*run, "-s", str(folder / "Snakefile")], check=True, capture_output=True)
    own = [str(ROOT / f"workflow/report/report.{ending}") for ending in ("css", "js")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_report(str(folder / "Snakefile"), {}, folder / "report.html", *own)
    return folder / "report.html"


def test_a_report(tab, report):
    tab.goto(report.absolute().as_uri())
    tab.wait_for_selector(".prose")
    tab.wait_for_timeout(1000)
    check(tab)
    covered = tab.evaluate("document.querySelector('nav').getBoundingClientRect().right / innerWidth")
    assert covered < 0.4
    tab.evaluate("app.setState({ hideNavbar: false })")
    tab.get_by_role("link", name="Results").click()
    tab.wait_for_timeout(500)
    assert "settings" not in tab.inner_text("nav >> nth=0")
    check(tab)
    tab.get_by_label("Details: ").first.click()
    tab.wait_for_selector("nav .prose")
    check(tab)
    tab.get_by_label("Show: ").click()
    tab.wait_for_timeout(500)
    assert tab.evaluate("document.querySelector('iframe').getBoundingClientRect().right <= innerWidth")
    assert tab.frame_locator("iframe").get_by_role("row").count() >= 4
    check(tab)


def test_a_page_larger_than_an_address_can_be_is_shown(browser, report):
    """Chromium leaves a frame empty whose address (`data:`) is longer than 2 MB."""
    tab = browser.new_page()
    tab.goto(report.absolute().as_uri())
    tab.wait_for_selector(".prose")
    tab.wait_for_timeout(1000)
    tab.evaluate("""() => app.setView({ content: "html", resultPath: "t.html",
        contentPath: "data:text/html;charset=utf8;base64," + btoa("<h1>large</h1>" + "<!-- -->".repeat(300000)) })""")
    assert tab.frame_locator("iframe").get_by_role("heading").inner_text() == "large"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    if find_spec("mkdocs") is None or find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed")
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        **{"cwd": ROOT, "check": True, "capture_output": True},
    )
    return folder


PAGES = ["index", "tutorials/own-videos", "reference/attacks", "reference/configuration", "papers", "results/demo"]


@pytest.mark.parametrize("page", PAGES)
def test_the_documentation(tab, site, page):
    tab.goto((site / f"{page}.html").as_uri())
    tab.wait_for_timeout(500)
    check(tab)


def test_no_page_of_the_documentation_is_wider_than_a_phone(browser, site):
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    pages = sorted(path for path in site.rglob("*.html") if path.name != "404.html")
    assert len(pages) > 50
    for page in pages:
        tab.goto(page.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), page
        assert tab.evaluate(CUT) == [], page


def test_the_documentation_is_searched_without_a_network(browser, site):
    tab = browser.new_page(viewport={"width": 1366, "height": 768})
    tab.goto((site / "index.html").as_uri())
    tab.click(".md-search__input")
    tab.keyboard.type("worst case", delay=20)
    tab.wait_for_selector(".md-search-result__item")
    assert "matching documents" in tab.inner_text(".md-search-result__meta")
