"""A cluster that is not there, and what a worker does, without one."""

import pickle
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from exafleet.apps.main import app
from exafleet.sweep.cluster import ClusterError, check, sweep_on
from exafleet.sweep.interrupted import Interrupted
from exafleet.sweep.local import sweep
from exafleet.sweep.sameness import differences, sameness
from exafleet.sweep.worker import work

pytest.importorskip("ray")


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "", "10.0.0.5", "local", "host:port"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ClusterError, match="allowed: auto, or HOST:PORT"):
        check(address)


def test_where_nothing_answers_the_remedy_is_told():
    with pytest.raises(ClusterError, match=r"no Ray cluster can be used there: nothing answers at 127\.0\.0\.9:9 "):
        sweep(abs, [1], cluster="127.0.0.9:9")


def test_no_tries_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        sweep_on("auto", abs, [1], tries=0)


def test_a_fingerprint_knows_every_file_of_code_and_data():
    names = [name for name, _ in sameness()]
    assert {"Python", "exafleet", "code of exafleet", "data of exafleet", "numpy", "highspy"} <= set(names)
    assert differences(sameness(), sameness()) == ""
    assert differences(sameness(), ()).count("none there") == len(names)


def test_a_chunk_stops_at_its_first_failure():
    done = work(pickle.dumps(int), pickle.dumps(["1", "x", "2"]), sameness(), pickle.dumps)
    assert [pickle.loads(r) for r in done.results] == [1]
    assert isinstance(pickle.loads(done.error), ValueError)


def test_an_interrupt_travels():
    assert pickle.loads(pickle.dumps(Interrupted([(0, 1)], 2))).finished == ((0, 1),)


def test_the_command_tells_it_before_it_plans():
    said = CliRunner().invoke(app, ["plan", "examples/startup-64-h100", "--cluster", "127.0.0.9:9", "--no-store"])
    assert said.exit_code == 2
    assert said.stderr.startswith("error: --cluster: no Ray cluster can be used there: nothing answers at 127.0.0.9:9 ")


def test_without_ray_the_remedy_is_to_install_it():
    code = "import sys; sys.modules['ray'] = None\nfrom exafleet.sweep.cluster import check\ncheck('auto')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'which is not installed. Install it with `pip install "exafleet[ray]"`' in done.stderr


def test_sweeping_here_does_not_import_ray():
    code = "import sys\nfrom exafleet.sweep.local import sweep\nsweep(abs, [1])\nassert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
