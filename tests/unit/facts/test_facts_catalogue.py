"""Which fact wins, what is visible when, and that a what-if leaves the original alone."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.table import COLUMNS
from exafleet.terms.errors import MissingFact, OutOfRange, UnitError

HEAD = ",".join(COLUMNS)


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load_facts(date(2026, 6, 30))


def _package(folder: Path, rows: str) -> Path:
    """A package's tables in small: one chip, one source."""
    folder.joinpath("subjects.csv").write_text(
        "subject,name,kind,vendor,family,chip,aliases,note\nc1,Chip one,chip,v,f,,one,\n", encoding="utf-8")
    folder.joinpath("sources.csv").write_text(
        "source,title,url_or_ref,date,note\ns1,A page,p,2024,\n", encoding="utf-8")
    folder.joinpath("chips.csv").write_text(f"{HEAD}\n{rows}", encoding="utf-8")
    return folder


def _bandwidth(value: float, kind: str, day: str) -> str:
    return f"c1,hbm_bw,,{value},,,TB/s,{kind},s1,p,{day},\n"


def test_kind_beats_date_and_date_beats_order(tmp_path: Path) -> None:
    rows = [_bandwidth(4, "rumour", "2024-05-01"), _bandwidth(3, "spec", "2024-01-01"),
            _bandwidth(2, "spec", "2024-02-01")]
    facts = load_facts(date(2024, 6, 1), data=_package(tmp_path, "".join(rows)))
    assert [f.value / 1e12 for f in facts.history("c1.hbm_bw")] == [2, 3, 4]
    assert [f.kind for f in facts.competing("c1.hbm_bw")] == ["spec", "rumour"]


def test_a_vague_date_counts_as_its_last_day(tmp_path: Path) -> None:
    data = _package(tmp_path, _bandwidth(3, "spec", "2024-02"))
    assert load_facts(date(2024, 2, 28), data=data).try_get("c1.hbm_bw") is None
    assert load_facts(date(2024, 2, 29), data=data).value("c1.hbm_bw") == 3e12


def test_an_own_rumour_beats_the_packages_measurement(tmp_path: Path) -> None:
    data = _package(tmp_path, _bandwidth(3, "measured", "2024-02-01"))
    own = tmp_path / "own"
    own.mkdir()
    own.joinpath("mine.csv").write_text(f"{HEAD}\n{_bandwidth(2, 'rumour', '2023-01-01')}", encoding="utf-8")
    facts = load_facts(date(2024, 6, 1), own=[own / "mine.csv"], data=data)
    assert [f.value for f in facts.history("c1.hbm_bw")] == [2e12, 3e12]


def test_a_what_if_changes_its_copy_only(facts: Facts) -> None:
    before = facts.data_hash
    changed = facts.with_fact("gb200-gpu.hbm_bw", "9 TB/s")
    assert (changed.value("gb200-gpu.hbm_bw"), facts.value("gb200-gpu.hbm_bw")) == (9e12, 8e12)
    assert changed.get("gb200-gpu.hbm_bw").note == "instead of 8e+12 (stas00-accelerator)"
    assert changed.competing("gb200-gpu.hbm_bw")[0].value == 8e12
    assert facts.data_hash == before != changed.data_hash
    assert changed.table is facts.table


def test_what_ifs_add_up_and_may_be_new(facts: Facts) -> None:
    changed = facts.with_fact("gb200-gpu.hbm_bw", 9e12).with_fact("gb200-gpu.chip_price@2027-01", "$50,000/GPU")
    assert changed.with_fact("gb200-gpu.hbm_bw", 7e12).value("gb200-gpu.hbm_bw") == 7e12
    assert changed.value("gb200-gpu.hbm_bw") == 9e12
    assert "2027-01" in changed.find("gb200-gpu", "chip_price")
    assert "gb200-gpu.chip_price@2027-01" in {f.key for f in changed}
    assert len(changed) == len(facts) + 1


def test_a_wrong_what_if_is_refused(facts: Facts) -> None:
    with pytest.raises(UnitError, match="energy"):
        facts.with_fact("gb200-gpu.tdp", "1200 kWh")
    with pytest.raises(OutOfRange, match="out of range"):
        facts.with_fact("gb200-gpu.hbm_bw", 8.0)
    with pytest.raises(OutOfRange):
        facts.with_fact("gb200-gpu.hbm_bw", float("nan"))
    with pytest.raises(MissingFact, match="unknown subject"):
        facts.with_fact("gb201-gpu.hbm_bw", 8e12)


@pytest.mark.parametrize(("key", "told"), [
    ("gb200-gp.hbm_bw", 'unknown subject "gb200-gp". Did you mean \'gb200-gpu\''),
    ("gb200-gpu.hbm_bv", "unknown term \"hbm_bv\". Did you mean 'hbm_bw'"),
    ("gb200-gpu.peak_flops@fp3", "allowed: gb200-gpu.peak_flops@bf16"),
    ("tpu-8t.tdp", 'no fact "tpu-8t.tdp" is known as of 2026-06-30. Give it in a table of your own'),
    ("", "unknown subject"),
])
def test_a_missing_fact_says_what_is_near(facts: Facts, key: str, told: str) -> None:
    with pytest.raises(MissingFact) as caught:
        facts.get(key)
    assert told in str(caught.value)
    assert facts.try_value(key) is None


def test_the_same_rows_have_the_same_hash_and_other_days_another(facts: Facts) -> None:
    assert load_facts(date(2026, 6, 30)).data_hash == facts.data_hash
    assert load_facts(date(2024, 6, 30)).data_hash != facts.data_hash


def test_search_finds_every_word_anywhere(facts: Facts) -> None:
    found = facts.search("H100 rent 1YR 2025-10")
    assert "h100-sxm.rent@1yr:2025-10" in [f.key for f in found]
    assert facts.search("no such words anywhere") == []


def test_facts_of_a_subject_are_sorted_and_its_own(facts: Facts) -> None:
    found = facts.of("gb200-gpu")
    assert {f.subject for f in found} == {"gb200-gpu"}
    assert [f.term for f in found] == sorted(f.term for f in found)
    assert facts.of("nothing") == []


def test_months_are_picked_by_basis(facts: Facts) -> None:
    assert facts.monthly("h100-sxm", "rent", "1yr")
    assert not set(facts.monthly("h100-sxm", "rent")) & set(facts.monthly("h100-sxm", "rent", "1yr"))
