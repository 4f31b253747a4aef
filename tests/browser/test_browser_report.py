"""Reports in a real browser: nothing overlaps, nothing is cut, nothing is empty, nothing leaves the file."""

import dataclasses
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browsing, chromium

from exafleet.apps.inputs import facts_as_of
from exafleet.report.build import report
from exafleet.report.charts import against_measured, kept, spread, tornado
from exafleet.report.claims.answer import check
from exafleet.report.claims.document import load_claims
from exafleet.report.claims.page import page as verdicts
from exafleet.report.html import page
from exafleet.report.table import Report, Table
from exafleet.sweep.sensitivity import sensitivity

ROOT = Path(__file__).parents[2]
DETECTORS = (Path(__file__).parent / "detect.js").read_text(encoding="utf-8")
EXAMPLES = ("startup-64-h100", "university-one-node", "tesla-xai-swap", "xai-2024-12")
SCREEN = ("overlap", "clipped", "empty", "sideways", "unnamed", "dangling")
PAPER = ("overlap", "clipped", "empty", "cut", "folded")
A4 = 703             # width of A4 within margins of 12 mm [px]
MOST = 3 * 2**20     # of a page [B]

pytestmark = pytest.mark.skipif(chromium() is None and not os.environ.get("CI"),
                                reason="no chromium here (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    program = chromium()
    assert program, "CI needs chromium: apt-get install chromium"
    with browsing(program) as browser:
        yield browser


@pytest.fixture(scope="module")
def told(tiny: Any) -> Report:
    """The sample with everything a report can hold."""
    return report(tiny.world, tiny.rates, tiny.plan, tiny.trace, sensitivity(tiny.world, tiny.rates, tiny.plan))


def planned(name: str) -> Report:
    """An example planned for the quoted future alone: the same sections and names in a tenth of the time."""
    from exafleet.apps.plan import answer
    from exafleet.apps.progress import Progress

    return answer(ROOT / "examples" / name, as_of=None, draws=1, seed=None, quick=True, progress=Progress(False)).report


def faults(tab: Browser, detectors: tuple[str, ...]) -> dict[str, list[str]]:
    """What the detectors find on the page as it is laid out now; those that find nothing are left out."""
    names = ", ".join(detectors)
    found = tab.ask(f"(() => {{ const {{ {names} }} = {DETECTORS.strip().removesuffix(';')}; "
                    f"return {{ {', '.join(f'{n}: {n}()' for n in detectors)} }}; }})()")
    return {name: list(said) for name, said in found.items() if said}


def looked_at(tab: Browser, made: Report, folder: Path) -> dict[str, Any]:
    """Every fault of a report by language, width, scheme or paper."""
    found: dict[str, Any] = {}
    for language in ("en", "zh"):
        file = folder / f"{language}.html"
        file.write_text(page(made, language), encoding="utf-8")
        assert file.stat().st_size < MOST
        for width in (1280, 390):
            tab.show(width=width)
            tab.open(file)
            for dark in (False, True):
                tab.show(width=width, dark=dark)
                found[f"{language} {width} {'dark' if dark else 'light'}"] = faults(tab, SCREEN)
                found[f"{language} {width} {'dark' if dark else 'light'} ink"] = faint(tab)
            found[f"{language} {width} console"] = tab.troubles
            found[f"{language} {width} requests"] = [r for r in tab.requests if r != file.resolve().as_uri()]
        tab.show(width=A4, paper=True)
        found[f"{language} paper"] = faults(tab, PAPER)
    return {place: what for place, what in found.items() if what}


def faint(tab: Browser) -> list[str]:
    """Words of pictures that could not be read on the paper behind them."""
    return [str(word) for word in tab.ask("""(() => {
      const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const paper = light(getComputedStyle(document.body).backgroundColor);
      return [...document.querySelectorAll(".chart svg text")].filter((t) => {
        const ink = light(getComputedStyle(t).fill);
        return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) < 4.5;
      }).map((t) => t.textContent);
    })()""")]  # noqa: E501


def test_the_sample_shows_well(tab, told, tmp_path):
    assert looked_at(tab, told, tmp_path) == {}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_show_well(tab, tmp_path, name):
    assert looked_at(tab, planned(name), tmp_path) == {}


def test_a_link_opens_what_is_folded(tab, told, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page(told), encoding="utf-8")
    tab.show(width=1280)
    tab.open(file)
    assert not tab.ask("document.getElementById('fact-3').checkVisibility({contentVisibilityAuto: true})")
    tab.ask("new Promise((done) => { location.hash = 'fact-3'; setTimeout(done, 100); })")
    assert tab.ask("document.getElementById('fact-3').checkVisibility({contentVisibilityAuto: true})")
    place = tab.ask("document.getElementById('fact-3').getBoundingClientRect().top")
    assert 0 <= place < 900


def test_the_title_of_an_axis_fits_a_phone(tab, told, tmp_path):
    """Long names leave a picture little width: what stands under it goes on two lines."""
    names = ["a fact with a rather long name", "another fact whose name is long"]
    spec = tornado([{"fact": name, "less": -1.0, "more": 2.0} for name in names], names,
                   "change of expected cost of the whole plan, million USD")
    made = dataclasses.replace(told, tables=(dataclasses.replace(told.table("power"), charts=(("", spec),)),))
    file = tmp_path / "report.html"
    file.write_text(page(made), encoding="utf-8")
    tab.show(width=390)
    tab.open(file)
    assert faults(tab, SCREEN) == {}
    assert tab.ask("[...document.querySelectorAll('.chart tspan')].length") >= 2


def test_pictures_of_a_validation_show_well(tab, told, tmp_path):
    rows = [{"measured": 10.0 * i, "predicted": 11.0 * i, "kind": f"kind {i % 3}"} for i in range(1, 30)]
    errors = [{"group": f"group {i % 4}", "error": 3.0 * (i % 7) - 9.0} for i in range(40)]
    sizes = [{"chips": 8 * 2**i, "share": 100.0 - i, "kind": kind}
             for i in range(8) for kind in ("measured", "predicted")]
    specs = (against_measured(rows), spread(errors, [f"group {i}" for i in range(4)], "error, %"),
             kept(sizes, "kept of the throughput per accelerator, %"))
    made = dataclasses.replace(told, tables=(dataclasses.replace(
        told.table("power"), charts=tuple((f"picture {i}", spec) for i, spec in enumerate(specs))),))
    assert looked_at(tab, made, tmp_path) == {}


def test_verdicts_on_claims_show_well(tab, tmp_path):
    facts = facts_as_of(None)
    checked = check(load_claims("gb200-2024-12", facts), facts, ("C01", "C13", "C19", "C21", "C41"))
    for language in ("en", "zh"):
        file = tmp_path / f"{language}.html"
        file.write_text(verdicts(checked, language), encoding="utf-8")
        for width in (1280, 390):
            tab.show(width=width)
            tab.open(file)
            assert faults(tab, SCREEN) == {}, (language, width)
        tab.show(width=A4, paper=True)
        assert faults(tab, PAPER) == {}, language
        assert tab.troubles == []
        assert [r for r in tab.requests if r != file.resolve().as_uri()] == []


def test_nothing_that_can_be_read_waits_for_the_charts(tab, told, tmp_path):
    """The library of the charts is run after the first paint; what is in view is drawn first, and the rest follows."""
    file = tmp_path / "report.html"
    file.write_text(page(told), encoding="utf-8")
    note = """addEventListener('load', () => { window.early = typeof vegaEmbed;
      const see = () => { for (const c of document.querySelectorAll('.chart:not(.seen)')) if (c.querySelector('svg')) {
        c.classList.add('seen'); window.drawn.push(c.id); } };
      window.drawn = []; new MutationObserver(see).observe(document.body, {childList: true, subtree: true}); });"""
    added = tab.send("Page.addScriptToEvaluateOnNewDocument", source=note)
    tab.show(width=1280)
    tab.open(file)
    tab.send("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])
    assert tab.ask("window.early") == "undefined"
    painted, ready = tab.ask("""[performance.getEntriesByName('first-contentful-paint')[0].startTime,
      performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd]""")
    assert painted > 0
    assert ready > 0
    order = tab.ask("window.drawn")
    places = tab.ask("[...document.querySelectorAll('.chart')].map((c) => c.id)")
    assert sorted(order) == sorted(places)
    assert order[0] == places[0]
    assert tab.ask("[...document.querySelectorAll('.chart')].every((c) => c.style.minHeight === '')")


def test_pictures_are_drawn_where_no_frame_is_painted(tab, told, tmp_path):
    """Without a window and at one go, as a script prints a report."""
    file = tmp_path / "report.html"
    file.write_text(page(told), encoding="utf-8")
    program = chromium()
    assert program
    done = subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--virtual-time-budget=20000", "--dump-dom", file.as_uri()], capture_output=True, timeout=120, check=True)
    dom = done.stdout.decode()
    places, drawn = dom.count('class="chart'), len(re.findall(r'<svg[^>]*class="marks"', dom))
    assert drawn == places > 3


def test_a_column_in_which_nothing_stands_is_left_out(told):
    power = told.table("power")
    bare = dataclasses.replace(power, rows=tuple((row[0], None, *row[2:]) for row in power.rows))
    none = dataclasses.replace(power, rows=tuple((row[0], "", *row[2:]) for row in power.rows), columns=(
        power.columns[0], dataclasses.replace(power.columns[1], kind="text"), *power.columns[2:]))
    heads = [page(dataclasses.replace(told, tables=(t,))).count('<th scope="col"') for t in (power, bare, none)]
    assert heads == [len(power.columns), len(power.columns), len(power.columns) - 1]  # a dash is something


def test_names_that_are_html_or_script_show_as_text(tab, told, tmp_path):
    evil = """</script><script>window.broken = 1</script><img src=http://127.0.0.1:9/x onerror="window.broken = 1">"""
    power = told.table("power")
    worse = dataclasses.replace(power, lead=evil, rows=tuple((evil, *row[1:]) for row in power.rows), charts=tuple(
        (evil, {**spec, "description": evil}) for _, spec in power.charts))
    cash = told.table("cash")
    owners = [{**row, "owner": evil} for row in cash.charts[0][1]["data"]["values"]]
    legend = {**cash.charts[0][1], "data": {"values": owners}}
    legend["encoding"] = {**legend["encoding"], "color": {**legend["encoding"]["color"], "scale": {"domain": [evil]}}}
    made = dataclasses.replace(told, title=evil, subtitle=evil, summary=(evil,), cards=((evil, evil, evil),), tables=(
        worse, dataclasses.replace(cash, charts=((evil, legend),))))
    file = tmp_path / "evil.html"
    file.write_text(page(made), encoding="utf-8")
    tab.show(width=1280)
    tab.open(file)
    assert tab.ask("[typeof window.broken, document.images.length, document.querySelector('h1').textContent]") == [
        "undefined", 0, evil]
    assert [r for r in tab.requests if r != file.resolve().as_uri()] == []
    assert tab.troubles == []


BROKEN = """<!doctype html><html><head><meta charset="utf-8"><title>broken</title>
<meta name="viewport" content="width=device-width, initial-scale=1, minimum-scale=1"></head><body style="margin:0">
<p style="position:absolute;top:0;left:0">one text</p><p style="position:absolute;top:4px;left:10px">another text</p>
<div style="margin-top:60px;width:60px;overflow:hidden;white-space:nowrap">a text too long for its box</div>
<svg style="display:block" width="100" height="20"><text x="60" y="15">leaves the picture</text></svg>
<svg style="display:block" width="300" height="20"><text x="0" y="15">shortened…</text></svg>
<div class="chart" id="chart-none" aria-label="none"><svg width="100" height="50"><g class="role-mark"></g></svg></div>
<div style="width:3000px">wide</div>
<section id="cut"><table style="width:2000px"><tr><td>cell</td></tr></table></section>
<section id="part"><details><summary>more</summary><p>folded text</p></details></section>
<a href="#nowhere">dead link</a>
<img src="http://127.0.0.1:9/pixel.png" alt="">
<script>console.error("a complaint"); setTimeout(() => { throw new Error("a bug"); }, 0);</script>
</body></html>"""


def test_every_detector_finds_the_fault_it_looks_for(tab, tmp_path):
    file = tmp_path / "broken.html"
    file.write_text(BROKEN, encoding="utf-8")
    tab.show(width=390)
    tab.open(file)
    found = faults(tab, tuple(dict.fromkeys(SCREEN + PAPER)))
    assert found["overlap"] == ['"one text" and "another text" overlap']
    assert found["clipped"] == ['"a text too long for its box" is cut off', '"leaves the picture" leaves its picture',
                                '"shortened…" is shortened']
    assert found["empty"] == ["chart-none shows nothing"]
    assert "in a window of 390 px" in found["sideways"][0]
    assert found["cut"] == ["cut: 2000 px of 390 px"]
    assert found["folded"] == ["part is folded away"]
    assert found["unnamed"] == ["a TABLE has no name"]
    assert found["dangling"] == ['the link "dead link" leads nowhere (#nowhere)']
    assert any("a complaint" in t for t in tab.troubles)
    assert any("a bug" in t for t in tab.troubles)
    assert "http://127.0.0.1:9/pixel.png" in tab.requests
    grey = tmp_path / "faint.html"
    grey.write_text('<body style="background:#fff"><div class="chart"><svg><text fill="#ddd">pale</text></svg></div>',
                    encoding="utf-8")
    tab.open(grey)
    assert faint(tab) == ["pale"]


def test_a_table_that_is_all_right_is_not_complained_of(tab, tmp_path):
    table = Table(id="t", title="T", lead="L", columns=(), rows=())
    file = tmp_path / "plain.html"
    file.write_text(page(Report(title="T", subtitle="S", summary=("s",), cards=(), tables=(table,))), encoding="utf-8")
    tab.show(width=390)
    tab.open(file)
    assert faults(tab, SCREEN) == {}
