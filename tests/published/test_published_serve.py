"""The serving model against published points it was never fitted on (docs/models/serving.md tells the rule and states
these figures)."""

import datetime
import math

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.report.validation.score import score
from exafleet.report.validation.serving import judge, labels_of, of_metric, ordered
from exafleet.service.measured.predict import compare_served
from exafleet.service.measured.runs import METRICS, published
from exafleet.service.search import search_serve
from exafleet.step.serve import ServeTask
from tools.prepare_serving import HELD_MODELS, role

FACTS = load_facts(datetime.date(2026, 11, 26))
ROWS = published()


@pytest.fixture(scope="module")
def found():
    return compare_served([row for row in ROWS if row.role == "held_out"], FACTS)


@pytest.fixture(scope="module")
def judged(found):
    return judge(found, FACTS)


def errors(judged, metric, service=""):
    return score([r for r in of_metric(judged, metric) if r.labels["service"] == service or not service])


def test_roles_follow_the_written_rule():
    assert [row.role for row in ROWS] == [role(row) for row in ROWS]
    assert {row.model for row in ROWS} >= set(HELD_MODELS)
    assert not {row.model for row in ROWS if row.role == "fit"} & set(HELD_MODELS)
    assert 0.2 < np.mean([row.role == "held_out" for row in ROWS]) < 0.35


def test_every_row_names_its_source_and_place_and_states_a_figure():
    assert len(ROWS) > 2000
    assert len({row.id for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert row.source, row.id
        assert row.where, row.id
        assert row.given.keys() <= METRICS.keys(), row.id
        assert all(math.isfinite(v) and v > 0 for v in row.given.values()), row.id
        assert row.given, row.id


def test_nearly_every_row_is_predicted_and_the_others_say_why(found):
    assert np.mean([bool(c.figures) for c in found]) >= 0.95
    assert all(bool(c.figures) != bool(c.why) for c in found)
    for c in found:
        assert not c.figures or c.figures.keys() >= c.row.given.keys() - {"ttft_ms", "e2e_ms", "tpot_ms"}, c.row.id
        assert all(math.isfinite(v) and v > 0 for v in c.figures.values()), c.row.id


# Nine in ten within 40 % was asked of times per token and is not reached (49 %): docs/models/serving.md says why.
@pytest.mark.parametrize(("metric", "service", "median", "p90", "mean"), [
    ("tpot_ms", "loop", 0.12, 0.55, None), ("tpot_ms", "apart", 0.12, None, None), ("tpot_ms", "", 0.12, 0.55, None),
    ("e2e_ms", "", 0.12, None, 0.20), ("ttft_ms", "", 0.30, None, None),
    ("output_tok_s_per_gpu", "loop", 0.12, None, None), ("output_tok_s_per_gpu", "apart", 0.20, None, None)])
def test_errors_of_held_out_rows(judged, metric, service, median, p90, mean):
    s = errors(judged, metric, service)
    assert s.predicted >= 40
    assert s.median <= median
    assert p90 is None or s.p90 <= p90
    assert mean is None or s.mean <= mean


def test_the_80_percent_band_covers_about_four_in_five(judged):
    assert 0.75 <= errors(judged, "tpot_ms").coverage <= 0.88
    assert 0.75 <= errors(judged, "output_tok_s_per_gpu").coverage <= 0.88


def test_deployments_are_put_in_order_and_chosen(found):
    orders = ordered(found)
    assert orders.groups >= 50
    assert orders.spearman >= 0.9
    assert orders.good >= 0.85
    assert orders.pairs["accelerators"][1] >= 0.95
    assert orders.pairs["layouts"][1] >= 0.92


def test_rows_of_every_maker_are_told_apart_and_predicted(found):
    makers = {labels_of(c.row, c.kind, FACTS)["vendor"] for c in found if c.figures}
    assert {"nvidia", "amd"} <= {maker.casefold() for maker in makers}


def deepseek(name, dtype, chips, tpot):
    task = ServeTask(arch=arch(FACTS, "deepseek-v3"), input_tokens=1000, output_tokens=1000, ttft=5, tpot=tpot,
                     dtype=dtype, kv_dtype="fp8")
    return search_serve(task, system(FACTS, name), chips, FACTS)


@pytest.mark.parametrize("tpot", [0.020, 0.050])
def test_a_72_chip_domain_serves_deepseek_r1_several_times_better_than_8_chip_servers(tpot):
    # InferenceX, 2025 and 2026: GB200 NVL72 against H100 several-fold at 20 to 50 ms, and more the tighter the target.
    rack, servers = deepseek("gb200-nvl72", "fp4", 72, tpot), deepseek("hgx-h100", "fp8", 64, tpot)
    assert rack.rate_per_chip >= 3 * servers.rate_per_chip > 0


def test_the_rack_gains_most_where_the_target_is_tight():
    ratio = [deepseek("gb200-nvl72", "fp8", 72, t).rate_per_chip / deepseek("hgx-h100", "fp8", 64, t).rate_per_chip
             for t in (0.020, 0.030, 0.100)]
    assert min(ratio[:2]) > ratio[2] > 2
