"""Verdicts as one HTML file: offline, readable on a phone and in print, light and dark, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exafleet.report.claims.answer import (
    Checked,
    agreement,
    because,
    figure,
    hedge,
    meta,
    ours,
    part,
    reading,
    spoken,
    subtitle,
    used,
    verdict,
)
from exafleet.report.claims.judge import Answer, Verdict
from exafleet.report.html import TAGS, TEMPLATES
from exafleet.terms.format import written
from exafleet.terms.said import ENGLISH, Said, named, said, say

_CLASSES = {Verdict.TRUE: "true", Verdict.CONDITIONAL: "conditions", Verdict.FALSE: "false", Verdict.OPEN: "open"}


def page(checked: Checked, language: str = ENGLISH) -> str:
    """Verdicts as a self-contained HTML page in a language."""
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined,
                                     autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["say"] = lambda text: say(text, language)
    return environment.get_template("claims.html.j2").render(
        claims=checked.claims, answers=[_shown(a, checked, language) for a in checked.answers],
        counts=[(verdict(v), _CLASSES[v], checked.counts[v.value]) for v in Verdict], subtitle=subtitle(checked),
        computed=sum(a.computed for a in checked.answers), meta=meta(checked), words=_words(checked),
        column=_columns(), language=TAGS[language])


def _words(checked: Checked) -> Mapping[str, Said]:
    """Words of the page that are the same for every claim."""
    return {"computed": said("claims.computed"), "contents": said("claims.contents"),
            "recorded": said("claims.recorded"),
            "small": said("claims.computed small", n=len(checked.answers))}


def _columns() -> dict[str, str]:
    return {name: named("claims.column", name) for name in (
        "claimed", "fact", "figure", "kind", "ours", "published", "reading", "source", "the claim", "value", "what")}


def _shown(answer: Answer, checked: Checked, language: str) -> dict[str, Any]:
    """One claim as the template shows it: words only."""
    claim, steps, facts = answer.claim, answer.shown.reading.steps, used(answer)
    return {
        "id": claim.id, "verdict": verdict(answer.verdict), "class": _CLASSES[answer.verdict],
        "short": spoken(claim.text, language), "texts": list(claim.text.items()),
        "claimed": claim.claimed.written, "ours": ours(answer), "because": because(answer, language),
        "note": claim.note, "steps": steps, "chosen": reading(answer.shown),
        "title": {"also": said("claims.beside", n=sum(len(p.judged) for p in answer.also)),
                  "steps": said("claims.computation", n=len(steps)),
                  "readings": said("claims.every reading", n=len(answer.judged)),
                  "facts": said("claims.facts", n=len(facts))},
        "readings": [(reading(j) or said("claims.as it stands"), figure(j), agreement(j), hedge(j))
                     for j in answer.judged],
        "also": [(p.name, reading(j), figure(j), part(p)) for p in answer.also for j in p.judged],
        "facts": [(f.key, written(f.value, f.unit), named("kind", f.kind),
                   checked.facts.sources.get(f.source, f.source), f.where, f.as_of.isoformat(), f.note)
                  for f in facts],
    }
