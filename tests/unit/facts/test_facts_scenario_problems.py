"""Every mistake the format knows: told with file, line and key, all of them at once, and never as a traceback."""

# ruff: noqa: E501, ISC004  (expected texts read better as they are)

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest

from exafleet.facts import catalogue, world
from exafleet.facts.world import World, load_world
from exafleet.terms.errors import ScenarioError

TINY = Path(__file__).parents[2] / "samples" / "tiny"
TEXT = (TINY / "scenario.toml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True, scope="module")
def _facts_once() -> Iterator[None]:
    """The package's tables do not change between tests: read them once a date."""
    once = functools.lru_cache(catalogue.load_facts)

    def load_facts(as_of: date, own: Sequence[Path] = ()) -> catalogue.Facts:
        return catalogue.load_facts(as_of, own) if own else once(as_of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "load_facts", load_facts)
        yield


def line_of(text: str, start: str, within: str = "") -> int:
    """Line (from 1) of the first line that begins with `start`, after the first one that begins with `within`."""
    rows = text.split("\n")
    after = next((i for i, row in enumerate(rows) if row.startswith(within)), 0) if within else 0
    return next(i for i, row in enumerate(rows[after:], after) if row.startswith(start)) + 1


def load(folder: Path, *swaps: tuple[str, str], text: str = TEXT) -> World:
    """The tiny scenario with some of its text replaced, each piece at its first place."""
    for old, new in swaps:
        assert old in text, f"the sample no longer holds {old!r}"
        text = text.replace(old, new, 1)
    shutil.copy(TINY / "demand.csv", folder / "demand.csv")
    (folder / "scenario.toml").write_text(text, encoding="utf-8")
    return load_world(folder)


def problems(folder: Path, *swaps: tuple[str, str], text: str = TEXT) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(folder, *swaps, text=text)
    assert caught.value.exit_code == 2
    return [str(p) for p in caught.value.problems]


POWER = 'power = "400 kW"'
AT_POWER = f"scenario.toml:{line_of(TEXT, POWER)} sites.south.power"


@pytest.mark.parametrize(("written", "told"), [
    ('"120 kWh"', ': "kWh" is a unit of energy, this needs power; got \'120 kWh\'; '
                  'allowed: a power in W, kW, MW, GW, e.g. "150 MW"'),
    ("400", ': a number without a unit; got 400; allowed: a power in W, kW, MW, GW, e.g. "150 MW"'),
    ('"400"', ": a number without a unit; got '400'; allowed: a power in W, kW, MW, GW, e.g. \"150 MW\""),
    ('"-400 kW"', ": must not be negative; got '-400 kW'; allowed: from 0 W"),
    ('"lots"', ": not a quantity; got 'lots'; allowed: a power in W, kW, MW, GW, e.g. \"150 MW\""),
    ("true", ': not a quantity; got True; allowed: a power in W, kW, MW, GW, e.g. "150 MW"'),
    ("nan", ': a number without a unit; got nan; allowed: a power in W, kW, MW, GW, e.g. "150 MW"'),
    ("{}", ': a series without a month; allowed: { "2025-01" = "150 MW", ... }'),
    ('{ "2025-13" = "1 MW" }', ".2025-13: not a month; got '2025-13'; allowed: \"YYYY-MM\", e.g. \"2025-01\""),
    ('{ "2025-01" = "1 MW", "2025-01-20" = "2 MW" }', ": 2025-01 is given twice"),
    ('{ table = "../demand.csv", column = "app" }', ": a table must lie in the scenario's own folder; got "
     "'../demand.csv'. Put the file beside scenario.toml and write its name only."),
    ('{ table = "/etc/passwd", column = "app" }', ": a table must lie in the scenario's own folder; got "
     "'/etc/passwd'. Put the file beside scenario.toml and write its name only."),
    ('{ fact = "hgx-h100.power_maxx" }', '.fact: no fact "hgx-h100.power_maxx": unknown term "power_maxx". '
                                         "Did you mean 'power_max'"),
    ('{ fact = "hgx-h100.racks" }', ": the fact hgx-h100.racks is a number, this needs power"),
])
def test_wrong_power(tmp_path: Path, written: str, told: str) -> None:
    found = problems(tmp_path, (POWER, f"power = {written}"))
    assert len(found) == 1
    assert found[0].startswith(AT_POWER + told)


@pytest.mark.parametrize(("old", "new", "within", "told"), [
    ('pue = 1.4', 'pue = 0.9', "pue = 0.9", "sites.south.pue: out of range; got 0.9; allowed: 1 to 3"),
    ('cooling = ["air"]', 'cooling = ["air", "watr"]', 'cooling = ["air", "w',
     "sites.south.cooling[1]: unknown word 'watr'; allowed: air, liquid. Did you mean 'air'?"),
    ('owners = ["shop"]', 'owners = ["shop", "shop"]', "owners = ", 'sites.south.owners: "shop" is listed twice'),
    ('units = "32 GPUs"', 'units = "33 GPUs"', "units = \"33",
     "holdings[1].units: not a whole number of units (4.125); got '33 GPUs'"),
    ('bought = "2024-03"', 'bought = "2021-03"', 'bought = "2021',
     "holdings[0].bought: hgx-h100 bought before it was announced; got 2021-03; allowed: 2022-03-22 or later"),
    ('bought = "2024-03"', 'bought = "2025-03"', 'bought = "2025',
     "holdings[0].bought: bought after the plan starts; got 2025-03. Write what is still to come as [[open_orders]]."),
    ('owner = "lab"\nsite', 'owner = ["lab", "shop"]\nsite', "owner = [",
     "holdings[0].owner: two owners of one thing; got ['lab', 'shop']; allowed: one owner. "
     "Write one record for each, with its share."),
    ('owner = "lab"\nsite', 'owner = "labb"\nsite', 'owner = "labb"',
     "holdings[0].owner: unknown owner \"labb\"; allowed: lab, shop. Did you mean 'lab'?"),
    ('site = "north"', 'site = "nort"', 'site = "nort"',
     "holdings[0].site: unknown site \"nort\"; allowed: north, south. Did you mean 'north'?"),
    ('site = "north"', 'site = "south"', 'site = "south"',
     "holdings[0].site: lab may not install at south; allowed: shop. Add it to the owners of south"),
    ('system = "hgx-h100"\nunits = "32 GPUs"', 'system = "gb200-nvl72"\nunits = 2', 'site = "south"',
     "holdings[1].site: gb200-nvl72 needs liquid cooling, south has none; got air"),
    ('system = "gb200-nvl72"', 'system = "GB200"', 'system = "GB200"',
     'offers.gb200-maker.system: "GB200" can mean 5 things; allowed: gb200-gpu = '),
    ('system = "gb200-nvl72"', 'system = "NVL144"', 'system = "NVL144"',
     'offers.gb200-maker.system: "NVL144" can mean 2 things; allowed: vr-nvl72 = '),
    ('system = "gb200-nvl72"', 'system = "gb300-nvl72"', 'system = "gb300',
     "offers.gb200-maker.system: gb300-nvl72 is not known well enough as of 2024-12-19: no gb300-nvl72.chips, "),
    ('price = "$3.0M/rack"', 'price = "$60,000/superchip"', 'price = "$60',
     'offers.gb200-maker.price: "USD/superchip" is a unit of price per superchip, this needs price per unit or price '
     "per chip; got '$60,000/superchip'"),
    ('price = { "2024-12" =', 'price = { "2025-02" =', 'price = { "2025-02"',
     "offers.h100-dealer.price: no price before 2025-02; allowed: a series from 2025-01 on"),
    ('first = "2025-01"\nlast = "2025-10"', 'first = "2025-11"\nlast = "2025-10"', 'last = "2025-10"',
     "offers.h100-dealer.last: ends before it begins; got 2025-11 to 2025-10"),
    ('first = "2025-01"\nlast = "2025-10"', 'first = "2020-01"\nlast = "2025-10"', 'first = "2020',
     "offers.h100-dealer.first: hgx-h100 ordered before it was announced; got 2020-01"),
    ('mid = "13 wk"', 'mid = "40 wk"', "lead = { low",
     "offers.gb200-maker.lead: low <= mid <= high does not hold; got ['8 wk', '40 wk', '30 wk']"),
    ('lead = ["2 wk", "4 wk", "10 wk"]', 'lead = ["2 wk", "4 wk"]', "lead = [",
     "offers.h100-dealer.lead: 2 values instead of three; got ['2 wk', '4 wk']"),
    ('sooner = "6 wk", ', '', "queue =",
     'offers.gb200-maker.queue: "sooner" is missing. It is: how much earlier those units come'),
    ('from = "8 units", price', 'from = "8 units", prize', "tiers =", "offers.h100-dealer.tiers[0]: not a tier"),
    ('paid = "20 %"', 'paid = "120 %"', 'paid = ',
     "open_orders.h100-ordered.paid: out of range; got '120 %'; allowed: 0 to 1"),
    ('term = "6 mo"', 'term = "6.5 mo"', 'term = "6',
     "rentals.cloud-half-year.term: not a whole number; got '6.5 mo'"),
    ('kind = "serve"', 'kind = "server"', 'kind = "server"',
     "jobs.app.kind: unknown kind of job 'server'; allowed: train, serve, research. Did you mean 'serve'?"),
    ('model = "llama-3-8b"', 'model = "llama3-8"', "model = ", 'jobs.base.model: unknown model "llama3-8". Did you mean'),
    ('dtype = "bf16"', 'dtype = "bf61"', "dtype = ", "jobs.base.dtype: unknown word 'bf61'; allowed: bf16, fp8, fp4"),
    ('due = "2025-05"', 'due = "2025-01"', "due = ",
     "jobs.base.due: due before it can start; got due 2025-01, earliest 2025-02"),
    ('most = 256', 'most = 32', "most = 32", "jobs.base.most: most is less than least; got 32 < 64"),
    ('batch = "4 Mtokens"', 'batch = "4000 tokens"', "batch = ",
     "jobs.base.batch: the batch is less than one sequence; got 4000 tokens, sequences of 8192"),
    ('tokens = "2T tokens"', 'tokens = "2T tokens"\nflops = "1e23 FLOP"', "flops = ",
     'jobs.base.flops: both "tokens" and "flops"; allowed: "tokens" or "flops"'),
    ('ttft = "2 s"', 'ttft = "0 s"', "ttft = ", "jobs.app.ttft: out of range; got '0 s'"),
    ('borrower = "lab"', 'borrower = "shop"', "borrower", "loans[0].borrower: lender and borrower are the same; got shop"),
    ('end = "north"', 'end = "south"', "end = ", "moves[0].end: a move ends where it starts; got south"),
    ('[sources]', '[source]', "[source]", "source: unknown table \"source\". Did you mean 'sources'?"),
    ('[[moves]]', '[moves]', "[moves]", "moves: moves is a list of records. Begin each record with [[moves]]."),
    ('months = 12', 'months = 0', "months = 0", "scenario.months: out of range; got 0; allowed: 1 to 360 mo"),
    ('months = 12', 'months = 361', "months = 361", "scenario.months: out of range; got 361; allowed: 1 to 360 mo"),
    ('as_of = 2024-12-19', 'as_of = "yesterday"', "as_of", "scenario.as_of: not a date; got 'yesterday'"),
    ('draws = 3', 'draws = 0', "draws", "risk.draws: out of range; got 0; allowed: 1 to 100000"),
    ('currency = "USD"', 'currency = "GBP"', "currency", "scenario.currency: unknown word 'GBP'; allowed: USD, CNY, EUR"),
    ('quota = { north', 'quota = { nort', "quota",
     "owners.lab.quota.nort: unknown site \"nort\"; allowed: north, south. Did you mean 'north'?"),
])
def test_one_mistake_is_told_once_with_its_line(tmp_path: Path, old: str, new: str, within: str, told: str) -> None:
    found = problems(tmp_path, (old, new))
    line = line_of(TEXT.replace(old, new, 1), within)
    assert found[0].startswith(f"scenario.toml:{line} {told}"), found
    assert len(found) == 1, found


def test_a_missing_key_is_told_at_its_record_with_its_meaning(tmp_path: Path) -> None:
    line = line_of(TEXT, "[[sites]]", 'install_rate = "1')
    assert problems(tmp_path, ('install_rate = "2 racks/wk"\n', "")) == [
        f'scenario.toml:{line} sites.south: "install_rate" is missing. It is: rack positions that can be installed; '
        'a server may take a fraction of one; write e.g. install_rate = "4 racks/day"']


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    found = problems(tmp_path, ('rent = "$150/kW/mo"', 'rnt = "$150/kW/mo"'))
    assert found == [f"scenario.toml:{line_of(TEXT, 'rent =')} sites.north.rnt: unknown key \"rnt\"; allowed: id, name, "
                     "power, cooling, install_rate, pue, energy_price, carbon, region, grid, rent, owners. "
                     "Did you mean 'rent'?"]


def test_all_problems_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = problems(tmp_path, ('months = 12', 'months = 0'), (POWER, 'power = "120 kWh"'),
                     ('owner = "lab"\nsite', 'owner = ["lab", "shop"]\nsite'),
                     ('system = "gb200-nvl72"', 'system = "GB200"'), ('kind = "serve"', 'kind = "server"'))
    lines = [int(p.split(":")[1].split()[0]) for p in found]
    assert len(found) == 5
    assert lines == sorted(lines)


def test_ids_used_twice_name_the_first(tmp_path: Path) -> None:
    found = problems(tmp_path, ('id = "cloud-half-year"', 'id = "cloud-spot"'))
    first = line_of(TEXT, "[[rentals]]")
    assert len(found) == 1
    assert f'the id "cloud-spot" is used twice; got first at scenario.toml:{first}' in found[0]


def test_the_same_units_held_twice(tmp_path: Path) -> None:
    start, end = TEXT.index("[[holdings]]"), TEXT.index("[[holdings]]\nowner = \"shop\"")
    found = problems(tmp_path, text=TEXT + TEXT[start:end])
    assert len(found) == 1
    assert found[0].endswith(f"the same units are held twice; got first at scenario.toml:{line_of(TEXT, '[[holdings]]')}."
                             " Write it once, with the sum.")


@pytest.mark.parametrize("price", ["€450k/rack", "¥3,000,000/rack", "450k CNY/rack"])
def test_a_currency_without_a_rate_is_refused(tmp_path: Path, price: str) -> None:
    early = (('as_of = 2024-12-19', 'as_of = 2019-06-30'),)
    found = problems(tmp_path, *early, ("$450k/rack", price))
    assert any("no exchange rate of " in p and "is known as of 2019-06-30" in p and "facts.csv" in p for p in found)


@pytest.mark.parametrize(("text", "told"), [
    ("", "scenario.toml: an empty scenario. Begin with [scenario]"),
    ("# nothing\n", "scenario.toml: an empty scenario. Begin with [scenario]"),
    ('name = "x"\n', "scenario.toml: no [scenario] table. Begin with [scenario]"),
    ('name = "x"\n', 'scenario.toml:1 name: unknown key "name". It belongs under [scenario].'),
    ("", "scenario.toml: an empty scenario: there is nothing to do. Add [[jobs]]."),
])
def test_an_empty_scenario(tmp_path: Path, text: str, told: str) -> None:
    assert any(p.startswith(told) for p in problems(tmp_path, text=text))


@pytest.mark.parametrize(("text", "told"), [
    ("a = \n", "scenario.toml:1: not TOML: invalid value; got a ="),
    ("[scenario]\npower = 400 kW\n", "scenario.toml:2: not TOML: expected newline or end of document after a statement; "
     'got power = 400 kW. Write a quantity in quotes, e.g. power = "150 MW".'),
    ("[scenario]\nname = 'x'\nname = 'y'\n", "scenario.toml:3: not TOML: "),
    ("a = " + "[" * 5000, "scenario.toml: nested too deeply"),
    ("a = " + "[" * 60 + "]" * 60, "scenario.toml: nested too deeply"),
    ("a = " + "9" * 5000, "scenario.toml: not TOML: "),
    ("x = '''", "scenario.toml:1: not TOML: "),
])
def test_broken_toml(tmp_path: Path, text: str, told: str) -> None:
    assert problems(tmp_path, text=text)[0].startswith(told)


def test_a_column_of_a_table_that_is_not_there(tmp_path: Path) -> None:
    line = line_of(TEXT, "demand = { table")
    assert problems(tmp_path, ('column = "app"', 'column = "ap"')) == [
        f'demand.csv:1 (from scenario.toml:{line} jobs.app.demand): no column "ap"; allowed: month, app. '
        "Did you mean 'app'?"]


@pytest.mark.parametrize(("csv", "place", "told"), [
    ("month,app\n2025-01,5 ktokens/s\n2025-02,many\n", "other.csv:3", "not a quantity; got 'many'"),
    ("month,app\n2025-01,5 ktokens/s\n2025-02,6 MW\n", "other.csv:3", '"MW" is a unit of power, this needs token rate'),
    ("month,app\n2025-01,5\n", "other.csv:2", "a number without a unit; got '5'"),
    ("month,app\n2025-01,5 ktokens/s\nMarch,6 ktokens/s\n", "other.csv:3", "not a month; got 'March'"),
    ("month,app\n2025-01,\n", "other.csv:2", "an empty cell"),
    ("month,app\n2025-01,5 ktokens/s,6\n", "other.csv:2", "3 cells under 2 columns"),
    ("date,app\n2025-01,5 ktokens/s\n", "other.csv:1", 'no column "month"; allowed: date, app'),
    ("month,app,app\n2025-01,5 ktokens/s,\n", "other.csv:1", 'column "app" twice'),
    ('month,app\n2025-01,"5\n', "other.csv:2", "not CSV: "),
    ("month,app\n", "other.csv", "the table is empty"),
    ("", "other.csv", "the table is empty"),
])
def test_bad_tables(tmp_path: Path, csv: str, place: str, told: str) -> None:
    (tmp_path / "other.csv").write_text(csv, encoding="utf-8")
    line = line_of(TEXT, "demand = { table")
    found = problems(tmp_path, ('table = "demand.csv"', 'table = "other.csv"'))
    assert len(found) == 1
    assert found[0].startswith(f"{place} (from scenario.toml:{line} jobs.app.demand): {told}")


def test_a_missing_table(tmp_path: Path) -> None:
    found = problems(tmp_path, ('table = "demand.csv"', 'table = "nothing.csv"'))
    assert len(found) == 1
    assert "nothing.csv" in found[0]
    assert "no such file" in found[0]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_table_behind_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("month,app\n2025-01,5 ktokens/s\n", encoding="utf-8")
    folder = tmp_path / "scenario"
    folder.mkdir()
    (folder / "inside.csv").symlink_to(outside)
    found = problems(folder, ('table = "demand.csv"', 'table = "inside.csv"'))
    assert "a table must lie in the scenario's own folder" in found[0]


@pytest.mark.parametrize(("data", "told"), [
    (b"[scenario]\nname = \"\xff\"\n", "scenario.toml:2: not UTF-8; got byte 0xff. Save the file as UTF-8."),
    (b"#" * 10_000_001, "scenario.toml: the file is too large; got 10.0 MB; allowed: at most 10 MB"),
])
def test_files_that_are_no_text(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "scenario.toml").write_bytes(data)
    with pytest.raises(ScenarioError) as caught:
        load_world(tmp_path)
    assert str(caught.value) == told


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"scenario\.toml: no such file\. A scenario is a file scenario\.toml"):
        load_world(tmp_path)
    with pytest.raises(ScenarioError, match=r"plan\.toml: no such file"):
        load_world(tmp_path / "plan.toml")


def test_messages_hold_no_path_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "facts.csv").write_text("subject,term\nx,y\n", encoding="utf-8")
    found = problems(tmp_path, ('table = "demand.csv"', 'table = "nothing.csv"'), (POWER, "power = 3"))
    assert len(found) >= 3
    assert not any(str(tmp_path) in p for p in found)


def test_own_facts_with_mistakes_are_told_with_the_rest(tmp_path: Path) -> None:
    header = "subject,term,at,value,low,high,unit,kind,source,where,as_of,note\n"
    (tmp_path / "facts.csv").write_text(header + "h100-sxm,hbm_bw,,3,,,TB,measured,us,lab book,2024-12,\n",
                                        encoding="utf-8")
    found = problems(tmp_path, (POWER, "power = 3"))
    assert any(p.startswith("facts.csv:2: ") and 'unit "TB"' in p for p in found)
    assert any(p.startswith(AT_POWER) for p in found)


def test_facts_in_the_scenario_are_checked(tmp_path: Path) -> None:
    text = TEXT + '\n[facts.set]\n"h100-sxm.hbm_bw" = "3.2 TB"\nh100-sxm.tdp = 700\n'
    found = problems(tmp_path, text=text)
    assert [p.split(": ")[0] for p in found] == [
        f"scenario.toml:{line_of(text, chr(34) + 'h100-sxm.hbm_bw')} facts.set.h100-sxm.hbm_bw",
        f"scenario.toml:{line_of(text, 'h100-sxm.tdp')} facts.set.h100-sxm.tdp"]


def test_a_resale_share_nobody_knew_yet_must_be_given(tmp_path: Path) -> None:
    found = problems(tmp_path, ("resale = 0.72 # assumed\n", ""), ("as_of = 2024-12-19", "as_of = 2024-11-30"))
    assert any('"resale" is missing, and no fact gives it as of 2024-11-30' in p for p in found)


def test_a_price_is_never_invented(tmp_path: Path) -> None:
    found = problems(tmp_path, ('energy_price = "$60/MWh"\n', ""), ('carbon = "400 g/kWh"\n', ""))
    assert len(found) == 2
    assert all("no fact gives it as of 2024-12-19" in p for p in found)


def test_ten_thousand_jobs_are_read_in_seconds(tmp_path: Path) -> None:
    start, end = TEXT.index('[[jobs]]\nkind = "train"'), TEXT.index('[[jobs]]\nkind = "serve"')
    job = TEXT[start:end]
    many = TEXT + "\n".join(job.replace('id = "base"', f'id = "base-{n}"') for n in range(10_000))
    began = time.process_time()
    assert len(load(tmp_path, text=many).scenario.jobs) == 10_003
    # Measured 3 s; the bound only catches work that grows with the square of the file.
    assert time.process_time() - began < 40


def test_ten_thousand_mistakes_are_all_told(tmp_path: Path) -> None:
    start, end = TEXT.index("[[moves]]"), len(TEXT)
    move = TEXT[start:end].replace('start = "south"', 'start = "nowhere"')
    found = problems(tmp_path, text=TEXT + "\n".join(move for _ in range(2_000)))
    assert len(found) == 2_000
