"""The report: what is in the folder, and what a real browser makes of the page."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

import synthetic
from lumavox.errors import OptionError
from lumavox_matrix.cell import Status
from lumavox_matrix.cli import main
from lumavox_matrix.judged import judge_all
from lumavox_matrix.policy import Policy
from lumavox_matrix.report import write_report
from lumavox_matrix.store import Store

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=20000", "--window-size=1500,1400",
)  # fmt: skip
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed (Debian: apt install chromium)"
)
CELLS = 300


@pytest.fixture(scope="module")
def cells():
    return judge_all(synthetic.results(CELLS, runs=3), Policy())


@pytest.fixture(scope="module")
def folder(cells, tmp_path_factory):
    return write_report(cells, tmp_path_factory.mktemp("report") / "r", "A <b>title</b>").parent


@pytest.fixture(scope="module")
def bad(cells):
    """A cell with findings and a strip of frames."""
    return next(j for j in cells if j.verdict.rule == "output")


def browse(tmp_path: Path, page: Path, address: str = "", *more: str) -> str:
    """The page's DOM after its scripts ran."""
    assert CHROMIUM
    command = [
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={tmp_path / 'profile'}",
        *more,
        f"{page.as_uri()}{address}",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


# --- files ------------------------------------------------------------------------------------------------


def test_a_report_replaces_a_report_and_nothing_else(cells, tmp_path):
    write_report(cells[:3], tmp_path / "r")
    write_report(cells[:2], tmp_path / "r")
    assert len(json.loads((tmp_path / "r" / "report.json").read_text())["cells"]) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    with pytest.raises(OptionError, match="no report"):
        write_report(cells, tmp_path / "mine")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_the_json_has_every_verdict_and_no_null(folder, cells):
    document = json.loads((folder / "report.json").read_text())
    assert [row["cell_digest"] for row in document["cells"]] == [j.cell.digest for j in cells]
    assert "null" not in re.findall(r"null", (folder / "report.json").read_text())


def test_junit_counts_what_it_lists_and_survives_any_text(folder, cells):
    root = ElementTree.parse(folder / "junit.xml").getroot()
    cases = list(root.iter("testcase"))
    assert len(cases) == len(cells)
    assert len(list(root.iter("failure"))) == sum(int(s.get("failures", "0")) for s in root.iter("testsuite"))
    assert len(list(root.iter("failure"))) == sum(j.verdict.status is Status.FAIL for j in cells)
    errors = [c for c in cases if c.find("error") is not None]
    assert len(errors) == sum(j.verdict.status in (Status.ERROR, Status.MISS) for j in cells)


JUNIT = {  # element: attributes that must be, that may be, and children, as in Jenkins' junit-10.xsd
    "testsuites": ((), ("name", "time", "tests", "failures", "errors"), ("testsuite",)),
    "testsuite": (
        ("name", "tests", "failures", "errors"),
        ("group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"),
        ("testsuite", "properties", "testcase", "system-out", "system-err"),
    ),
    "testcase": (
        ("name",),
        ("time", "classname", "group"),
        ("skipped", "error", "failure", "system-out", "system-err"),
    ),
    **dict.fromkeys(("failure", "error", "skipped"), ((), ("type", "message"), ())),
    **dict.fromkeys(("system-out", "system-err"), ((), (), ())),
}


def test_junit_holds_to_the_schema_of_jenkins(folder):
    for element in ElementTree.parse(folder / "junit.xml").getroot().iter():
        must, may, children = JUNIT[element.tag]
        assert set(must) <= set(element.attrib) <= {*must, *may}, element.tag
        assert {child.tag for child in element} <= set(children), element.tag


def test_kcidb_is_valid_by_its_own_schema(folder):
    schema = pytest.importorskip("kcidb_io", reason="the library of KernelCI is not installed").schema
    document = json.loads((folder / "kcidb.json").read_text())
    assert schema.V5_3.validate(document) == document


def test_kcidb_objects_refer_to_objects_that_are_there(folder):
    document = json.loads((folder / "kcidb.json").read_text())
    assert document["version"] == {"major": 5, "minor": 3}
    ids = {
        kind: {item["id"] for item in document[kind]} for kind in ("checkouts", "builds", "tests", "issues")
    }
    assert all(len(ids[kind]) == len(document[kind]) for kind in ids)
    assert {b["checkout_id"] for b in document["builds"]} <= ids["checkouts"]
    assert {t["build_id"] for t in document["tests"]} <= ids["builds"]
    assert {i["issue_id"] for i in document["incidents"]} <= ids["issues"]
    assert {t["status"] for t in document["tests"]} <= {s.value for s in Status}
    assert all(re.fullmatch(r"[.a-zA-Z0-9_-]*", t["path"]) for t in document["tests"])
    assert not any(v is None for t in document["tests"] for v in t.values())


def test_markdown_has_the_map_and_what_does_not_pass(folder, bad):
    text = (folder / "report.md").read_text()
    assert re.search(r"\| chip-00 \| PASS \d+", text) and "measured" in text
    assert f"{bad.verdict.status.value} | runtime | {bad.cell}" in text


def test_the_page_needs_nothing_from_elsewhere(folder):
    for path in folder.glob("*.*"):
        if path.suffix in (".html", ".js", ".css"):
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text()), path.name


def test_the_command_reports_a_store(tmp_path, capsys):
    store = Store.open(tmp_path / "s")
    for result in synthetic.results(4):
        store.add(result)
    assert main(["report", "--store", str(tmp_path / "s"), "--out", str(tmp_path / "r")]) == 0
    assert "4 cells (4 PASS)" in capsys.readouterr().out
    assert (tmp_path / "r" / "index.html").is_file()


# --- the page as it is written, with or without a browser -------------------------------------------------


class Page(html.parser.HTMLParser):
    """What assistive technology needs to know of a DOM."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.tags if t == tag and all(a.get(k) == v for k, v in wanted.items())]


@pytest.fixture(scope="module")
def written(folder):
    return Page((folder / "index.html").read_text())


def test_the_page_is_for_assistive_technology_as_written(written):
    assert written.all("html", lang="en") and written.all("meta", name="viewport")
    ids = [a["id"] for _, a in written.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in written.tags:  # whatever refers to something refers to something that is there
        if "hidden" in attributes:
            continue  # filled by a script when it is shown
        for name in ("aria-labelledby", "for"):
            assert set((attributes.get(name) or "").split()) <= set(ids)
    skip = next(a for a in written.all("a") if a.get("class") == "skip")
    assert (skip["href"] or "").lstrip("#") in ids
    for tag in ("section", "nav", "form"):
        assert all("aria-label" in a or "aria-labelledby" in a for a in written.all(tag)), tag
    levels = [int(tag[1]) for tag, _ in written.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    assert written.all("p", role="status") and written.all("noscript")


def test_every_file_and_element_that_the_page_asks_for_is_there(written, folder):
    asked = [a["src"] for a in written.all("script")] + [a["href"] for a in written.all("link")]
    assert asked and all((folder / str(name)).is_file() for name in asked)
    ids = {a["id"] for _, a in written.tags if "id" in a}
    for script in folder.glob("*.js"):
        wanted = set(re.findall(r'element\("([\w-]+)"\)', script.read_text()))
        assert wanted <= ids, script.name


def test_what_the_page_shows_is_what_was_judged(folder, cells):
    """The data that the scripts draw, decoded as they decode it."""
    text = (folder / "data" / "summary.js").read_text()
    summary = json.loads(json.loads(re.search(r"JSON\.parse\((\".*\")\) \};", text)[1]))  # type: ignore[index]
    assert summary["digest"] == [j.cell.digest for j in cells]
    assert all(
        len(summary[name]) == len(cells) for name in ("digest", "green", "p99", "runs", "slot", "chunk")
    )
    for name, wanted in (
        ("status", [j.verdict.status.value for j in cells]),
        ("rung", [j.verdict.rung.value for j in cells]),
        ("soc", [j.cell.soc for j in cells]),
    ):
        assert [summary["names"][name][code] for code in summary[name]] == wanted
    chunks = {path.name for path in (folder / "data").glob("cells-*.js")}
    assert chunks == {f"cells-{chunk}.js" for chunk in summary["chunk"]}
    chunk = json.loads(
        json.loads(re.search(r"JSON\.parse\((\".*\")\);", (folder / "data" / "cells-0.js").read_text())[1])  # type: ignore[index]
    )
    assert all(summary["chunk"][summary["digest"].index(digest)] == 0 for digest in chunk["cells"])
    assert all("--cell" in detail["command"] for detail in chunk["cells"].values())


# --- the page in a browser --------------------------------------------------------------------------------


@needs_browser
def test_the_map_shows_status_and_rung_in_words_and_is_for_keyboards(folder, tmp_path):
    text = browse(tmp_path, folder / "index.html", "", "--dump-dom")
    page = Page(text)
    assert re.search(r'<html lang="en" data-ready-ms="\d+">', text)
    assert f"{CELLS} of {CELLS} cells" in text
    assert all(head.get("scope") in ("row", "col") for head in page.all("th"))
    fields = [a for a in page.all("a") if (a.get("aria-label") or "").startswith("chip-")]
    assert len(fields) == len({(j, k) for j in range(50) for k in range(CELLS // 100)})
    assert re.fullmatch(r"chip-00, sr/model-0: PASS 2; 2 measured", fields[0]["aria-label"] or "")
    assert len([a for a in fields if a.get("tabindex") == "0"]) == 1  # arrow keys move from there
    assert page.all("p", role="status") and page.all("table", role="grid")
    assert "A &lt;b&gt;title&lt;/b&gt;" in text


@needs_browser
@pytest.mark.slow
def test_a_cell_opens_from_its_address_with_everything_about_it(folder, tmp_path, bad):
    text = browse(tmp_path, folder / "index.html", f"#cell={bad.cell.digest}", "--dump-dom")
    assert f"--cell {bad.cell.digest}" in text  # the command to run it again
    assert "297 right, 2 missing, 1 repeated" in text
    assert "deadline 33.3 ms" in text or "deadline 41.7 ms" in text or bad.verdict.rung.value == "emulated"
    assert "p99.9" in text or "no latencies" in text
    labels = [a.get("aria-label") for a in Page(text).all("svg")]
    assert labels and all(labels)
    for title in ("Verdict", "Versions", "Findings", "Observations", "Trend", "Placement"):
        assert f"<h3>{title}</h3>" in text


@needs_browser
@pytest.mark.slow
def test_filters_are_in_the_address(folder, tmp_path, cells):
    text = browse(tmp_path, folder / "index.html", "#status=FAIL&soc=chip-22", "--dump-dom")
    wanted = sum(j.verdict.status is Status.FAIL and j.cell.soc == "chip-22" for j in cells)
    assert f"{wanted} of {CELLS} cells" in text
    assert re.search(r'<option value="chip-22">', text)


@needs_browser
@pytest.mark.slow
def test_versions_are_compared_on_the_page(folder, tmp_path):
    text = browse(tmp_path, folder / "index.html", "#view=diff&axis=firmware", "--dump-dom")
    assert f"{CELLS // 2} pairs" in text and "firmware 2026.8 to 2026.9" in text
    assert "<td>broken</td>" in text


@needs_browser
@pytest.mark.slow
def test_the_pages_own_statistics_are_scipys(folder, tmp_path):
    stats = pytest.importorskip("scipy.stats")
    cases = [(12, 9.0, 0.03, 14, 9.04, 0.05), (3, 9.0, 0.2, 30, 8.9, 0.01), (60, 1.0, 0.04, 60, 1.0, 0.04)]
    calls = [
        f"welch({{n:{a},mean:{b},sd:{c}}},{{n:{d},mean:{e},sd:{f}}}).slower" for a, b, c, d, e, f in cases
    ]
    page = tmp_path / "test.html"
    shutil.copy(folder / "statistics.js", tmp_path)
    script = f"document.write(JSON.stringify([{','.join(calls)}]))"
    page.write_text(f'<script src="statistics.js"></script><pre><script>{script}</script></pre>')
    found = json.loads(re.search(r"\]?(\[[^\]]*\])</pre>", browse(tmp_path, page, "", "--dump-dom"))[1])  # type: ignore[index]
    for (a, b, c, d, e, f), p in zip(cases, found):
        wanted = stats.ttest_ind_from_stats(e, f, d, b, c, a, equal_var=False, alternative="greater").pvalue
        assert p == pytest.approx(wanted, rel=1e-6)


@needs_browser
@pytest.mark.slow
def test_a_picture_of_the_page_can_be_taken(folder, tmp_path):
    browse(tmp_path, folder / "index.html", "", f"--screenshot={tmp_path / 'page.png'}")
    assert (tmp_path / "page.png").stat().st_size > 20_000


@needs_browser
@pytest.mark.slow
def test_ten_thousand_cells_open(tmp_path, capsys):
    page = write_report(judge_all(synthetic.results(10_000), Policy()), tmp_path / "r")
    text = browse(tmp_path, page, "", "--dump-dom")
    assert "10,000 of 10,000 cells" in text
    with capsys.disabled():
        print(f"\n10,000 cells ready after {re.search('data-ready-ms=.([0-9]+)', text)[1]} ms (bar: 2,000)")  # type: ignore[index]
