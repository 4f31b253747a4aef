"""Verdicts on claims: agreement with those found by hand, rules of tolerance and evidence, and facts that move them."""

import csv
import io
import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.apps.inputs import facts_as_of
from exafleet.facts.catalogue import Facts
from exafleet.facts.scenario.document import parse_text
from exafleet.facts.scenario.tables import Folder
from exafleet.report.claims import amount, claimed_words, vocabulary
from exafleet.report.claims.answer import Checked, as_json, because, check, report, used
from exafleet.report.claims.claimed import QUANTITIES, claimed
from exafleet.report.claims.document import CLAIM_KEYS, load_claims, names, read_claims
from exafleet.report.claims.judge import Verdict
from exafleet.report.claims.page import page
from exafleet.terms.errors import ExafleetError, FactError
from exafleet.terms.said import catalogue, say
from exafleet.terms.term import terms
from exafleet.terms.units import parse, units

NAME = "gb200-2024-12"
ROOT = Path(__file__).resolve().parents[3]
# Verdicts a person found for each claim from its evidence, before any was computed: T true, C under conditions,
# F false, N cannot be known.
BY_HAND = dict(zip((f"C{n:02d}" for n in range(1, 47)),
                   "NFFNNCCFCFNTFTCCCCFCCCCTTCNCTNTTCFCTNFTCFFTFCT", strict=True))
LETTER = {Verdict.TRUE: "T", Verdict.CONDITIONAL: "C", Verdict.FALSE: "F", Verdict.OPEN: "N"}


@pytest.fixture(scope="module")
def facts() -> Facts:
    return facts_as_of(None)


@pytest.fixture(scope="module")
def checked(facts: Facts) -> Checked:
    return check(load_claims(NAME, facts), facts)


def verdict(facts: Facts, claim: str) -> Verdict:
    (answer,) = check(load_claims(NAME, facts), facts, (claim,)).answers
    return answer.verdict


def claims_of(text: str, facts: Facts) -> Checked:
    return check(read_claims(parse_text(text, "mine.toml", Folder(Path())), facts), facts)


def one(body: str, facts: Facts, head: str = "") -> Any:
    text = f'title = "t"\nas_of = 2024-12-19\n{head}[[claims]]\nid = "A"\ntext = "a"\nsubject = "gb200-nvl72"\n{body}\n'
    (answer,) = claims_of(text, facts).answers
    return answer


# --------------------------------------------------------------------------------------------- the article's claims
def test_every_verdict_is_the_one_found_by_hand(checked: Checked) -> None:
    assert {a.claim.id: LETTER[a.verdict] for a in checked.answers} == BY_HAND


def test_at_least_thirty_are_computed(checked: Checked) -> None:
    assert sum(a.computed for a in checked.answers) >= 30


def test_each_has_both_languages_and_says_why(checked: Checked) -> None:
    for answer in checked.answers:
        assert set(answer.claim.text) == {"en", "zh"}
        assert re.search(r"[\u4e00-\u9fff]", answer.claim.text["zh"])
        assert because(answer) or answer.shown.reading.facts
        assert answer.verdict is not Verdict.CONDITIONAL or answer.true_when
        assert answer.verdict is not Verdict.OPEN or answer.decides


def test_the_known_figures_come_out(checked: Checked) -> None:
    """From the studies behind the verdicts: 5.06 and 5.05 a superchip, 36 superchips, 7.86 BCNY, 30,857 GPUs."""
    found = {a.claim.id: a for a in checked.answers}
    peaks = {j.reading.chosen["dtype"]: j.reading.amount.value for j in found["C06"].judged if j.reading.amount
             and j.reading.chosen["work"] == "rated peak" and j.reading.chosen["unit"] == "superchip against GPU"
             and j.reading.chosen["density"] == "dense"}
    assert round(peaks["bf16"], 2) == 5.06
    assert round(peaks["fp8"], 2) == 5.05
    singles = {j.reading.chosen["dtype"]: j.reading.amount.value for j in found["C06"].judged if j.reading.amount
               and j.reading.chosen["work"] == "best product measured"
               and j.reading.chosen["unit"] == "GPU against GPU"}
    assert (round(singles["bf16"], 2), round(singles["fp8"], 2)) == (2.29, 2.58)
    assert found["C13"].shown.reading.amount.value == 36
    assert found["C02"].shown.reading.amount.value == pytest.approx(7.863e9, rel=1e-3)
    gpus = {j.reading.chosen["price"]: j.reading.amount for j in found["C08"].judged if j.reading.amount}
    assert gpus["bare rack"].value == pytest.approx(25_920)
    assert (round(gpus["superchip"].low), round(gpus["superchip"].value)) == (30_857, 33_231)
    assert {"unit": ("GPU",)} in found["C13"].beyond
    assert {"event": ("design at the foundry",)} in found["C41"].beyond
    training = [j.reading.amount.value for j in found["C19"].judged if j.reading.amount]
    assert 2.0 < min(training) < max(training) < 4.0


# What stays in Latin letters in Chinese: units, formats, currencies in brackets, and names the trade uses.
KEPT = {"GPU", "CPU", "IT", "token", "W", "kW", "MW", "nm", "PFLOP", "TFLOP", "s", "GB", "NVL", "bf", "fp", "FP", "CNY",
        "USD", "B", "FLOP", "MLPerf", "PUE", "AI", "exafleet", "data", "hash"}
NAMES = ("NVIDIA", "Meta", "Grok", "Grace", "Blackwell", "Rubin", "Ultra", "MLPerf", "Training", "GB", "H", "xAI", "C")


class _Seen(HTMLParser):
    """Text that a reader of a page sees, without what is marked as English."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.stack: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            other = any(name == "lang" and value == "en" for name, value in attrs)
            self.stack.append(other or tag in ("style", "script") or (bool(self.stack) and self.stack[-1]))

    def handle_endtag(self, tag: str) -> None:
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        if self.stack[-1:] != [True]:
            self.texts.append(data)


def _latin(html: str, names: str) -> set[str]:
    """Words in Latin letters of a Chinese page that are no names, keys, commands or units."""
    seen = _Seen()
    seen.feed(re.sub("[0-9a-f]{40,}", "", html))
    known = {*re.findall(r"[A-Za-z]+", names), *KEPT, *NAMES}
    return {word for text in seen.texts for word in re.findall(r"[A-Za-z]+", text)} - known


def _names(checked: Checked) -> str:
    """Keys, sources and ids of facts and subjects, the claims' own Chinese, and commands."""
    every = [f for a in checked.answers for f in used(a)]
    return " ".join([*(f"{f.key} {f.source}" for f in every), *checked.facts.subjects.by_id, checked.claims.source,
                     *(f.unit for f in every), *(a.claim.text["zh"] for a in checked.answers),
                     *(w for a in checked.answers for w in a.decides if "." in w for w in re.findall(r"\S+\.\S+", w)),
                     "exafleet train system gpus dtype"])


def test_in_chinese_only_names_and_units_are_in_latin_letters(checked: Checked) -> None:
    """The whole page: names of parts, steps, notes, readings, units and what was claimed."""
    assert sorted(_latin(page(checked, "zh"), _names(checked))) == []
    data = json.dumps([[c[k] for k in ("because", "steps", "decided_by", "also", "note", "claimed_written")]
                       for c in as_json(checked, "zh")["claims"]], ensure_ascii=False)
    assert not re.search(r"(?:about|more than|ratio of|rate this|later than|racks) ", data)


def test_a_word_that_nobody_translated_would_be_found(checked: Checked) -> None:
    worse = page(checked, "zh").replace("<footer>", "<footer>Nobody translated this.")
    assert {"Nobody", "translated", "this"} <= _latin(worse, _names(checked))


@pytest.mark.parametrize(("said", "quantity", "wanted"), [
    ("about 7.265B CNY", "money", "约72.65亿元"), ("1.08B USD", "money", "10.8亿美元"),
    ("€1.5M", "money", "150万欧元"), ("up to 70,000 USD/superchip", "price", "高达7万美元/超级芯片"),
    ("3.0 MUSD/rack", "price", "300万美元/机柜"),
    ("65,000 to 70,000 USD/superchip", "price", "6.5万美元/超级芯片～7万美元/超级芯片"),
    ("$2.65/GPU-h", "price", "2.65美元/GPU小时"), ("700 W to 1200 W", "power", "700 W～1,200 W"),
    ("1.2 GW", "power", "1.2 GW"), ("more than 50 %", "share", "超过50%"), ("about 5 x", "speed-up", "约5倍"),
    ("100,000 GPUs", "count", "10万块GPU"), (208e9, "count", "2,080亿"), (72, "count", "72"),
    ("at least 12 mo", "duration", "至少12个月"), ("19 d", "duration", "19天"), ("4 racks/d", "rate", "4个机柜/天"),
    ("not before 2025-03", "date", "不早于2025年3月"), ("2025-H2", "date", "2025年下半年"),
    ("2024-Q4", "date", "2024年第4季度"), ("summer 2023", "date", "2023年夏"), ("mid 2025", "date", "2025年年中"),
    ("2025", "date", "2025年"), ("by 2024-12-19", "date", "不晚于2024-12-19"),
    ("2024-11 to 2025-01", "date", "2024年11月～2025年1月"), ("yes", "yes or no", "是"),
])
def test_what_is_claimed_is_said_in_chinese_with_every_digit(said: object, quantity: str, wanted: str) -> None:
    found = claimed(said, QUANTITIES[quantity])
    assert say(found.written, "zh") == wanted
    assert say(found.written, "en") == (said if isinstance(said, str) else f"{said:,.15g}")


@pytest.mark.parametrize(("value", "dimension", "english", "chinese"), [
    (4 / 86400, "install_rate", "4 racks/d", "4个机柜/天"),
    (2.5e-6, "token_price", "$2.50/Mtoken", "2.50美元/百万token"),
    (1.0, "chips", "1 GPU", "1块GPU"), (7.863e9, "money", "$7.86B", "78.6亿美元"),
    (19 * 86400, "time", "19 d", "19天"),
    (4e-9, "length", "4 nm", "4 nm"), (5e15, "flop_rate", "5 PFLOP/s", "5 PFLOP/s"),
])
def test_figures_are_spoken_in_units_that_people_use(value: float, dimension: str, english: str, chinese: str) -> None:
    found = amount.spoken(value, amount.dims_of(dimension))
    assert (str(found), say(found, "zh")) == (english, chinese)


def test_a_figure_in_every_unit_is_said_and_means_the_same() -> None:
    """No unit of the list is one that a claim could not be written in; what is said can be read again."""
    for name, known in units().items():
        if known.dimension in ("date", "fx"):
            continue
        found = claimed_words.figure(parse(f"2.5 {name}", known.dimension))
        assert say(found, "zh").strip()
        if re.fullmatch(r"[\d.,]+ \S+", found) and found.split(" ")[1] in units():
            assert parse(str(found), known.dimension).value == pytest.approx(2.5 * known.to_base), (name, found)


def test_every_term_of_the_claims_has_chinese_words() -> None:
    text = (ROOT / "src/exafleet/data/claims" / f"{NAME}.toml").read_text(encoding="utf-8")
    named = {name for name in re.findall(r'"[a-z0-9.-]+\.([a-z_]+)(?:@[^"]*)?"', text) if name in terms()}
    assert len(named) > 30
    assert {f"term.{name}" for name in named} <= set(catalogue())


def test_no_verdict_is_written_in_the_file() -> None:
    text = (ROOT / "src/exafleet/data/claims" / f"{NAME}.toml").read_text(encoding="utf-8")
    assert "verdict" not in "".join(line for line in text.splitlines() if not line.startswith("#"))
    assert not {key.name for key in CLAIM_KEYS} & {"verdict", "answer", "true"}


def test_the_example_is_the_package_s_file() -> None:
    home, copy = ROOT / "src/exafleet/data/claims" / f"{NAME}.toml", ROOT / "examples/claims" / f"{NAME}.toml"
    assert home.read_bytes() == copy.read_bytes(), "run: python tools/generate_docs.py claims"
    assert names() == (NAME,)


# ------------------------------------------------------------------------------------- change a fact, and it follows
@pytest.mark.parametrize(("claim", "key", "value", "wanted"), [
    ("C02", "cny.fx@2024-12", 6.727, "C"),
    ("C03", "xai-gb200-first.event_day@online", date(2025, 1, 20).toordinal(), "T"),
    ("C04", "xai-gb200-2024-12.premium_price", 0.12, "T"),
    ("C07", "cny.fx@2024-12", 6.9, "F"),
    ("C08", "gb200-nvl72.unit_price@2024-05", 780e3, "C"),
    ("C09", "grok-app.event_day@first-test", date(2025, 2, 1).toordinal(), "F"),
    ("C10", "grok-3-release.event_day@released", date(2024, 12, 20).toordinal(), "T"),
    ("C11", "grok-3-release.has@first-on-every-metric", 1.0, "C"),
    ("C12", "gb200-gpu.has@cowos-l", 0.0, "F"),
    ("C13", "gb200-superchip.chips", 1.0, "C"),
    ("C14", "gb200-nvl72.racks_shipped@fy2026", 9000.0, "F"),
    ("C14", "b100.has@cancelled", 0.0, "F"),
    ("C15", "gb200-gpu.transistors", 104e9, "C"),
    ("C15", "gb200-gpu.transistors", 80e9, "F"),
    ("C16", "gb200-gpu.process_node", 5e-9, "F"),
    ("C20", "gb200-gpu.tdp", 1400.0, "F"),
    ("C21", "gb200-superchip.superchip_price@2024-05", 90e3, "F"),
    ("C22", "gb200-nvl72.unit_price@2024-05", 5e6, "F"),
    ("C23", "gb200-nvl72.unit_price@2024-05", 4e6, "F"),
    ("C24", "gb200-nvl72.volume_ship", date(2025, 4, 2).toordinal(), "F"),
    ("C25", "gb200-nvl72.has@delay-by-cartridge", 0.0, "F"),
    ("C26", "gb200-nvl72.volume_ship", date(2025, 1, 15).toordinal(), "F"),
    ("C27", "gb200-nvl72.order_cut@microsoft:2024-12", 0.1, "F"),
    ("C28", "gb300-nvl72.first_ship", date(2026, 1, 1).toordinal(), "C"),
    ("C29", "gb200-nvl72.lead_time@2024-10", 10 * 604800.0, "F"),
    ("C30", "xai.has@allocation-by-personal-ties", 0.0, "F"),
    ("C31", "xai.event_day@founded", date(2022, 7, 1).toordinal(), "F"),
    ("C32", "xai.valuation@2024-11", 60e9, "F"),
    ("C33", "xai.valuation@2024-11", 15e9, "F"),
    ("C34", "grok-1.5-release.event_day@released", date(2024, 6, 1).toordinal(), "C"),
    ("C35", "colossus-1.install_time", 60 * 86400.0, "F"),
    ("C36", "colossus-1.chips_online@2024-09-02", 50e3, "F"),
    ("C37", "xai-to-tesla.chips_bought@2025", 5000.0, "T"),
    ("C38", "tesla-pay-case.event_day@filed", date(2024, 6, 13).toordinal(), "T"),
    ("C39", "tesla-pay-case.event_day@struck-down-again", date(2025, 3, 1).toordinal(), "F"),
    ("C40", "gb200-nvl72.volume_ship", date(2024, 12, 1).toordinal(), "F"),
    ("C41", "rubin.first_ship", date(2025, 9, 1).toordinal(), "T"),
    ("C42", "rubin.first_ship", date(2025, 12, 31).toordinal(), "C"),
    ("C43", "rubin.process_node", 4e-9, "F"),
    ("C44", "rubin.compute_dies", 4.0, "C"),
    ("C45", "rubin.tdp", 1800.0, "T"),
    ("C46", "tesla-to-x-2023.chips_bought@2023", 0.0, "F"),
])
def test_a_changed_fact_changes_the_verdict(facts: Facts, claim: str, key: str, value: float, wanted: str) -> None:
    if claim == "C34":  # gaps of 2.4 months, of what-ifs, which are no better than estimates
        facts = facts.with_fact("grok-1-release.event_day@released", date(2024, 3, 20).toordinal())
    assert LETTER[verdict(facts.with_fact(key, value), claim)] == wanted


def test_a_faster_baseline_changes_what_training_gains(facts: Facts) -> None:
    """The speed-up of training is a model's, so it follows the chip: H100 with a twentieth of its rates loses by 30."""
    slow = facts
    for term in ("peak_flops@bf16", "peak_flops@fp8", "hbm_bw", "link_bw", "nic_bw"):
        slow = slow.with_fact(f"h100-sxm.{term}", facts.value(f"h100-sxm.{term}") / 12)
    assert verdict(slow, "C19") is not Verdict.FALSE


def test_a_rumour_that_is_confirmed_decides(facts: Facts, tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text("subject,term,at,value,low,high,unit,kind,source,where,as_of,note\n"
                     "xai-gb200-2024-12,order_value,,1.08,,,BUSD,published,filing,page 1,2025-01-10,\n")
    own = facts_as_of(None, [table])
    assert verdict(own, "C01") is Verdict.TRUE
    assert verdict(own, "C05") is Verdict.TRUE


def test_nothing_is_decided_by_what_was_published_later() -> None:
    early = facts_as_of("2024-12-19")
    for answer in check(load_claims(NAME, early), early, ("C03", "C10", "C26", "C41", "C36", "C02")).answers:
        assert all(f.as_of <= date(2024, 12, 19) for f in answer.shown.reading.facts)
        if answer.claim.id in ("C03", "C10"):
            assert answer.verdict is Verdict.OPEN


# ------------------------------------------------------------------------------------------------------------ rules
@pytest.mark.parametrize(("said", "quantity", "low", "high"), [
    ("5 x", "speed-up", 4.5, 5.5),
    ("about 5 x", "speed-up", 4.0, 6.0),
    ("30 x", "speed-up", 27.0, 33.0),
    ("1.08B USD", "money", 1.0746e9, 1.0854e9),
    ("65,000 to 70,000 USD/superchip", "price", 64.5e3, 75e3),
    ("700 W to 1200 W", "power", 650.0, 1250.0),
    ("40 %", "share", 0.36, 0.44),
    ("2 to 3 mo", "duration", 1.8 * 2_629_800, 3.3 * 2_629_800),
    ("2025-03", "date", date(2025, 3, 1).toordinal(), date(2025, 3, 31).toordinal()),
    ("2025-H2", "date", date(2025, 7, 1).toordinal(), date(2025, 12, 31).toordinal()),
    ("2024-Q1", "date", date(2024, 1, 1).toordinal(), date(2024, 3, 31).toordinal()),
    ("2024-02", "date", date(2024, 2, 1).toordinal(), date(2024, 2, 29).toordinal()),
    ("summer 2023", "date", date(2023, 6, 1).toordinal(), date(2023, 8, 31).toordinal()),
])
def test_tolerance_follows_the_digits(said: str, quantity: str, low: float, high: float) -> None:
    found = claimed(said, QUANTITIES[quantity])
    assert (found.bottom, found.top) == pytest.approx((low, high))


def test_every_example_of_a_quantity_can_be_read() -> None:
    for quantity in QUANTITIES.values():
        assert claimed(quantity.example, quantity).text


@given(st.floats(min_value=1e-3, max_value=1e12), st.floats(min_value=1e-3, max_value=1e12))
def test_a_product_divided_by_a_factor_is_the_other(a: float, b: float) -> None:
    money, price = amount.plain(a, amount.dims_of("money")), amount.plain(b, amount.dims_of("price_per_unit"))
    racks = amount.divided(money, price)
    assert racks.dims == amount.dims_of("system_units")
    back = amount.multiplied([racks, price])
    assert back.value == pytest.approx(a)
    assert back.dims == money.dims
    assert racks.low <= racks.value <= racks.high


def test_quantities_of_two_kinds_do_not_meet(facts: Facts) -> None:
    with pytest.raises(FactError, match="are not of one kind"):
        one('quantity = "power"\nclaimed = "1 kW"\ncompute = { sum = ["1 kW", "3 USD"] }', facts)
    with pytest.raises(FactError, match="this computes a power, the claim is about a money"):
        one('quantity = "money"\nclaimed = "3 USD"\ncompute = { fact = "gb200-gpu.tdp" }', facts)
    with pytest.raises(FactError, match="the divisor is zero"):
        one('quantity = "count"\nclaimed = 3\ncompute = { ratio = [1, 0] }', facts)


def test_what_is_claimed_exactly_is_true_and_what_is_twice_that_is_false(facts: Facts) -> None:
    for key, quantity, unit in (("gb200-gpu.tdp", "power", "W"), ("gb200-gpu.hbm_bw", "rate", "B/s")):
        value = facts.value(key)
        for factor, wanted in ((1.0, Verdict.TRUE), (2.0, Verdict.FALSE)):
            answer = one(f'quantity = "{quantity}"\nclaimed = "{factor * value:.10g} {unit}"\n'
                         f'compute = {{ fact = "{key}" }}', facts)
            assert answer.verdict is wanted


def test_an_estimate_confirms_a_bound_and_no_figure(facts: Facts) -> None:
    key = 'compute = { fact = "gb200-superchip.superchip_price@2024-05" }'
    assert one(f'quantity = "price"\nclaimed = "65,000 USD/superchip"\n{key}', facts).true_when == (
        {"evidence": ("as an estimate",)},)
    assert one(f'quantity = "price"\nclaimed = "more than 50,000 USD/superchip"\n{key}', facts).verdict is Verdict.TRUE


def test_part_of_a_claim_that_fails_makes_it_false(facts: Facts) -> None:
    body = ('quantity = "power"\nclaimed = "1200 W"\ncompute = { fact = "gb200-gpu.tdp" }\nalso = [{ name = "b", %s'
            'compute = { fact = "b100.tdp" } }]')
    assert one(body % "", facts).verdict is Verdict.TRUE
    assert one(body % 'claimed = "900 W", ', facts).verdict is Verdict.FALSE


def test_every_word_has_an_example_that_computes(facts: Facts) -> None:
    for word in vocabulary.WORDS.values():
        body = 'quantity = "count"\nbaseline = "hgx-h100"\nclaimed = 1\n'
        other = ('[[claims]]\nid = "C01"\ntext = "x"\nsubject = "cny"\nquantity = "money"\nclaimed = "1 USD"\n'
                 'compute = "1 USD"\n')
        text = (f'title = "t"\nas_of = 2024-12-19\n{other}[[claims]]\nid = "A"\ntext = "a"\nsubject = "gb200-nvl72"\n'
                f'{body}compute = {word.example}\n')
        claims = read_claims(parse_text(text, "mine.toml", Folder(Path())), facts)
        assert claims.claims[1].compute
        assert word.name in claims.claims[1].compute


# -------------------------------------------------------------------------------------------------------- bad input
BAD = '''title = "t"
as_of = 2024-12-19
colour = "red"

[[claims]]
id = "A"
text = "a"
quantity = "speed-up"
subject = "GB200"
claimed = "5 x"
compute = { speedupp = {} }

[[claims]]
id = "A"
text = "b"
quantity = "powr"
subject = "gb200-nvl72"
claimed = "5 x"
compute = { fact = "gb200-gpuu.tdp" }

[[claims]]
id = "B"
text = "c"
quantity = "power"
subject = "gb200-nvl72"
claimed = "$700"
conditions = { work = "training", unit = "GPUU" }
compute = { by = { axis = "unit", of = [{ when = "GPU", take = "5 parsecs" }, { when = "r", take = { sum = [] } }] } }

[[claims]]
id = ""
text = "d"
quantity = "count"
subject = ""
claimed = 3
compute = {}
'''


def test_every_mistake_is_told_at_once_with_its_line(facts: Facts) -> None:
    with pytest.raises(FactError) as caught:
        claims_of(BAD, facts)
    said = [str(p) for p in caught.value.problems]
    for line, words in ((3, 'unknown key "colour"'), (5, "a speed-up without a baseline"), (9, "can mean"),
                        (11, 'unknown word "speedupp"'), (14, 'the id "A" is used twice'), (16, "unknown quantity"),
                        (19, 'no fact has the subject "gb200-gpuu"'), (26, "is a unit of money, this needs power"),
                        (27, 'condition "work" plays no part'), (27, "no option of"),
                        (28, "neither a quantity nor a day"), (28, '"sum" takes a list'), (31, '"id" is blank'),
                        (34, '"subject" is blank'), (36, '"compute" is blank')):
        assert any(s.startswith(f"mine.toml:{line} ") and words in s for s in said), (line, words, said)
    assert any("Did you mean 'speedup'" in s for s in said)
    assert any("'power'" in s for s in said if "powr" in s)


@pytest.mark.parametrize(("text", "words"), [
    ("", '"title" is missing'),
    ("title = 3\nas_of = 2024-13-45\n", "not TOML"),
    ('title = "t"\nas_of = "yesterday"\nclaims = 3\n', "not a date"),
    ('title = "t"\nas_of = 2024-12-19\nclaims = [3]\n', "not a table"),
    ('title = "t"\nas_of = 2024-12-19\n', "no claim"),
])
def test_files_that_are_no_claims_are_refused(facts: Facts, text: str, words: str) -> None:
    with pytest.raises(FactError, match=re.escape(words)):
        claims_of(text, facts)


def test_files_that_cannot_be_read_are_named(facts: Facts, tmp_path: Path) -> None:
    with pytest.raises(FactError, match="Did you mean 'gb200-2024-12'"):
        load_claims("gb200-2024", facts)
    wrong = tmp_path / "wrong.toml"
    wrong.write_bytes('title = "数据"'.encode("gbk"))
    with pytest.raises(FactError, match="not UTF-8"):
        load_claims(str(wrong), facts)
    with pytest.raises(FactError, match="is a folder"):
        load_claims(str(tmp_path), facts)


def test_a_computation_cannot_nest_for_ever(facts: Facts) -> None:
    node = "1"
    for _ in range(30):
        node = f"{{ sum = [{node}] }}"
    with pytest.raises(FactError, match="nested too deeply"):
        one(f'quantity = "count"\nclaimed = 1\ncompute = {node}', facts)


# ----------------------------------------------------------------------------------------------------------- answers
def test_json_says_what_it_promises(checked: Checked) -> None:
    data = json.loads(json.dumps(as_json(checked)))
    assert next(iter(data)) == "claims"
    for claim in data["claims"]:
        assert list(claim)[:7] == ["id", "verdict", "computed", "value", "claimed", "conditions", "facts"]
        assert claim["verdict"] in [v.value for v in Verdict]
        for fact in claim["facts"]:
            assert fact["source"]
            assert date.fromisoformat(fact["published"])
    by_id = {c["id"]: c for c in data["claims"]}
    assert by_id["C41"]["value"] == "2026-09-30"
    assert by_id["C41"]["claimed"] == ["2025-07-01", "2025-12-31"]
    assert by_id["C12"]["value"] is True
    assert (by_id["C20"]["claimed"], by_id["C20"]["unit"]) == ([700.0, 1200.0], "W")


def test_text_of_a_claim_comes_out_as_text(facts: Facts) -> None:
    text = ('title = "<script>alert(1)</script>"\nsource = "<b>x</b>"\nas_of = 2024-12-19\n[[claims]]\n'
            'id = "<img src=x onerror=alert(2)>"\ntext = { en = "<script>alert(3)</script>", ar = "٥ مرات \\u202e" }\n'
            'quantity = "power"\nsubject = "gb200-nvl72"\nclaimed = "1200 W"\nnote = "</article><script>"\n'
            'compute = { by = { axis = "<i>", of = [{ when = "<u>", take = "1 kW" }, '
            '{ when = "b", take = "9 W" }] } }\n')
    html = page(claims_of(text, facts))
    assert "<script" not in html
    assert not re.search(r"<(img|b|i|u)[ >]", html.replace("<b class", "").replace("computed<b>", ""))
    assert "&lt;script&gt;alert(3)" in html
    assert 'lang="ar" dir="auto"' in html
    assert not re.search(r'(?:src|href)="(?!#)', html)


def test_the_page_is_small_and_asks_nobody(checked: Checked) -> None:
    html = page(checked)
    assert len(html.encode()) < 3 * 2**20
    assert not re.search(r"https?:", re.sub(r">[^<]*<", "><", html))
    assert html.count("<article") == 46


def test_tables_hold_every_claim(checked: Checked) -> None:
    from exafleet.report.claims.answer import report

    table = report(checked).table("verdicts")
    assert [row[0] for row in table.rows] == list(BY_HAND)
    out = io.StringIO()
    csv.writer(out).writerows(table.written())
    assert "superchip against GPU" in out.getvalue()


def test_stopping_keeps_what_was_done(facts: Facts) -> None:
    def told(name: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    found = check(load_claims(NAME, facts), facts, ("C12", "C13", "C14"), told)
    assert [a.claim.id for a in found.answers] == ["C12", "C13"]
    assert found.left == ("C14",)


# ---------------------------------------------------------------------------------------------------------- languages
def test_the_chinese_words_of_a_claim_stand_first(checked: Checked) -> None:
    html = page(checked, "zh")
    assert '<html lang="zh-CN">' in html
    assert html.index("马斯克将以10.8亿美元") < html.index("xAI pre-orders")


def test_verdicts_are_the_same_in_both_languages(checked: Checked) -> None:
    english, chinese = as_json(checked), as_json(checked, "zh")
    said = {"verdict_written", "value_written", "claimed_written", "because", "also", "steps", "decided_by", "note",
            "readings"}
    for one, other in zip(english["claims"], chinese["claims"], strict=True):
        assert [{**r, "lacks": bool(r["lacks"])} for r in one["readings"]] == [
            {**r, "lacks": bool(r["lacks"])} for r in other["readings"]]
        assert [len(one[k]) for k in ("steps", "decided_by", "also")] == [
            len(other[k]) for k in ("steps", "decided_by", "also")]
        assert {k: v for k, v in one.items() if k not in said} == {k: v for k, v in other.items() if k not in said}
        assert len({len(re.findall(r"\d[\d.,]*", c["value_written"])) for c in (one, other)}) == 1
        assert one["verdict_written"] == one["verdict"]
        assert not other["verdict_written"].isascii()
    table = report(checked, "zh").table("verdicts")
    assert [say(row[2], "zh") for row in table.rows] == [c["verdict_written"] for c in chinese["claims"]]


def test_facts_without_a_day_are_all_of_them_and_the_newest_is_named() -> None:
    every, then = facts_as_of(None), facts_as_of("2024-12-19")
    assert every.told == f"all facts of the package, the newest of {max(f.as_of for f in every)}"
    assert then.told == "facts as of 2024-12-19"
    assert say(then.told, "zh") == "截至2024-12-19的事实"


def test_a_file_gives_its_words_by_language(facts: Facts) -> None:
    text = ('title = { en = "On racks", zh = "关于机柜" }\nas_of = 2024-12-19\n[[claims]]\nid = "A"\n'
            'subject = "gb200-nvl72"\ntext = { zh = "七十二块" }\nquantity = "count"\nclaimed = 72\n'
            'note = { fr = "une note" }\n'
            'compute = { by = { axis = { en = "what of", zh = "何物" }, of = ['
            '{ when = { en = "all", zh = "全部" }, take = 72 }, { when = "half", take = 36 }] } }\n'
            'conditions = { "what of" = "all" }\n'
            'also = [{ name = { en = "twice", zh = "两倍" }, compute = { product = [2, 72] } }]\n')
    found = claims_of(text, facts)
    html = page(found, "zh")
    assert all(words in html for words in ("关于机柜", "七十二块", "une note", "何物：全部", "两倍"))
    assert not any(words in html for words in ("On racks", "what of", "twice"))
    assert "what of: all" in page(found, "en")
    assert as_json(found)["claims"][0]["words_fix"] == {"what of": ["all"]}


def test_words_by_language_that_make_no_sense_are_told(facts: Facts) -> None:
    text = ('title = 3\nas_of = 2024-12-19\n[[claims]]\nid = "A"\nsubject = "gb200-nvl72"\ntext = { en = "" }\n'
            'quantity = "count"\nclaimed = 72\nnote = ["x"]\nalso = [{ name = { en = 1 }, compute = 2 }]\n'
            'compute = { by = { axis = { en = 2 }, of = ['
            '{ when = "a", take = 1 }, { when = { en = "a" }, take = 2 }] } }\n')
    with pytest.raises(FactError) as caught:
        claims_of(text, facts)
    said = sorted(str(p) for p in caught.value.problems)
    for line in (1, 6, 9, 10, 11):
        assert any(s.startswith(f"mine.toml:{line} ") and "not a text, or texts by language" in s for s in said), said
    assert any('two ways are called "a"' in s for s in said)


@pytest.mark.parametrize(("said", "quantity", "same"), [
    ("10.8亿美元", "money", "1.08B USD"), ("约72.65亿元", "money", "about 7.265B CNY"), ("是", "yes or no", "yes"),
    ("高达7万美元/颗", "price", "up to 70,000 USD/GPU"), ("10万块GPU", "count", "100,000 GPUs"),
    ("700瓦至1200瓦", "power", "700 W to 1,200 W"), ("不到3个月", "duration", "less than 3 mo"),
    ("2025年下半年", "date", "2025-H2"), ("7万美元左右", "money", "about 70,000 USD"), ("1.2吉瓦", "power", "1.2 GW"),
])
def test_what_is_claimed_can_be_written_in_chinese(said: str, quantity: str, same: str) -> None:
    one, other = (claimed(text, QUANTITIES[quantity]) for text in (said, same))
    assert (one.low, one.high, one.slack, one.bound, one.dims) == (
        other.low, other.high, other.slack, other.bound, other.dims)


@pytest.mark.parametrize(("said", "words"), [
    ("GB200的7万美元", "not a quantity"), ("7万美元和8万美元的", "unknown unit"), ("很多钱", "not a quantity"),
    ("1,08 BUSD", "Write a point before the decimals"),
])
def test_a_figure_with_more_words_than_its_own_is_refused(said: str, words: str) -> None:
    with pytest.raises(ExafleetError, match=words):
        claimed(said, QUANTITIES["money"])


def test_a_price_is_converted_as_money_is(facts: Facts) -> None:
    """A rack in yuan against its price in dollars."""
    answer = one('quantity = "price"\nclaimed = "about 21.8M CNY/rack"\ncompute = { convert = { money = '
                 '{ fact = "gb200-nvl72.unit_price@2024-05" }, to = "CNY" } }', facts)
    rate, price = facts.value("cny.fx@2024-12"), facts.value("gb200-nvl72.unit_price@2024-05")
    assert answer.shown.reading.amount.value == pytest.approx(rate * price)
    assert say(amount.spoken(2.18e7, answer.shown.reading.amount.dims), "zh") == "2,180万元/机柜"
    with pytest.raises(FactError, match="only US dollars are converted"):
        one('quantity = "power"\nclaimed = "1 W"\ncompute = { convert = { money = "1 W", to = "CNY" } }', facts)


def test_so_many_of_something_cost_a_sum_and_no_price(checked: Checked) -> None:
    """Two GPUs and 36 superchips are a sum of money; a price is of one."""
    beside = {part.name: part.judged[0].reading.amount for a in checked.answers for part in a.also}
    for name in ("two GPUs at the mean price of 2024", "its 36 superchips alone"):
        found = beside[name]
        assert found is not None
        assert amount.dimension_of(found.dims) == "money"
    assert beside["its 36 superchips alone"].value == pytest.approx(36 * 65e3)


def test_every_key_of_the_json_is_documented(checked: Checked) -> None:
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    section = text[text.index("## The answer as JSON"):text.index("<!-- words: begin")]
    told = set(re.findall(r"`([a-z_]+)`", section))
    data = as_json(checked)
    claims = data["claims"]
    keys = {*data, *claims[0], *claims[0]["facts"][0], *(k for c in claims for r in c["readings"] for k in r),
            *(k for c in claims for p in c["also"] for k in (*p, *p["readings"][0]))}
    assert keys - told == set()
    words = {*Verdict, "agrees", "differs", "open", "least", "most", "above", "below", "top"}
    assert told - keys - words == set(), "told, and not there"


def test_what_is_written_out_is_not_said_to_be_beyond_computing(facts: Facts) -> None:
    text = ('title = "t"\nas_of = 2024-12-19\n[[claims]]\nid = "A"\ntext = "a"\nsubject = "gb200-nvl72"\n'
            'quantity = "count"\nclaimed = 3\ncompute = %s\n')
    written, missing = (report(claims_of(text % compute, facts)).table("steps-A") for compute in (
        "3", '{ counted = { number = { fact = "rubin-ultra.chips_online" }, unit = "GPU" } }'))
    assert written.empty == "It is written out: there is nothing to compute."
    assert missing.empty == "Nothing could be computed."
