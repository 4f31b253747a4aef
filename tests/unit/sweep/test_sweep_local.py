"""The same function over many items: order, determinism, failure and Ctrl-C."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.sweep.local import Interrupted, sweep


@given(st.lists(st.integers()))
def test_is_a_map(items):
    assert sweep(lambda x: x * 2, items) == [x * 2 for x in items]


def test_two_processes_give_what_one_gives():
    items = [3, -1, 4, -1, 5, -9]
    assert sweep(abs, items, workers=2) == sweep(abs, items)


def test_progress_counts_every_item_up_to_the_total():
    seen = []
    sweep(abs, [1, 2, 3], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_failure_in_order_is_raised(workers):
    with pytest.raises(ValueError, match="'x'"):
        sweep(int, ["1", "x", "y"], workers=workers)


def test_no_workers_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        sweep(abs, [1], workers=0)


def test_an_interrupt_keeps_what_is_finished():
    def stop_at_three(item):
        if item == 3:
            raise KeyboardInterrupt
        return item * 10

    with pytest.raises(Interrupted) as caught:
        sweep(stop_at_three, [1, 2, 3, 4])
    assert caught.value.finished == ((0, 10), (1, 20))
    assert str(caught.value) == "2 of 4 were finished"


def test_ctrl_c_with_processes_keeps_results_and_leaves_no_process_behind(tmp_path):
    """The group of processes gets the signal, as from a terminal; a worker would sleep on for a minute."""
    script = tmp_path / "sweeping.py"
    script.write_text(
        textwrap.dedent("""
        import sys, time
        from exafleet.sweep.local import Interrupted, sweep

        def nap(seconds):
            time.sleep(seconds)
            return seconds

        if __name__ == "__main__":
            try:
                sweep(nap, [0.0, 60.0, 60.0], workers=2, progress=lambda done, total: print(done, flush=True))
            except Interrupted as error:
                print("kept", error.finished, flush=True)
    """)
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "1\n"
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert said == "kept ((0, 0.0),)\n"
    assert process.returncode == 0
