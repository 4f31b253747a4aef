"""Sweeps on a real Ray cluster of two nodes on this machine, on the loopback address."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from exafleet.sweep.cluster import ClusterError, sweep_on
from exafleet.sweep.explain import tornado
from exafleet.sweep.local import sweep
from exafleet.sweep.sameness import sameness
from exafleet.sweep.sensitivity import sensitivity
from exafleet.sweep.whatif import WhatIf
from exafleet.terms.errors import MissingFact, Problem

# Read when Ray is imported: nodes on 127.0.0.1 listen there alone, and a driver looks for them there.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.cluster,
    # Ray's own: processes it leaves to be reaped, sockets of its clients, words on its next release.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning",
                               "ignore::FutureWarning:ray"),
]
NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def nodes():
    """A head with one processor, where the driver sits, and a second node with one."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=NODE)
    made.add_node(wait=True, **NODE)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def cluster(nodes):
    """Its address, connected to once for all tests of this file."""
    if not ray.is_initialized():
        ray.init(address=nodes.address, log_to_driver=False, logging_level="error", configure_logging=False)
    return nodes.address


def _work():
    """A function that travels as code, and uses the package where it arrives."""

    def cost(seed):
        rng = np.random.Generator(np.random.PCG64(seed))
        from exafleet.terms.parts import Parts

        return Parts(names=("a", "b"), values=np.sort(rng.normal(size=2)), unit="USD").total.tobytes()

    return cost


def _same(one, two):
    assert [pickle.dumps(a) for a in one] == [pickle.dumps(b) for b in two]


def _wait_for_processors(many):
    """Until so many are free, as they are when nothing runs."""
    until = time.monotonic() + 20.0
    while ray.available_resources().get("CPU", 0.0) < many:
        assert time.monotonic() < until, ray.available_resources()
        time.sleep(0.1)


def test_the_bytes_are_those_of_a_run_here_and_both_nodes_worked(cluster, tmp_path):
    items = list(range(40))
    seen = []
    found = sweep(_work(), items, cluster=cluster, progress=lambda done, total: seen.append((done, total)))
    _same(found, sweep(_work(), items))
    assert seen == sorted(seen)
    assert seen[-1] == (40, 40)

    seen_there = str(tmp_path)

    def where(item):
        """The node it runs on, told when another node has begun too: a busy machine may start its worker late."""
        node = ray.get_runtime_context().get_node_id()
        (Path(seen_there) / node).touch()
        until = time.monotonic() + 60.0
        while len(os.listdir(seen_there)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        return node

    assert len(set(sweep_on(cluster, where, range(8)))) == 2


def test_what_a_plan_hangs_on_is_the_same_to_the_byte(cluster, tiny):
    """Closures over a market, a programme and a basis of the solver travel; the costs are those found here."""
    here = sensitivity(tiny.world, tiny.rates, tiny.plan, most=2)
    there = sensitivity(tiny.world, tiny.rates, tiny.plan, most=2, cluster=cluster)
    assert len(here) == 2
    _same(here, there)


def test_the_bars_of_a_tornado_are_the_same_to_the_byte(cluster, tiny):
    """A world, a plan and what was worked out from them travel with the function; facts are rated again there."""
    asked = WhatIf(tiny.world, tiny.rates, tiny.plan)
    keys = ("jobs.base.value", "scenario.discount", "h100-sxm.hbm_bw", "sites.north.energy_price")
    here, there = tornado(asked, keys), tornado(asked, keys, cluster=cluster)
    assert len(here) == len(keys)
    _same(here, there)


def test_nothing_to_do_is_nothing(cluster):
    assert sweep_on(cluster, abs, []) == []


def test_thousands_of_small_items_travel_in_chunks(cluster):
    """A task a piece would be 20,000 tasks; the order is kept whatever the chunks are."""
    seen = []
    found = sweep_on(cluster, lambda x: x * x, range(20_000), progress=lambda done, _: seen.append(done))
    assert found == [x * x for x in range(20_000)]
    assert len(seen) < 400


def test_the_first_failure_in_order_is_raised_as_it_was_raised_there(cluster):
    def fails(item):
        if item == 3:
            time.sleep(0.5)
            raise MissingFact(Problem(where="prices.csv", what="no price", got="gb300"))
        if item == 6:
            raise ValueError("the second failure, and the first to be known")
        return item

    with pytest.raises(MissingFact) as caught:
        sweep_on(cluster, fails, range(8))
    assert str(caught.value.problems[0]) == "prices.csv: no price; got gb300"


def test_what_a_failed_sweep_had_asked_for_harms_nothing(cluster):
    """Tasks that waited when it failed run to their end, beside the next sweeps and after them."""

    def fails_first(item):
        time.sleep(0.0 if item == 0 else 0.1)
        if item == 0:
            raise ValueError("the first of all")
        return item

    for _ in range(5):
        with pytest.raises(ValueError, match="the first of all"):
            sweep_on(cluster, fails_first, range(8))
    assert sweep_on(cluster, abs, range(-4, 0)) == [4, 3, 2, 1]
    _wait_for_processors(2)
    assert sweep_on(cluster, abs, range(-4, 0)) == [4, 3, 2, 1]


def test_an_error_that_cannot_travel_still_says_what_it_was(cluster):
    def fails(item):
        class Own(Exception):
            def __init__(self, a, b):
                super().__init__(f"{a} and {b}")

        raise Own("this", "that")

    with pytest.raises(RuntimeError, match="Own: this and that"):
        sweep_on(cluster, fails, [1])


def test_a_worker_killed_in_the_middle_costs_no_result(cluster, tmp_path):
    mark = str(tmp_path / "died")

    def dies_once(item):
        if item == 5 and not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item * 10

    assert sweep_on(cluster, dies_once, range(12)) == [item * 10 for item in range(12)]
    assert Path(mark).exists()


def test_an_item_that_kills_its_worker_each_time_is_named(cluster):
    def kills(item):
        if item == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with pytest.raises(ClusterError) as caught:
        sweep_on(cluster, kills, range(5), tries=2)
    assert str(caught.value.problems[0]).startswith("item 3 of 5: its worker died each of 2 times it was tried.")


def test_a_worker_with_other_code_does_nothing(cluster, monkeypatch):
    """The driver's own fingerprint is changed, which the workers cannot tell from other files of their own."""
    other = tuple((n, "0ther" if n == "data of exafleet" else v) for n, v in sameness())
    monkeypatch.setattr("exafleet.sweep.cluster.sameness", lambda: other)
    with pytest.raises(ClusterError, match="would not give the same bytes: data of exafleet 0ther here, ") as caught:
        sweep_on(cluster, abs, [1, 2])
    assert "Install the same exafleet" in caught.value.problems[0].remedy


def test_work_a_worker_cannot_load_is_told(cluster):
    class Absent:
        def __reduce__(self):
            return (__import__, ("no_such_module_anywhere",))

    with pytest.raises(ClusterError, match="cannot be loaded on this worker: ModuleNotFoundError"):
        sweep_on(cluster, abs, [Absent()])


def test_ctrl_c_ends_what_runs_and_keeps_what_is_finished(nodes, cluster, tmp_path):
    """A driver of its own, stopped as from a terminal; afterwards its tasks hold no processor any more."""
    script = tmp_path / "sweeping.py"
    script.write_text(
        textwrap.dedent(f"""
        import time
        from exafleet.sweep.local import Interrupted, sweep

        def nap(seconds):
            time.sleep(seconds)
            return seconds

        try:
            sweep(nap, [0.0, 60.0, 60.0], cluster={nodes.address!r}, progress=lambda d, t: print(d, flush=True))
        except Interrupted as error:
            print("kept", error.finished, flush=True)
    """)
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "1\n"
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert said == "kept ((0, 0.0),)\n"
    assert process.returncode == 0
    _wait_for_processors(2)


def test_a_node_killed_in_the_middle_costs_no_result(nodes, cluster, tmp_path):
    """The second node goes while both work; last of the cluster's tests, because it stays away."""
    both = [n for n in nodes.list_all_nodes() if n is not nodes.head_node]

    def slow(item):
        time.sleep(0.3)
        return item

    gone = []

    def kill(done, _):
        if not gone and done >= 3:
            gone.append(done)
            nodes.remove_node(both[0], allow_graceful=False)

    assert sweep_on(cluster, slow, range(12), progress=kill, tries=4) == list(range(12))
    assert gone


def test_another_cluster_than_the_one_connected_to_is_refused(cluster):
    with pytest.raises(ClusterError, match="this process is already connected to"):
        sweep_on("127.0.0.9:9", abs, [1])
