"""`python -m exafleet` is the command line."""

import subprocess
import sys


def test_the_package_can_be_run_as_a_module():
    done = subprocess.run([sys.executable, "-m", "exafleet", "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("exafleet ")
