"""What two systems have in common of the errors of predicted throughput: `error_shared` in data/serving.csv.

    python tools/fit_shared.py [--report]      --report prints the shares and writes nothing

Rows of role `fit` of data/measured_serve.csv that are closed loops on chips which do both phases, against predictions
of the facts as they stand; so it comes after tools/fit_serving.py. A group is one model and its lengths. No error is
taken for more than three deviations, by the median size of all (service/measured/shared.py). Two shares are found, with
every pair of rows counted once and with every group; the fact is their middle, between them as low and high.
"""

from __future__ import annotations

import csv
import datetime
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.service.measured.predict import compare_served
from exafleet.service.measured.runs import Served, published
from exafleet.service.measured.shared import bounded, shared_share
from exafleet.step.serving_practice import ANY_ENGINE
from exafleet.terms.units import DATA

SERVING = DATA / "serving.csv"
METRIC, TERM = "output_tok_s_per_gpu", "error_shared"
# The fitted row is newer than the one of before the fit.
BEFORE_FIT = "2023-12-31"


def loop_errors(facts: Facts) -> list[tuple[tuple[str, float, float], str, float]]:
    """(model and lengths, system, ln of predicted over measured throughput) of every fit row of a closed loop."""
    rows = [r for r in published() if r.role == "fit" and r.prefill is None and not r.phase
            and math.isfinite(r.concurrency) and METRIC in r.given]
    return [((r.model, r.input_tokens, r.output_tokens), r.system, math.log(c.figures[METRIC] / r.given[METRIC]))
            for c in compare_served(rows, facts) if METRIC in c.figures and isinstance(r := c.row, Served)]


def write(by_pair: float, by_group: float, rows: int) -> None:
    """Put the shares into the fitted row."""
    with SERVING.open(encoding="utf-8", newline="") as file:
        header, *table = csv.reader(file)
    at = {name: header.index(name) for name in header}
    told = [r for r in table if (r[at["subject"]], r[at["term"]]) == (ANY_ENGINE, TERM) and r[at["as_of"]] > BEFORE_FIT]
    if len(told) != 1:
        raise SystemExit(f"{SERVING.name} has {len(told)} fitted rows of {ANY_ENGINE}.{TERM}, not one")
    low, high = sorted((by_pair, by_group))
    values = {"value": f"{(low + high) / 2:.2g}", "low": f"{low:.2g}", "high": f"{high:.2g}",
              "note": f"tools/fit_shared.py on the {rows} fit rows of closed loops: {by_pair:.2g} over pairs of rows, "
                      f"{by_group:.2g} over groups, their middle"}
    for name, value in values.items():
        told[0][at[name]] = value
    with SERVING.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *table])


def main() -> None:
    """Print both shares, and write them."""
    found = loop_errors(load_facts(datetime.date.max))
    by_group, by_pair = shared_share(bounded(found))
    print(f"{len(found)} rows, {len({group for group, _, _ in found})} groups: "
          f"{by_pair:.3f} over pairs of rows, {by_group:.3f} over groups")
    if "--report" not in sys.argv:
        write(by_pair, by_group, len(found))


if __name__ == "__main__":
    main()
