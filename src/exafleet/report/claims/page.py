"""Verdicts as one HTML file: offline, readable on a phone and in print, light and dark, every text escaped."""

from __future__ import annotations

from typing import Any

from exafleet.report.claims.answer import Checked, because, meta, ours, said, spoken, used, way
from exafleet.report.claims.judge import Answer
from exafleet.report.html import TEMPLATES
from exafleet.terms.format import written


def page(checked: Checked) -> str:
    """Verdicts as a self-contained HTML page."""
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined,
                                     autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("claims.html.j2").render(
        claims=checked.claims, answers=[_shown(a, checked) for a in checked.answers], counts=checked.counts,
        computed=sum(a.computed for a in checked.answers), as_of=checked.facts.as_of.isoformat(), meta=meta(checked))


def _shown(answer: Answer, checked: Checked) -> dict[str, Any]:
    """One claim as the template shows it: words only."""
    claim = answer.claim
    return {
        "id": claim.id, "verdict": answer.verdict.value, "short": spoken(claim.text), "texts": list(claim.text.items()),
        "claimed": claim.claimed.written, "ours": ours(answer), "because": because(answer), "note": claim.note,
        "steps": answer.shown.reading.steps, "chosen": way({a: (o,) for a, o in answer.shown.reading.chosen.items()}),
        "readings": [(way({a: (o,) for a, o in j.reading.chosen.items()}) or "as it stands", said(j),
                      j.agreement.value, j.hedge or j.why) for j in answer.judged],
        "also": [(p.name, way({a: (o,) for a, o in j.reading.chosen.items()}), said(j),
                  f"claimed {p.claimed.written}: {p.verdict.value}" if p.claimed and p.verdict else "")
                 for p in answer.also for j in p.judged],
        "facts": [(f.key, written(f.value, f.unit), f.kind, checked.facts.sources.get(f.source, f.source), f.where,
                   f.as_of.isoformat(), f.note) for f in used(answer)],
    }
