"""The fit of engines against the model it is a fit of: slopes by differences, and facts that give its times back."""

import datetime
import itertools

import numpy as np
import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.measured.predict import RELEASES, deployed, task_of
from exafleet.service.measured.runs import published, year
from exafleet.service.steady import loop_times
from exafleet.step.serve import decode_parts, machine, prefill_parts
from exafleet.terms.units import DATA
from tools import fit_serving
from tools.fit_serving import CLASSES, WEIGHT, Terms, errors, predicted, rows_written, slopes, sums, table

FACTS = load_facts(datetime.date.max)


def some_rows():
    """Fit rows of many engines, families of chips and formats: the first of each, without pools apart."""
    rows = [r for r in published() if r.role == "fit" and not r.draft > 0 and r.prefill is None and not r.phase
            and np.isfinite(r.concurrency) and year(r, RELEASES) is not None]
    first = {(r.engine, r.system, r.dtype, r.weight_dtype): r for r in reversed(rows)}
    return sorted(first.values(), key=lambda r: r.id)[::2][:14]


@pytest.fixture(scope="module")
def fit():
    data, terms = table(some_rows(), FACTS), Terms({}, [])
    which = sums(data, terms)
    # Any logarithms do: the two must agree wherever the fit may end.
    x = np.random.default_rng(5).normal(0.0, 0.2, len(terms.ridge))
    return data, terms, which, x


def test_the_rows_are_of_many_kinds(fit):
    data = fit[0]
    assert len(data.rows) >= 12
    assert len({r.engine for r in data.rows}) >= 3
    assert len(set(data.kin)) >= 3
    assert len(set(data.forms)) >= 3


def test_slopes_are_the_differences_of_the_errors(fit):
    data, _, which, x = fit
    step = 1e-5
    found = slopes(x, data, which)
    assert found.keys() == WEIGHT.keys()
    for k in range(len(x)):
        moved = np.zeros(len(x))
        moved[k] = step
        up, down = errors(x + moved, data, which), errors(x - moved, data, which)
        for metric, (e, by) in found.items():
            told = np.isfinite(e)
            assert by[told, k] == pytest.approx((up[metric] - down[metric])[told] / (2 * step), abs=1e-6), (metric, k)


def test_facts_written_and_read_back_give_the_times_of_the_fit(fit, tmp_path, monkeypatch):
    data, terms, which, x = fit
    for file in DATA.iterdir():
        if file.name != fit_serving.TARGET.name:
            (tmp_path / file.name).symlink_to(file)
    monkeypatch.setattr(fit_serving, "TARGET", tmp_path / fit_serving.TARGET.name)
    fit_serving.write(x, terms, data.reach, len(data.rows))
    facts = load_facts(datetime.date.max, data=tmp_path)
    said = predicted(x, data, which)
    for i, row in enumerate(data.rows):
        on, task, layout = machine(system(facts, row.system), facts, row.engine, year(row, RELEASES)), task_of(
            row, facts), deployed(row.decode)
        batch, running = data.batch[i:i + 1], data.running[i:i + 1]
        held = np.minimum(running, batch * data.groups[i])
        decode, prompt = decode_parts(task, on, layout, batch), prefill_parts(task, on, layout, batch)
        loop, first = loop_times(task, on.engine, decode, prompt, held / data.replicas[i], batch)
        assert float(first.total[0]) == pytest.approx(float(said["ttft"].value[i]), rel=5e-3), row.id
        assert float(loop.total[0]) == pytest.approx(float(said["tpot"].value[i]), rel=5e-3), row.id


def test_what_is_written_is_the_product_of_the_factors_down_to_it(fit):
    data, terms, _, x = fit
    written = {tuple(row[:3]): float(row[3]) for row in rows_written(x, terms, len(data.rows))}
    value = {key: float(x[i]) for key, i in terms.names.items()}
    row, kin, form = data.rows[0], data.kin[0], data.forms[0]
    for phase, name in itertools.product(("decode", "prefill"), CLASSES):
        shape = form if name in fit_serving.FORMATTED else ""
        parts = [(phase, name), (phase, name, row.engine), (phase, name, "", shape, kin),
                 (phase, name, row.engine, shape, kin)]
        at = "/".join(filter(None, (f"{phase}-{name}", shape, kin)))
        assert written[f"engine-{row.engine}", "serving_slowdown", at] == pytest.approx(
            np.exp(sum(value[p] for p in parts)), rel=1e-3)
        assert written["serving-engine", "serving_slowdown", f"{phase}-{name}"] == pytest.approx(
            np.exp(value[phase, name]), rel=1e-3)
