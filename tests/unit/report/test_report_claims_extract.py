"""Claims proposed from texts: on marked texts, with their spans, in every encoding, and valid but for their blanks."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.apps.inputs import facts_as_of
from exafleet.facts.catalogue import Facts
from exafleet.facts.scenario.document import parse_text
from exafleet.facts.scenario.tables import Folder
from exafleet.report.claims import extract as rules
from exafleet.report.claims.claimed import QUANTITIES, claimed
from exafleet.report.claims.document import read_claims
from exafleet.report.claims.extract import Proposal, as_json, as_toml, extract
from exafleet.report.claims.texts import of_bytes, of_words
from exafleet.terms.errors import FactError

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "claims"
DAY = date(2024, 12, 19)


@pytest.fixture(scope="module")
def facts() -> Facts:
    return facts_as_of(None)


def proposed(words: str, facts: Facts) -> list[tuple[str, str, str]]:
    return [(p.said, p.quantity, p.claimed) for p in extract(of_words(words), facts.subjects, DAY)]


def figure(quantity: str, said: str) -> Any:
    """Both ends of what is claimed, whatever words bound it."""
    try:
        found = claimed(said, QUANTITIES[quantity])
    except FactError:
        return said
    return round(found.low, 6), round(found.high, 6)


def judged(names: str, facts: Facts) -> tuple[int, int, int]:
    """Proposals that are right, all proposals, all claims that were marked by hand."""
    right = made = marked = 0
    for file in sorted(SAMPLES.glob(names)):
        wanted = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        found = extract(of_bytes(file.read_bytes(), file.name), facts.subjects, date.fromisoformat(wanted["as_of"]))
        made, marked = made + len(found), marked + len(wanted["expected"])
        right += sum(any(same(p, one) for p in found) for one in wanted["expected"])
    return right, made, marked


def same(p: Proposal, one: dict[str, Any]) -> bool:
    overlaps = p.start < one["start"] + len(one["said"]) and one["start"] < p.end
    return overlaps and p.quantity == one["quantity"] and figure(p.quantity, p.claimed) == figure(
        one["quantity"], one["claimed"])


# ------------------------------------------------------------------------------------------------------ marked texts
def test_on_texts_that_were_written_after_the_rules(facts: Facts) -> None:
    """Nothing was changed for these three; what they miss is in docs/claims.md."""
    right, made, marked = judged("last-*.txt", facts)
    assert (made, marked) > (45, 50)
    assert right / made >= 0.90
    assert right / marked >= 0.80


def test_on_texts_that_the_rules_were_mended_with(facts: Facts) -> None:
    right, made, marked = (sum(n) for n in zip(judged("[!l]*.txt", facts), judged("later-*.txt", facts), strict=True))
    assert marked > 150
    assert right / made >= 0.95
    assert right / marked >= 0.90


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("*.txt")), ids=lambda p: p.stem)
def test_spans_are_those_of_the_text_and_claims_can_be_read(file: Path, facts: Facts) -> None:
    text = of_bytes(file.read_bytes(), file.name)
    for p in extract(text, facts.subjects, DAY):
        assert text.given[p.start:p.end] == p.said
        assert p.said.strip() == p.said
        assert claimed(p.claimed, QUANTITIES[p.quantity])
        assert p.text
        assert p.language == ("zh" if "-zh" in file.name else "en")


# ------------------------------------------------------------------------------------------------------------- rules
@pytest.mark.parametrize(("words", "wanted"), [
    ("costs 3 million dollars a rack", ("3 million dollars a rack", "price", "3,000,000 USD/rack")),
    ("售价高达7万美元", ("7万美元", "money", "up to 70,000 USD")),
    ("约72.65亿元人民币", ("72.65亿元人民币", "money", "about 7.265B CNY")),
    ("RMB 5.2 billion", ("RMB 5.2 billion", "money", "5.2B CNY")),
    ("€1.5bn", ("€1.5bn", "money", "1.5B EUR")),
    ("a 30-fold gain in training speed", ("30-fold", "speed-up", "30 x")),
    ("训练速度提高了三十倍", ("三十倍", "speed-up", "30 x")),
    ("raised it fivefold", ("fivefold", "ratio", "5 x")),
    ("700W to 1200W", ("700W to 1200W", "power", "700 W to 1,200 W")),
    ("6.5万~7万美元", ("6.5万~7万美元", "money", "65,000 USD to 70,000 USD")),
    ("１０．８亿美元", ("１０．８亿美元", "money", "1.08B USD")),
    ("in two or three months", ("two or three months", "duration", "2 mo to 3 mo")),
    ("隔两三个月", ("两三个月", "duration", "2 mo to 3 mo")),
    ("in 19 days", ("19 days", "duration", "19 d")),
    ("by 40 per cent", ("40 per cent", "share", "40 %")),
    ("百分之四十", ("百分之四十", "share", "40 %")),
    ("more than 100,000 GPUs", ("100,000 GPUs", "count", "more than 100,000 GPUs")),
    ("手握10万个H100", ("10万个", "count", "100,000 GPUs")),
    ("slips to March 2025", ("March 2025", "date", "not before 2025-03")),
    ("2025年3月1日", ("2025年3月1日", "date", "2025-03-01")),
    ("Q1 2025", ("Q1 2025", "date", "2025-Q1")),
    ("明年1月", ("明年1月", "date", "2025-01")),
    ("in the second half of 2025", ("second half of 2025", "date", "2025-H2")),
    ("the 3nm process", ("3nm", "size", "3 nm")),
    ("٢٥٠ MW", ("٢٥٠ MW", "power", "250 MW")),
    ("no more than 40 kW", ("40 kW", "power", "at most 40 kW")),
    ("不超过40千瓦", ("40千瓦", "power", "at most 40 kW")),
    ("运回360件", ("360件", "count", "360")),
    ("has 24 tall towers", ("24 tall towers", "count", "24")),
    ("销量增长一倍", ("一倍", "ratio", "2 x")),
    ("a 405B model", ("405B", "count", "405,000,000,000 params")),
    ("cost a fifth more", ("a fifth", "share", "20 %")),
    ("每千瓦时0.6元", ("0.6元", "price", "0.6 CNY/kWh")),
    ("租金每卡时12元", ("12元", "price", "12 CNY/GPU-h")),
    ("$9 million per megawatt", ("$9 million per megawatt", "price", "9 USD/W")),
    ("2 dollars per thousand tokens", ("2 dollars per thousand tokens", "price", "2,000 USD/Mtoken")),
    ("等了半年", ("半年", "duration", "6 mo")),
    ("it will open in March", ("March", "date", "2025-03")),
    ("it opened in March", ("March", "date", "2024-03")),
    ("from 2027", ("2027", "date", "2027")),
])
def test_a_figure_is_what_it_says(words: str, wanted: tuple[str, str, str], facts: Facts) -> None:
    found = proposed(words, facts)
    assert [(said.rstrip("个"), q, c) for said, q, c in found] == [(wanted[0].rstrip("个"), *wanted[1:])]


@pytest.mark.parametrize("words", ["", "GB200 and H100 and NVL72", "Grok went 1 to 1.5 to 2", "no figures at all",
                                   "version 4.2.1", "没有数字", "phase 2 halls", "a fifth hall",
                                   "第3项", "3.5 litres", "1990 buildings", "9 litres a day",
                                   "from 2000 to 9000", "one chip", "9" * 5000 + " W",
                                   "一" * 5000 + "天", "十" * 99 + "分之" + "一" * 99, "🙂" * 100])
def test_what_is_no_figure_is_left_alone(words: str, facts: Facts) -> None:
    assert proposed(words, facts) == []


def test_subject_and_baseline_are_guessed_only_where_one_thing_can_be_meant(facts: Facts) -> None:
    (p,) = extract(of_words("GB200 NVL72 trains 30 times as fast as HGX H100."), facts.subjects)
    assert (p.subject, p.baseline, p.quantity) == ("gb200-nvl72", "hgx-h100", "speed-up")
    (p,) = extract(of_words("GB200 is 5 times as fast as an H100."), facts.subjects)
    assert (p.subject, p.baseline) == ("", "")
    assert {"gb200-gpu", "gb200-superchip", "gb200-nvl72"} <= set(p.meanings["GB200"])
    assert p.blanks == ("subject", "baseline", "compute")


def test_a_day_without_a_year_waits_for_one(facts: Facts) -> None:
    (p,) = extract(of_words("明年1月交付"), facts.subjects)
    assert (p.claimed, p.blanks) == ("", ("subject", "claimed", "compute"))


@given(st.text(max_size=300))
def test_no_text_breaks_it(words: str) -> None:
    facts = facts_as_of(None) if not _KEPT else _KEPT[0]
    _KEPT[:] = [facts]
    text = of_words(words)
    assert len(text.plain) == len(words)
    for p in extract(text, facts.subjects, DAY):
        assert words[p.start:p.end] == p.said
    parse_text(as_toml(extract(text, facts.subjects, DAY), text, DAY), "p.toml", Folder(Path()))


_KEPT: list[Facts] = []


# -------------------------------------------------------------------------------------------------------- what it gives
def test_the_file_is_valid_but_for_its_blanks(facts: Facts) -> None:
    words = ('A "quoted" \\ GB200 NVL72 draws 120 kW. Speed is 5x that of HGX H100.\u202e <script>1 GPU</script> '
             "GB200 costs 3 million dollars, in January.")
    found = extract(of_words(words), facts.subjects)
    toml = as_toml(found, of_words(words), None)
    with pytest.raises(FactError) as caught:
        read_claims(parse_text(toml, "p.toml", Folder(Path())), facts)
    said = [str(p) for p in caught.value.problems]
    assert all("is blank: complete it" in s for s in said), said
    assert len(said) == 1 + sum(len(p.blanks) for p in found)  # and the day of the file
    whole = toml.replace('as_of = ""', "as_of = 2024-12-19").replace("compute = {}", "compute = 1")
    for blank, word in (('subject = ""', 'subject = "gb200-nvl72"'), ('claimed = ""', 'claimed = "2025-01"')):
        whole = whole.replace(blank, word)
    claims = read_claims(parse_text(whole, "p.toml", Folder(Path())), facts)
    assert claims.claims[0].text["en"].startswith('A "quoted" \\ GB200')


def test_a_text_without_figures_proposes_nothing(facts: Facts) -> None:
    text = of_words("Nothing to see here.")
    assert as_json([], text)["claims"] == []
    assert "No figure with a unit was found" in as_toml([], text, DAY)


# --------------------------------------------------------------------------------------------------------- encodings
WORDS = "马斯克将以10.8亿美元预购芯片,19天建成。"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gbk", "gb18030"])
def test_an_encoding_is_found(encoding: str, facts: Facts) -> None:
    text = of_bytes(WORDS.encode(encoding), "t.txt")
    assert text.given == WORDS
    assert [p.claimed for p in extract(text, facts.subjects)] == ["1.08B USD", "19 d"]
    assert bool(text.notes) == (encoding not in ("utf-8", "utf-8-sig"))


def test_mixed_encodings_are_told_by_line() -> None:
    text = of_bytes(WORDS.encode() + b"\n" + WORDS.encode("gbk") + b"\nplain\n", "t.txt")
    assert text.given == f"{WORDS}\n{WORDS}\nplain\n"
    assert text.notes == ("mixed encodings: UTF-8, and GBK in lines 2",)


def test_words_with_accents_are_not_taken_for_chinese(facts: Facts) -> None:
    """Latin-1 read as GBK gives rare characters; a line that is neither is refused."""
    words = "Preis für Öl: 120 kW\nCafé, naïve, 5 £\nplain\n"
    text = of_bytes(words.encode("cp1252"), "t.txt")
    assert text.given == words
    assert text.notes == ("read as Western European (Windows-1252)",)
    assert [p.claimed for p in extract(text, facts.subjects)] == ["120 kW"]
    mixed = of_bytes(WORDS.encode("gbk") + b"\n" + "für 5 kW\n".encode("latin-1") + "é\n".encode(), "t.txt")
    assert mixed.given == f"{WORDS}\nfür 5 kW\né\n"
    assert mixed.notes == ("mixed encodings: UTF-8, and GBK in lines 1, Western European (Windows-1252) in lines 2",)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "Preis für Öl".encode("latin-1") + b"\xff\xff",
                                  b"\xff\xfe\x00"])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(FactError):
        of_bytes(data, "t.bin")


def test_markup_is_left_out(facts: Facts) -> None:
    page = "<html><script>x = 500 + '900 MW'</script><p width='1200 W'>It draws <b>120 kW</b>.</p></html>"
    text = of_words(page)
    (p,) = extract(text, facts.subjects)
    assert (p.claimed, page[p.start:p.end]) == ("120 kW", "120 kW")
    assert "HTML" in text.notes[0]


def test_pieces_of_a_text_give_what_the_whole_gives(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a text is read in pieces, no figure is lost, cut or moved, and each piece tells how far it came."""
    one = ("The hall that opened in the north of the county draws 120 kW and cost\n$3.0 million in March 2025. "
           "GB200 NVL72 is 5x an HGX H100. ")
    text = of_words((one + "约10.8亿美元，建成19天。") * 40)
    whole = extract(text, facts.subjects, DAY)
    monkeypatch.setattr(rules, "PIECE", 500)
    turns = list(rules.in_turn(text, facts.subjects, DAY))
    assert len(turns) > 5
    assert [at for at, _ in turns] == sorted({at for at, _ in turns})
    assert turns[-1][0] == len(text.plain)
    assert [p for _, found in turns for p in found] == whole
    assert len(whole) == 40 * 6


def test_a_text_without_any_end_of_a_sentence_is_cut_around_its_figures(facts: Facts) -> None:
    found = extract(of_words("GB200 NVL72 draws 120 kW and so on and " * 3000), facts.subjects, DAY)
    assert len(found) == 3000
    assert all(p.said in p.text and len(p.text) <= rules.LONGEST for p in found)
    assert {p.subject for p in found} == {"gb200-nvl72"}


def test_a_wrapped_line_does_not_end_a_sentence(facts: Facts) -> None:
    words = "The GB200 NVL72, a rack of which hundreds were ordered in the year before,\ndraws some 120 kW."
    (p,) = extract(of_words(words), facts.subjects, DAY)
    assert (p.subject, p.claimed) == ("gb200-nvl72", "about 120 kW")
    (p,) = extract(of_words("GB200 NVL72 is here\nIt draws 120 kW."), facts.subjects, DAY)
    assert p.subject == ""


def test_one_proposal_a_line_is_the_same_json(facts: Facts) -> None:
    text = of_words("It draws 120 kW and cost 3 million dollars.")
    found = extract(text, facts.subjects, DAY)
    assert json.loads(rules.as_json_text(found, text)) == as_json(found, text)
    assert json.loads(rules.as_json_text([], text)) == as_json([], text)


def test_a_table_of_many_proposals_shows_the_first(facts: Facts) -> None:
    text = of_words("It draws 120 kW. " * (rules.MOST_ROWS + 3))
    (table,) = rules.report(extract(text, facts.subjects, DAY), text).tables
    assert len(table.rows) == rules.MOST_ROWS
    assert f"of {rules.MOST_ROWS + 3}" in table.lead


@pytest.mark.parametrize("unit", ["<p><script ", "<p><!-- ", "<p><style>", "<a <"])
def test_markup_that_is_never_closed_costs_no_square(unit: str, facts: Facts) -> None:
    """Looking for each end anew took minutes for a megabyte."""
    text = of_words("<html>" + unit * 100_000 + " 5 kW ")
    assert len(text.plain) == len(text.given)
    assert [p.claimed for p in extract(text, facts.subjects)] == ["5 kW"]


def test_comments_scripts_and_styles_hide_their_figures(facts: Facts) -> None:
    page = "<html><!-- 1 kW --><style>a { 2 kW }</style><SCRIPT>3 kW</Script ><p>4 kW<br>5 kW <!-- 6 kW <b>7 kW</b>"
    assert [p.claimed for p in extract(of_words(page), facts.subjects)] == ["4 kW", "5 kW", "6 kW", "7 kW"]


def test_a_large_text_keeps_every_figure(facts: Facts) -> None:
    one = "The hall that opened in the north of the county draws 120 kW and cost $3.0 million in March 2025.\n"
    found = extract(of_words(one * 2000), facts.subjects)
    assert len(found) == 6000
    assert found[-1].start > 117_000


@pytest.mark.parametrize(("words", "wanted"), [
    ("links of 400 Gb/s", "400 Gb/s"), ("links of 400 Gbps", "400 Gb/s"), ("links of 900 GB/s", "900 GB/s"),
    ("1.6 Tb/s a port", "1,600 Gb/s"), ("8 TB/s of memory", "8 TB/s"), ("80 GiB of memory", "80 GiB"),
    ("80gb of memory", "80 GB"), ("512 MiB of cache", "512 MiB"), ("50 MB of cache", "50 MB"),
    ("3 PB of storage", "3 PB"),
    ("速率400Gb/s", "400 Gb/s"),
])
def test_bits_are_no_bytes_and_kibi_is_no_kilo(words: str, wanted: str, facts: Facts) -> None:
    (found,) = proposed(words, facts)
    assert found[2] == wanted
    assert claimed(found[2], QUANTITIES[found[1]]).low > 0
