"""Published reliability and goodput results, reproduced from the failure figures of data/failures.csv."""

import datetime

import numpy as np
import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.fleet.build import repair_share
from exafleet.fleet.goodput import (
    checkpoint_bytes,
    daly_interval,
    elastic_useful,
    goodput,
    reliability,
    system_mtbf,
    time_shares,
    useful_first_order,
)

HOUR, DAY, MINUTE = 3600.0, 86400.0, 60.0
FACTS = load_facts(datetime.date(2026, 11, 23))


def rate(population):
    return FACTS.value(f"node-8.node_failure_rate@{population}")


def useful(mtbf, *, stall, restart):
    shares = time_shares(mtbf, stall=stall, interval=daly_interval(stall, mtbf), restart=restart)
    return float(shares["useful"])


def test_llama_3_ran_more_than_nine_tenths_of_the_time():
    # 2,048 servers, 466 stops in 54 days (arXiv 2407.21783, 3.3.4): more than 90 % effective training time.
    mtbf = float(system_mtbf(16384, rate("llama-3-all")))
    assert mtbf / HOUR == pytest.approx(54 * 24 / 466, rel=0.01)
    published = FACTS.value("training-run.effective_time@llama-3")
    automated = FACTS.value("training-run.restart_time@automated")
    assert published < useful(mtbf, stall=10, restart=automated) < published + 0.05


def test_llama_3_unexpected_stops_and_their_causes():
    assert 54 * DAY / float(system_mtbf(16384, rate("llama-3"))) == pytest.approx(419, rel=0.01)
    shares = {at: fact.value for at, fact in FACTS.find("node-8", "failure_share").items()}
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.001)
    on_chip = sum(shares[at] for at in ("gpu", "hbm", "sram", "gpu-processor", "silent-corruption", "gpu-thermal"))
    assert on_chip == pytest.approx(268 / 419, abs=0.001)


@pytest.mark.parametrize(("chips", "hours"), [(16384, 1.8), (131072, 0.23)])
def test_kokolis_projection_of_time_between_failures(chips, hours):
    assert float(system_mtbf(chips, rate("rsc-1"))) / HOUR == pytest.approx(hours, rel=0.03)


def test_kokolis_nine_tenths_at_12000_chips_needs_fast_checkpoints():
    found = [float(useful_first_order(1500, rate("rsc-1"), stall=10, restart=m * MINUTE)) for m in (5, 10)]
    assert found == pytest.approx([0.920, 0.887], abs=0.002)
    assert min(found) < 0.9 < max(found)


@pytest.mark.parametrize(("restart", "stall", "published"), [(10, 10, 0.44), (3, 5, 0.80)])
def test_meta_at_100000_chips(restart, stall, published):
    # 18 minutes between failures: 44 % with 10-minute restarts, 80 % when a failure stalls the job for 3 minutes.
    mtbf = float(system_mtbf(98304, rate("meta-98k")))
    assert mtbf / MINUTE == pytest.approx(18, rel=0.02)
    assert useful(mtbf, stall=stall, restart=restart * MINUTE) == pytest.approx(published, abs=0.07)


def test_byterobust_97_percent_on_9600_chips():
    # Detection in seconds, restart on warm spares, a checkpoint in memory every step.
    published = FACTS.value("training-run.effective_time@byterobust")
    mtbf = system_mtbf(9600, rate("llama-3"))
    restart = FACTS.value("training-run.detection_time@automatic") + FACTS.value("training-run.restart_time@elastic")
    assert useful(mtbf, stall=1, restart=restart) == pytest.approx(published, abs=0.012)


def test_gemini_2_5_loses_three_percent_while_a_slice_is_away():
    # Reconfiguration in tens of seconds; the share of throughput without one of 32 slices.
    assert float(elastic_useful(HOUR, replicas=32, reconfigure=0, repair=HOUR)) == pytest.approx(0.97, abs=0.002)


def test_opt_175b_time_to_interrupt():
    assert float(system_mtbf(992, rate("opt-175b"))) / HOUR == pytest.approx(7.5, rel=0.01)


def test_servers_out_for_repair_in_the_infinitehbd_trace():
    out = rate("infinitehbd") * FACTS.value("node-8.repair_time")
    assert out == pytest.approx(FACTS.value("node-8.down_share"), rel=0.02)
    assert repair_share(FACTS) == pytest.approx(0.0231, abs=0.003)


def test_b200_cluster_time_between_failures():
    assert float(system_mtbf(504, rate("b200-504"))) / HOUR == pytest.approx(62.9, rel=0.01)


@pytest.mark.parametrize(("at", "params"), [("8b", 8.03e9), ("70b", 70.6e9), ("405b", 405.9e9)])
def test_checkpoint_sizes_of_mlperf_storage(at, params):
    size = FACTS.value(f"training-run.checkpoint_bytes@{at}")
    assert float(checkpoint_bytes(params, reliability(FACTS).bytes_per_param)) == pytest.approx(size, rel=0.1)


@pytest.mark.parametrize("day", ["2024-12-19", "2026-11-23"])
def test_a_run_on_100000_chips_as_known_on_a_day_is_neither_free_nor_lost(day):
    known = reliability(load_facts(datetime.date.fromisoformat(day)))
    shares = goodput(1e12, np.array([1024, 16384, 100_000]), known)
    assert shares["useful"][0] > 0.95
    assert 0.88 < shares["useful"][1] < 0.97
    assert 0.4 < shares["useful"][2] < 0.85
