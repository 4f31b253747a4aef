"""Laws of goodput and power: shares add up, more failures never help, parts of power are the whole."""

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system, system_gaps, system_ids
from exafleet.fleet.goodput import daly_interval, elastic_useful, goodput, reliability, system_mtbf, time_shares
from exafleet.fleet.power import Activity, power, rated_power

FACTS = load_facts(datetime.date(2026, 11, 23))
KNOWN = reliability(FACTS)
seconds = st.floats(min_value=1.0, max_value=1e6)


@given(mtbf=seconds, stall=st.floats(0.1, 1e4), restart=st.floats(0, 1e5), behind=st.floats(0, 1e4),
       slow=st.floats(0, 0.5), detection=st.floats(0, 1e5))
def test_shares_add_up_and_none_is_negative(mtbf, stall, restart, behind, slow, detection):
    shares = time_shares(mtbf, stall=stall, interval=daly_interval(stall, mtbf), restart=restart, behind=behind,
                         slow=slow, detection=detection)
    assert float(shares.total) == pytest.approx(1.0, abs=1e-6)
    assert (shares.values >= 0).all()


@given(mtbf=st.floats(100, 1e6), stall=st.floats(0.1, 50), restart=st.floats(0, 1e4), worse=st.floats(1, 3))
def test_more_failures_longer_stalls_and_slower_restarts_never_help(mtbf, stall, restart, worse):
    def useful(m, s, r):
        return float(time_shares(m, stall=s, interval=daly_interval(s, m), restart=r)["useful"])

    base = useful(mtbf, stall, restart)
    assert useful(mtbf / worse, stall, restart) <= base + 1e-4
    assert useful(mtbf, stall * worse, restart) <= base + 1e-4
    assert useful(mtbf, stall, restart * worse) <= base + 1e-9


def test_goodput_falls_with_size_and_never_to_nothing_or_below():
    shares = goodput(4e11, np.geomspace(8, 1_000_000, 60), KNOWN)["useful"]
    assert (np.diff(shares) < 0).all()
    assert shares[0] > 0.99
    assert shares[-1] > 0


def test_no_failures_no_loss():
    shares = time_shares(1e15, stall=1e-6, interval=1e4, restart=600)
    assert float(shares["useful"]) == pytest.approx(1.0, abs=1e-6)


def test_twice_the_chips_fail_twice_as_often():
    assert system_mtbf(2048, 1e-8) == pytest.approx(system_mtbf(1024, 1e-8) / 2)


def test_dropping_a_replica_beats_stopping():
    mtbf = system_mtbf(100_000, KNOWN.failure_rate)
    stopped = time_shares(mtbf, stall=5, interval=daly_interval(5, mtbf), restart=900)["useful"]
    assert elastic_useful(mtbf, replicas=64, reconfigure=60, repair=3600) > stopped


@pytest.mark.parametrize("name", [s for s in system_ids(FACTS) if not system_gaps(FACTS, s)])
def test_power_parts_are_the_whole_and_follow_the_activity(name):
    on = system(FACTS, name)
    drawn = {a: power(on, FACTS, a, np.array([1.0, 8.0, 72.0])) for a in Activity}
    for parts in drawn.values():
        assert parts.values.min() >= 0
        assert parts.total == pytest.approx(parts.total[0] * np.array([1, 8, 72]))
    totals = [drawn[a].total[0] for a in (Activity.IDLE, Activity.SERVING, Activity.TRAINING)]
    assert totals == sorted(totals)
    rated = rated_power(on, FACTS)
    assert totals[-1] < float(rated.total)
    assert float(rated["accelerators"] + rated["servers"]) == pytest.approx(on.power_max / on.chips)
