"""The catalogue of strings: whole in every language, nothing missing, nothing unused, placeholders that match."""

import ast
import copy
import csv
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from exafleet.plan.plan import PARTS
from exafleet.plan.prices import FIRST_UNITS, RECOURSE_UNITS
from exafleet.terms.forms import FORMS
from exafleet.terms.said import CATALOGUE, HOLE, LANGUAGES, Said, Texts, catalogue, joined, named, said, say
from exafleet.terms.term import term

SOURCE = Path(__file__).parents[3] / "src" / "exafleet"
CALLS = {"said": "", "named": "", "column": "column.", "word": "page."}
# Groups whose names the program makes at run time: parts of cost, rules, statuses, reasons, ...
MADE = (
    "amount.", "backtest.", "change.", "claims.agreement.", "claims.amount.", "claims.axis.", "claims.bound.",
    "claims.column.", "claims.figure ", "claims.hedge.", "claims.option.", "claims.per.", "claims.reckoned.",
    "claims.season.", "claims.time.", "claims.unit.", "claims.verdict.", "decision.", "demand.unit.", "explain.note ",
    "explain.stop.", "explain.turn.", "form.",
    "market-table.",
    "operator.", "pass.", "rate.", "step-part.", "step-phase.",
    "finance.", "kind.", "lever.", "lever-unit.", "meta.", "method.", "one-more-unit.", "owning.", "page.", "part.",
    "picture.", "policy.", "regret.", "rule.", "sensitivity.changes ", "sensitivity.stays ", "status.",
    "summary.renting.", "summary.run.", "term.", "way.", "why.",
)


def rows() -> list[dict[str, str]]:
    with CATALOGUE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def used() -> Iterator[tuple[str, set[str], str]]:
    """Key, names of the values, and place of every call with a key written out; both sides of a choice count."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if name in ("said", "column") and isinstance(node, ast.Call) and node.args:
                values = {k.arg for k in node.keywords if k.arg} if name == "said" else set()
                open_ended = any(k.arg is None for k in node.keywords)
                for key in _texts(node.args[0]):
                    yield CALLS[name] + key, {"*"} if open_ended else values, f"{path.name}:{node.lineno}"
    for path in sorted((SOURCE / "report" / "templates").glob("*.j2")):
        for key in re.findall(r'word\(\s*"([^"]+)"', path.read_text(encoding="utf-8")):
            yield f"page.{key}", {"*"}, path.name


def _texts(node: ast.expr) -> list[str]:
    if isinstance(node, ast.IfExp):
        return _texts(node.body) + _texts(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def test_every_row_has_every_language_once_and_in_order():
    found = rows()
    keys = [row["key"] for row in found]
    assert keys == sorted(set(keys)), "keys are sorted, each once"
    assert list(found[0]) == ["key", *LANGUAGES]
    for row in found:
        assert all(row[language].strip() for language in LANGUAGES), row["key"]


def test_placeholders_and_forms_are_the_same_in_every_language():
    for row in rows():
        holes = {language: sorted(set(HOLE.findall(row[language]))) for language in LANGUAGES}
        assert holes["en"] == holes["zh"], row["key"]
        assert all(form in ("", "clauses", *FORMS["en"]) for _, form in holes["en"]), row["key"]
        plain = row["key"].removesuffix(".one")
        if plain != row["key"]:
            assert set(HOLE.findall(row["en"])) <= set(HOLE.findall(catalogue()[plain]["en"])), row["key"]
    assert {frozenset(forms) for forms in FORMS.values()} == {frozenset(FORMS["en"])}


def test_every_key_in_the_code_is_in_the_catalogue_with_its_values():
    missing = [f"{place}: {key}" for key, _, place in used() if key not in catalogue()]
    assert not missing, "add these to terms/strings.csv"
    for key, values, place in used():
        needs = {name for name, _ in HOLE.findall(catalogue()[key]["en"])}
        assert values == {"*"} or needs <= values, f"{place}: {key} needs {needs - values}"


def test_no_string_of_the_catalogue_is_unused():
    known = {key for key, _, _ in used()}
    unused = [key for key in catalogue()
              if key.removesuffix(".one") not in known and not key.startswith(MADE)]
    assert not unused, "take these out of terms/strings.csv"


def test_what_the_plan_names_has_words():
    groups = {"part": PARTS, "rule": (*RECOURSE_UNITS, *FIRST_UNITS),
              "one-more-unit": [unit for unit, _ in (*RECOURSE_UNITS.values(), *FIRST_UNITS.values())]}
    for group, names in groups.items():
        assert [n for n in names if f"{group}.{n}" not in catalogue()] == [], "add these to terms/strings.csv"


def test_chinese_holds_no_english_words():
    """Letters that stay are ids of the trade (GPU, IT, CO2e, MW, token), not words somebody forgot."""
    kept = {"GPU", "IT", "PUE", "token", "MW", "kW", "CO", "t", "e", "exafleet", "EVPI", "VSS", "FP", "OR", "tools",
            "W", "MWh", "m", "nm"}
    for row in rows():
        words = set(re.findall(r"[A-Za-z]+", re.sub(r"`[^`]*`|[a-z]+(?:_[a-z]+)+", "", HOLE.sub(
            "", row["zh"]))))  # but for commands and terms
        assert words <= kept, (row["key"], words - kept)


def test_a_sentence_is_said_in_both_languages():
    made = said("orders.lead", n=3, total=2.67e6)
    assert made == "3 orders worth $2.67M before freight and discounting."
    assert say(made, "zh") == "共3份订单，总额267万美元（未计运费与贴现）。"
    assert said("orders.lead", n=1, total=1e6).startswith("1 order worth")
    assert say("gb200-nvl72", "zh") == "gb200-nvl72"


def test_sentences_within_sentences_and_lists_follow_the_language():
    made = said("power.lead", sites=[said("power.full", site="a", n=1), said("power.full", site="b", n=2)])
    assert made.endswith("a is at its limit in 1 month; b is at its limit in 2 months.")
    assert say(made, "zh") == "基准情景下计量点的设施功率；a有1个月达到上限；b有2个月达到上限。"
    assert say(joined(["x", "y"]), "zh") == "x、y"
    assert joined(["x", "y"]) == "x, y"


def test_braces_in_a_name_are_text():
    evil = "{n} {__class__} %s"
    assert evil in say(said("summary.run.not run", job=evil), "zh")


def test_a_name_without_words_stays_as_it_is():
    assert named("part", "hardware") == "hardware"
    assert say(named("part", "hardware"), "zh") == "硬件"
    assert named("part", "something new") == "something new"


def test_an_unknown_key_or_a_missing_value_is_a_bug_that_shows():
    with pytest.raises(KeyError):
        said("no such key")
    with pytest.raises(KeyError):
        said("orders.lead", n=3)


@pytest.mark.parametrize("again", [lambda s: pickle.loads(pickle.dumps(s)), copy.copy, copy.deepcopy])
def test_a_sentence_survives_copies_and_other_processes(again):
    made = again(said("orders.lead", n=3, total=1e6))
    assert isinstance(made, Said)
    assert say(made, "zh").startswith("共3份订单")


def test_the_english_of_a_term_is_that_of_the_table_of_terms():
    for key, row in catalogue().items():
        if key.startswith("term."):
            assert row["en"] == term(key.removeprefix("term.")).meaning, key


def test_texts_by_language_are_said_in_each_and_else_in_english():
    text = Texts({"zh": "机柜", "en": "rack"})
    assert (text, say(text, "zh"), say(Texts({"en": "rack"}), "zh"), Texts({"fr": "baie"})) == (
        "rack", "机柜", "rack", "baie")
    assert say(said("claims.way", axis=text, options=text), "zh") == "机柜：机柜"
    assert say(pickle.loads(pickle.dumps(copy.copy(text))), "zh") == "机柜"
