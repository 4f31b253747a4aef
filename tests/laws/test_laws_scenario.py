"""Laws of the scenario format: any text gives a Scenario or an ExafleetError; units and order do not matter."""

from __future__ import annotations

import functools
import math
import random
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exafleet.facts import catalogue, world
from exafleet.facts.records import Scenario
from exafleet.facts.scenario.toml_lines import Path as KeyPath
from exafleet.facts.scenario.toml_lines import locate
from exafleet.facts.steps import Steps
from exafleet.facts.world import World, load_world
from exafleet.terms.errors import ExafleetError

TINY = Path(__file__).parents[1] / "samples" / "tiny"
TEXT = (TINY / "scenario.toml").read_text(encoding="utf-8")
WORDS = sorted(set(TEXT.replace("=", " ").split()))


@pytest.fixture(autouse=True, scope="module")
def _facts_once() -> Iterator[None]:
    """The package's tables do not change between examples: read them once a date."""
    once = functools.lru_cache(catalogue.load_facts)

    def load_facts(as_of: date, own: Sequence[Path] = ()) -> catalogue.Facts:
        return catalogue.load_facts(as_of, own) if own else once(as_of if as_of < date(2030, 1, 1) else date.max)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "load_facts", load_facts)
        yield


def outcome(data: bytes | str) -> World | ExafleetError:
    """What loading gives; anything but a World or an ExafleetError escapes and fails the test."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(TINY / "demand.csv", folder / "demand.csv")
        (folder / "scenario.toml").write_bytes(data.encode("utf-8", "replace") if isinstance(data, str) else data)
        found = loaded(folder)
    if isinstance(found, ExafleetError):
        assert found.problems
        assert all(p.what and p.where for p in found.problems), found.problems
        assert name not in str(found)
    return found


def loaded(folder: Path) -> World | ExafleetError:
    try:
        return load_world(folder)
    except ExafleetError as error:
        return error


# ------------------------------------------------------------------------------------------------------------- fuzzing
SCALARS = st.one_of(
    st.sampled_from(['"150 MW"', '"2.5e400 MW"', '"-1 kW"', '"$3M/rack"', "1", "-1", "0", "1e308", "nan", "inf",
                     "true", '""', '" "', "2024-12-19", "2024-12-19T00:00:00Z", "07:32:00", '"2025-01"', '"0000-00"',
                     '"9999-12"', "9" * 400, "[]", "{}", '["a", ["b"]]', '{ fact = "x" }', '{ fact = 3 }',
                     '{ table = "demand.csv" }', '{ table = "demand.csv", column = "app" }',
                     '{ table = "\\u0000", column = "app" }',
                     '{ low = 1, mid = "1 wk", high = "2 wk" }', '"unlimited"', '"GB200"', "\"lab\"", '["lab", "lab"]',
                     '{ "2025-01" = "1 MW", x = 3 }', '[{ from = "1 units", price = "-5 %" }]', "'''a\nb'''"]),
    st.text(max_size=8).map(lambda t: '"' + "".join(c for c in t if c.isprintable() and c not in '"\\') + '"'))
KEYS = st.sampled_from([*sorted(w for w in WORDS if w.isidentifier()), "a.b",
                        '"x y"', "fact", "schema", "region"])
HEADS = st.sampled_from(["[scenario]", "[risk]", "[facts]", "[facts.set]", "[tables]", "[sources]", "[[owners]]",
                         "[[sites]]", "[[holdings]]", "[[offers]]", "[[open_orders]]", "[[rentals]]", "[[jobs]]",
                         "[[loans]]", "[[moves]]", "[jobs]", "[offers.queue]", "[x.y]"])
STATEMENT = st.one_of(st.tuples(KEYS, SCALARS).map(lambda p: f"{p[0]} = {p[1]}"), HEADS,
                      st.just('kind = "train"'), st.just("# comment"))


@settings(max_examples=200)
@given(st.lists(STATEMENT, max_size=25))
def test_toml_like_text_gives_a_scenario_or_an_error(rows: list[str]) -> None:
    outcome("\n".join(rows))


@settings(max_examples=60)
@given(st.binary(max_size=60))
def test_any_bytes_give_a_scenario_or_an_error(data: bytes) -> None:
    outcome(data)


def mutated(seed: int) -> str:
    """The sample with a few of its words, lines or characters swapped, dropped or doubled."""
    rng = random.Random(seed)
    rows = TEXT.split("\n")
    for _ in range(rng.randint(1, 4)):
        i, j = rng.randrange(len(rows)), rng.randrange(len(rows))
        match rng.randrange(6):
            case 0:
                rows[i], rows[j] = rows[j], rows[i]
            case 1:
                rows[i] = ""
            case 2:
                rows.insert(i, rows[j])
            case 3:
                key, sep, _ = rows[i].partition(" = ")
                rows[i] = key + sep + rows[j].partition(" = ")[2] if sep else rows[i]
            case 4:
                rows[i] = rows[i].replace(rng.choice('0123456789"={}[]'), rng.choice("0-9xé\"'={}[],."), 1)
            case _:
                rows[i] = rows[i].replace(rng.choice(WORDS), rng.choice(WORDS), 1)
    return "\n".join(rows)


@settings(max_examples=250)
@given(st.integers(0, 2**32))
def test_a_damaged_scenario_gives_a_scenario_or_an_error(seed: int) -> None:
    found = outcome(mutated(seed))
    if isinstance(found, World):
        assert isinstance(found.scenario, Scenario)


@settings(max_examples=100)
@given(st.text(alphabet='month,ap\n2025-013 ktokens/s"é\t-', max_size=60))
def test_any_table_gives_a_scenario_or_an_error(csv: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(TINY / "scenario.toml", Path(name) / "scenario.toml")
        (Path(name) / "demand.csv").write_text(csv, encoding="utf-8")
        found = loaded(Path(name))
    assert not isinstance(found, ExafleetError) or all("demand.csv" in str(p) for p in found.problems)


# ------------------------------------------------------------------------------------------------------------- locator
def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every path of what tomllib read."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in steps:
        yield (*path, step)
        yield from paths(below, (*path, step))


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_every_key_tomllib_reads_has_a_line_that_holds_it(seed: int) -> None:
    text = mutated(seed)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    rows, found = text.split("\n"), locate(text)
    for path in paths(raw):
        row = rows[found.lines[path] - 1]
        if isinstance(path[-1], str):
            assert path[-1] in row
    assert set(paths(raw)) == {p for p in found.lines if p}


# ---------------------------------------------------------------------------------------------------------------- laws
def swapped(*swaps: tuple[str, str]) -> Scenario:
    text = TEXT
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new, 1)
    found = outcome(text)
    assert isinstance(found, World), found
    return found.scenario


@pytest.mark.parametrize(("old", "new"), [
    ('power = "400 kW"', 'power = "0.4 MW"'), ('power = "400 kW"', 'power = { "2020-01" = "400 kW" }'),
    ('rent = "$150/kW/mo"', 'rent = "1,800 USD/kW/yr"'), ('price = "$3.0M/rack"', 'price = "3 MUSD/rack"'),
    ('tokens = "2T tokens"', 'tokens = "2000 Btokens"'), ('most = "128 GPUs"', 'most = "128 chips"'),
    ('tpot = "50 ms"', 'tpot = "0.05 s"'), ('late = "$200k/mo"', 'late = "2.4e6 USD/yr"'),
    ('carbon = "400 g/kWh"', 'carbon = "400 kg/MWh"'), ('budget = "unlimited"\n', "\n"),
    ("priority = 2.0", "priority = 2"),
])
def test_the_same_in_other_words_is_the_same_scenario(old: str, new: str) -> None:
    one, two = swapped(), swapped((old, new))
    months = range(one.start - 3, one.start + 24)
    for name in ("owners", "sites", "offers", "rentals", "jobs"):
        for a, b in zip(getattr(one, name), getattr(two, name), strict=True):
            for field in type(a).__dataclass_fields__:
                left, right = getattr(a, field), getattr(b, field)
                if isinstance(left, Steps):
                    assert left.at(list(months)) == pytest.approx(right.at(list(months)), rel=1e-12)
                elif isinstance(left, float):
                    assert left == pytest.approx(right, rel=1e-12)
                elif field != "where":
                    assert left == right


def test_the_order_of_the_keys_of_a_record_does_not_matter() -> None:
    tables = TEXT.split("\n\n")
    turned = []
    for table in tables:
        head, *keys = table.strip().split("\n")
        turned.append("\n".join([head, *reversed(keys)]) if head.startswith("[") else table)
    found = outcome("\n\n".join(turned))
    assert isinstance(found, World)
    assert found.scenario.offers == load_world(TINY).scenario.offers


@settings(max_examples=60)
@given(st.data())
def test_scaling_by_a_factor_and_back_gives_the_same_number(data: st.DataObject) -> None:
    tiny = load_world(TINY)
    every = tiny.keys()
    scalable = [k for k in every if k.value and math.isfinite(k.value)
                and k.unit not in ("mo", "tokens", "chips", "units", "1")]
    one = data.draw(st.sampled_from(scalable))
    factor = data.draw(st.floats(0.1, 10.0))
    scaled = tiny.scaled(one.key, factor)
    assert scaled.value(one.key) == pytest.approx(one.value * factor, rel=1e-9)
    assert scaled.scaled(one.key, 1 / factor).value(one.key) == pytest.approx(one.value, rel=1e-9)


def test_loading_twice_gives_the_same_bytes() -> None:
    one, two = load_world(TINY), load_world(TINY)
    assert one.scenario == two.scenario
    assert repr(one.scenario) == repr(two.scenario)
    assert one.data_hash == two.data_hash
