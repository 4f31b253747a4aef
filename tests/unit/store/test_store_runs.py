"""Runs are kept once, whole, and found again; the ledger adds up."""

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import insert, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from exafleet.facts.deals import Rental
from exafleet.facts.records import Owner, ResearchJob, Risk, Scenario, Site
from exafleet.facts.steps import Steps
from exafleet.facts.world import load_world
from exafleet.fleet.rates import Rates
from exafleet.plan.plan import Contract, Kept, Order, Placement
from exafleet.store import database, schema
from exafleet.store.inputs import inputs_of, world_of
from exafleet.store.lines import WAREHOUSE, ledger_rows, plan_rows
from exafleet.store.runs import find_run, lines_of, list_runs, run_id, save_run
from exafleet.sweep.difference import Change, changes
from exafleet.terms.calendar import month
from exafleet.terms.errors import FactError
from exafleet.terms.parts import Parts
from exafleet.terms.why import Why

TINY = Path(__file__).parents[2] / "samples" / "tiny"
START = month("2025-11")


def scenario(name="two owners"):
    owners = (Owner(id="a", name="A"), Owner(id="b", name="B"))
    site = Site(
        id="here",
        name="Here",
        power=Steps.constant(1e6),
        cooling=("air",),
        install_rate=1.0,
        pue=1.2,
        energy_price=Steps.constant(0.0),
        carbon=Steps.constant(0.0),
    )
    rental = Rental(
        id="cloud",
        provider="p",
        system="box",
        price=Steps.constant(0.001),
        term=1,
        first=START,
        last=START,
        most=Steps.constant(64.0),
    )
    jobs = tuple(
        ResearchJob(id=f"job-{o}", owner=o, model="m", reference="box", demand=Steps.constant(8.0), unserved=0.0)
        for o in "ab"
    )
    return Scenario(
        name=name,
        file="scenario.toml",
        as_of=date(2025, 10, 31),
        start=START,
        months=2,
        discount=0.1,
        resale=0.7,
        owners=owners,
        sites=(site,),
        holdings=(),
        offers=(),
        open_orders=(),
        rentals=(rental,),
        jobs=jobs,
        loans=(),
        moves=(),
        risk=Risk(),
    )


def plan(name="two owners"):
    """Owner a has two 8-chip boxes from the second month; b borrows one of them and rents eight chips."""
    given = scenario(name)
    use = np.zeros((1, 2, 2, 2))
    use[0, 0, 0, 1], use[0, 1, 0, 1], use[0, 1, 1, 0] = 8.0, 8.0, 8.0
    rented = np.zeros((1, 1, 2, 2))
    rented[0, 0, 1, 0] = 8.0
    warehouse = np.zeros((1, 2, 1, 2))
    warehouse[0, 0, 0, 0] = 2.0
    market = SimpleNamespace(scenario=given, start=START, months=2, systems=("box",), chips=np.array([8.0]))
    return SimpleNamespace(
        market=market,
        draws=SimpleNamespace(seed=1, count=1),
        status="optimal",
        objective=12.5,
        gap=0.0,
        cost=Parts(names=("hardware", "resale"), values=np.array([[20.0, -7.5]]), unit="USD"),
        expected=Parts(names=("hardware", "resale"), values=np.array([20.0, -7.5]), unit="USD"),
        holder_owner=np.array([0]),
        holder_site=np.array([0]),
        holder_system=np.array([0]),
        installed=np.array([[[0.0, 2.0]]]),
        warehouse=warehouse,
        use=use,
        rented=rented,
        reserved=np.zeros((1, 2, 2)),
        orders=(
            Order(offer="o", owner="a", system="box", month=0, units=2, tier=0, queued=True, price=10.0, arrival=1),
        ),
        kept=(Kept(order="q", owner="b", system="box", arrivals=((0, 1, 0), (1, 3, 1)), cancelled=2),),
        contracts=(
            Contract(rental="cloud", owner="b", system="box", signed=1, blocks=1, chips=8, first=1, last=1, price=0.5),
        ),
        placements=(
            Placement(job="j", owner="a", place="here", rented=False, system="box", chips=8, start=1, months=1),
        ),
    )


def rates():
    shape = (1, 1, 2)
    return Rates(
        jobs=("job-a",),
        systems=("box",),
        units=("chip-s",),
        sizes=np.array([[[8, 0]]]),
        layout=((("", ""),),),
        work_per_s=np.full(shape, 8.0),
        low=np.full(shape, 7.0),
        high=np.full(shape, 9.0),
        power=np.full(shape, 1e3),
        goodput=np.ones(shape),
        mfu=np.zeros(shape),
        why=np.array([[[Why.OK, Why.TOO_MANY]]]),
    )


@pytest.fixture
def engine(tmp_path):
    return database.open_store(database.location(str(tmp_path / "folder" / "runs.sqlite")))


def save(engine, report='{"title": "x"}\n', identity="0123456789abcdef", given=None):
    return save_run(
        engine, identity, version="1", data_hash="d" * 64, rates=rates(), plan=given or plan(), report=report
    )


def test_what_was_saved_is_found_again(engine):
    saved = save(engine)
    assert (saved.number, saved.known) == (1, False)
    found = find_run(engine, "last")
    assert found == find_run(engine, "1") == find_run(engine, "0123") == find_run(engine, "0123456789abcdef")
    assert (found["name"], found["objective"], found["report"]) == ("two owners", 12.5, '{"title": "x"}\n')
    assert [r["number"] for r in list_runs(engine)] == [1]
    assert {r["part"]: r["expected"] for r in lines_of(engine, 1, "costs")} == {"hardware": 20.0, "resale": -7.5}
    assert [(r["job"], r["size"], r["why"]) for r in lines_of(engine, 1, "rates")] == [("job-a", 8, "OK")]


def test_the_same_question_twice_is_one_run(engine):
    save(engine)
    again = save(engine)
    assert (again.number, again.known, again.same) == (1, True, True)
    assert len(list_runs(engine)) == 1
    assert len(lines_of(engine, 1, "costs")) == 2


def test_another_answer_to_the_same_question_is_noticed(engine):
    save(engine)
    again = save(engine, report='{"title": "y"}\n')
    assert (again.known, again.same) == (True, False)
    assert find_run(engine, "1")["report"] == '{"title": "x"}\n'


def test_an_identity_is_made_of_the_question_and_not_of_the_folder():
    one = {"version": "1", "data_hash": "d", "scenario": scenario(), "options": "seed 1"}
    moved = {**one, "scenario": replace(scenario(), file="elsewhere/scenario.toml")}
    assert run_id(**one) == run_id(**one) == run_id(**moved)
    others = [{"version": "2"}, {"data_hash": "e"}, {"scenario": scenario("other")}, {"options": "seed 2"}]
    assert len({run_id(**one), *(run_id(**{**one, **o}) for o in others)}) == 5


def test_the_ledger_adds_up():
    rows = ledger_rows(plan())
    assert {(r["owner"], r["place"], r["month"]): (r["chips"], r["used"], r["lent"], r["rented"]) for r in rows} == {
        ("a", "here", "2025-12"): (16.0, 16.0, 8.0, False),
        ("a", WAREHOUSE, "2025-11"): (16.0, 0.0, 0.0, False),
        ("b", "cloud", "2025-11"): (8.0, 8.0, 0.0, True),
    }
    assert all(r["lent"] <= r["used"] <= r["chips"] for r in rows)


def test_the_order_book_is_in_the_order_of_months():
    rows = plan_rows(plan())
    assert [(r["line"], r["month"], r["action"], r["amount"]) for r in rows] == [
        (1, "2025-11", "cancel", 2),
        (2, "2025-11", "keep", 1),
        (3, "2025-11", "order", 2),
        (4, "2025-12", "contract", 8),
        (5, "2025-12", "defer", 3),
        (6, "2025-12", "train", 8),
    ]


def test_a_failure_half_way_keeps_nothing(engine, monkeypatch):
    monkeypatch.setattr("exafleet.store.runs.ledger_rows", lambda _plan: [{"owner": None}])
    with pytest.raises(database.StoreError):
        save(engine)
    assert list_runs(engine) == []


def test_foreign_keys_hold(engine):
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(schema.costs).values(run=99, part="x", expected=0.0, base=0.0))


@pytest.mark.parametrize("words", ["9", "zz", "", "%", "last"])
def test_a_run_that_is_not_there(engine, words):
    with pytest.raises(FactError, match="no run"):
        find_run(engine, words)


def test_the_beginning_of_two_ids_is_refused(engine):
    save(engine)
    save(engine, identity="0123ffffffffffff", given=plan("other"))
    with pytest.raises(FactError, match="beginning of 2 runs"):
        find_run(engine, "0123")


def test_a_store_of_a_newer_exafleet_is_refused(engine):
    with engine.begin() as connection:
        connection.execute(text("UPDATE schema_version SET version = 99"))
    with pytest.raises(database.StoreError, match="newer exafleet"):
        database.open_store(engine.url)


def test_an_older_store_is_migrated_step_by_step(engine, monkeypatch):
    done = []
    now = schema.VERSION
    monkeypatch.setattr(schema, "VERSION", now + 2)
    steps = {now: lambda _c: done.append(1), now + 1: lambda _c: done.append(2)}
    monkeypatch.setattr(database, "MIGRATIONS", steps)
    database.open_store(engine.url)
    database.open_store(engine.url)
    assert done == [1, 2]


@pytest.mark.parametrize(
    ("name", "reason"), [("file/runs.sqlite", "File exists|Not a directory"), ("file", "not a database")]
)
def test_a_store_that_cannot_be_used_says_why(tmp_path, name, reason):
    (tmp_path / "file").write_text("this is no database at all, only text\n" * 40)
    with pytest.raises(database.StoreError, match=reason) as caught:
        database.open_store(database.location(str(tmp_path / name)))
    assert "EXAFLEET_STORE" in str(caught.value)


def test_reading_a_store_that_is_not_there_makes_none(tmp_path):
    with pytest.raises(database.StoreError, match="no runs have been stored yet"):
        database.open_store(database.location(str(tmp_path / "runs.sqlite")), create=False)
    assert list(tmp_path.iterdir()) == []


def test_where_the_store_is(tmp_path):
    asked, home = database.location("x.sqlite", {}), database.default_path({"XDG_DATA_HOME": str(tmp_path)})
    assert (asked.drivername, asked.database) == ("sqlite", "x.sqlite")
    assert database.location(None, {"EXAFLEET_STORE": "y.sqlite"}).database == "y.sqlite"
    assert (home.parent.name, home.name) == ("exafleet", "runs.sqlite")
    with pytest.raises(database.StoreError, match="not a database URL"):
        database.location("://", {})


def test_the_tables_are_sql_for_postgresql_too():
    statements = [str(CreateTable(t).compile(dialect=postgresql.dialect())) for t in schema.metadata.sorted_tables]
    assert len(statements) == 9
    assert "number SERIAL NOT NULL" in "".join(statements)
    assert "REFERENCES runs (number) ON DELETE CASCADE" in statements[-1]


def test_a_password_is_never_shown():
    url = database.location("postgresql://me:secret@host/runs", {})
    assert "secret" not in database.shown(url)


def test_a_missing_driver_is_named():
    with pytest.raises(database.StoreError, match="no driver"):
        database.open_store(database.location("nosuchdatabase://host/runs", {}))


@pytest.fixture
def sample(tiny, tmp_path):
    engine = database.open_store(database.location(str(tmp_path / "kept.sqlite")))
    saved = save_run(engine, "e" * 16, version="0.1.0", data_hash=tiny.world.data_hash, rates=tiny.rates,
                     plan=tiny.plan, report="{}", world=tiny.world)
    return engine, saved


def test_a_run_gives_back_the_world_it_was_made_in(tiny, sample):
    engine, saved = sample
    kept = inputs_of(engine, saved.number)
    world = world_of(kept)
    assert world.data_hash == tiny.world.data_hash
    assert kept.first.tolist() == tiny.plan.first.tolist()


def test_a_run_keeps_what_became_known_later(tiny, tmp_path):
    """What history.toml tells by the day of a plan is in its world, and so in the world that was kept."""
    shutil.copytree(TINY, tmp_path / "tiny")
    (tmp_path / "tiny" / "history.toml").write_text(
        '[[known]]\nas_of = 2025-02-01\n[[known.sites]]\nid = "north"\nenergy_price = "$90/MWh"\n'
        '[[known.reported]]\nowner = "lab"\nsite = "north"\nsystem = "hgx-h100"\nunits = "8 GPUs"\nmonth = "2025-01"\n')
    world = load_world(tmp_path / "tiny", as_of=date(2025, 2, 15))
    assert world.value("sites.north.energy_price") == pytest.approx(90 / 3.6e9)
    engine = database.open_store(database.location(str(tmp_path / "kept.sqlite")))
    save_run(engine, "a" * 16, version="0.1.0", data_hash=world.data_hash, rates=tiny.rates, plan=tiny.plan,
             report="{}", world=world)
    again = world_of(inputs_of(engine, 1))
    assert again.data_hash == world.data_hash
    assert changes(world, again) == ()
    assert changes(load_world(TINY, as_of=date(2025, 2, 15)), again) == (
        Change(key="sites.north.energy_price", kind="number"),), "what was reported of others moves no plan"
    assert "history.toml" not in load_world(tmp_path / "tiny").files(), "on the scenario's own day it says nothing yet"


def test_the_facts_of_a_run_stay_those_of_its_day(tiny, sample):
    """Facts that are others today do not reach a run that was made before."""
    engine, _ = sample
    other = tiny.world.with_fact("h100-sxm.hbm_bw", "3 TB/s")
    saved = save_run(engine, "f" * 16, version="0.1.0", data_hash=other.data_hash, rates=tiny.rates, plan=tiny.plan,
                     report="{}", world=other)
    world = world_of(inputs_of(engine, saved.number))
    assert world.value("h100-sxm.hbm_bw") == 3e12
    assert world.facts.data_hash == other.facts.data_hash


def test_a_store_of_version_1_is_migrated_and_its_runs_stay(tiny, sample):
    engine, saved = sample
    with engine.begin() as connection:
        for table in (schema.input_files, schema.inputs, schema.fact_sets):
            table.drop(connection)
        connection.execute(schema.schema_version.update().values(version=1))
    again = database.open_store(engine.url, create=False)
    assert find_run(again, saved.id)["number"] == saved.number
    assert inputs_of(again, saved.number) is None
    known = save_run(again, saved.id, version="0.1.0", data_hash=tiny.world.data_hash, rates=tiny.rates,
                     plan=tiny.plan, report="{}", world=tiny.world)
    assert (known.known, known.same) == (True, True)
    assert inputs_of(again, saved.number) is not None
