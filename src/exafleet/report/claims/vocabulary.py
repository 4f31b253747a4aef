"""The closed list of words a claim may compute with. Nothing else is understood, and nothing is executed.

A computation is a number, a quantity in words ("65,000 USD/superchip"), a day, or a table with one word of this list:
{ product = [{ fact = "gb200-nvl72.tdp" }, 72] }. Every word says what it takes; docs/claims.md is made from the list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from exafleet.facts.fact import KINDS, split_key
from exafleet.facts.scenario.fill import newest
from exafleet.report.claims import amount, physics, purchase
from exafleet.report.claims.amount import Amount, plain
from exafleet.report.claims.asking import Asking, NotKnown
from exafleet.report.claims.claimed import any_amount, tolerance
from exafleet.terms.calendar import SECONDS_PER_DAY, month_of
from exafleet.terms.said import Texts, named, said

# What an argument is. NODES are computations themselves; the others are checked before anything is computed.
NODE, NODES, KEY, SERIES, CLAIM, TEXT, WORD, WAYS = (
    "node", "nodes", "key", "series", "claim", "text", "word", "ways")
MEANING = {
    NODE: "a computation", NODES: "a list of computations", KEY: "the key of a fact",
    SERIES: "subject.term of facts by day or month", CLAIM: "the id of another claim", TEXT: "a name",
    WORD: "a name, or one by language",
    WAYS: "a list of { when = a name, or one by language, take = computation }",
}

# How many computations a list needs, where one is too few.
LEAST = {"ratio": 2, "difference": 2, "span": 2, "gaps": 2, "same": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word: what it takes, what it gives, and how it is computed.

    takes   arguments by name; "" where the word's value is its only argument
    needs   the arguments that must be there
    axes    readings it asks for, with every option
    """

    name: str
    meaning: str
    takes: Mapping[str, str]
    example: str
    compute: Callable[[Mapping[str, Any], Asking], Amount]
    needs: tuple[str, ...] = ()
    axes: Mapping[str, tuple[str, ...]] | None = None


def evaluate(node: Any, asking: Asking) -> Amount:
    """What a computation gives under the asking's reading. The computation has been checked before."""
    if isinstance(node, bool | int | float):
        return plain(float(node))
    if isinstance(node, date):
        return plain(float(node.toordinal()), amount.DAY)
    if isinstance(node, str):
        return _literal(node)
    name = next(n for n in node if n in WORDS)
    word = WORDS[name]
    return word.compute({"": node[name]} if "" in word.takes else node[name], asking)


def _literal(text: str) -> Amount:
    found = any_amount(text)
    assert found is not None, text
    return Amount(value=found.middle, low=found.low, high=found.high, dims=found.dims)


def _all(nodes: Any, asking: Asking) -> list[Amount]:
    return [evaluate(node, asking) for node in nodes]


# ----------------------------------------------------------------------------------------------------------- facts
def _fact(given: Mapping[str, Any], asking: Asking) -> Amount:
    return asking.fact(given[""])


def _low(given: Mapping[str, Any], asking: Asking) -> Amount:
    found = asking.fact(given[""])
    return plain(found.low, found.dims, found.kind)


def _high(given: Mapping[str, Any], asking: Asking) -> Amount:
    found = asking.fact(given[""])
    return plain(found.high, found.dims, found.kind)


def _latest(given: Mapping[str, Any], asking: Asking) -> Amount:
    subject, term, _ = split_key(given[""])
    dated = asking.facts.find(subject, term)
    known = [fact for at, fact in sorted(dated.items()) if at <= asking.day.isoformat()]
    if not known:
        raise NotKnown(said("claims.lacks.latest", fact=given[""], day=asking.day.isoformat()))
    return asking.take(known[-1])


def _total(given: Mapping[str, Any], asking: Asking) -> Amount:
    """Facts of a series between two qualifiers, both included."""
    subject, term, _ = split_key(given["of"])
    first, last = given["from"], given["until"]
    known = [f for at, f in sorted(asking.facts.find(subject, term).items()) if first <= at <= last]
    if not known:
        raise NotKnown(said("claims.lacks.total", fact=given["of"], first=first, last=last))
    total = amount.added([asking.take(fact) for fact in known])
    asking.say(said("claims.step.total", fact=given["of"], first=first, last=last, total=total.written))
    return total


def _claim(given: Mapping[str, Any], asking: Asking) -> Amount:
    found = asking.claims[given[""]]
    asking.say(said("claims.step.claim", id=given[""], found=found.written))
    return Amount(value=found.middle, low=found.low, high=found.high, dims=found.dims)


def _confirmed(given: Mapping[str, Any], asking: Asking) -> Amount:
    """1 where the best row of a fact is more than hearsay; a rumour leaves it open."""
    found = asking.fact(given[""])
    best = asking.used[given[""]]
    asking.say(said("claims.step.confirmed", fact=given[""], kind=named("kind", best.kind), source=best.source))
    return plain(1.0 if KINDS.index(best.kind) <= KINDS.index("price") else 0.0, kind=found.kind)


def _slips(given: Mapping[str, Any], asking: Asking) -> Amount:
    """How often the expected day moved later by a fortnight or more, from statement to statement and to the real day.

    Rumours are left out.
    """
    subject, term, _ = split_key(given["expected"])
    rows = [f for _, f in sorted(asking.facts.find(subject, term).items()) if f.kind != "rumour"]
    real = asking.facts.try_get(given["actual"]) if "actual" in given else None
    stated = [asking.take(f) for f in (*rows, *([real] if real is not None else []))]
    if len(stated) < 2:
        raise NotKnown(said("claims.lacks.slips", fact=given["expected"]))
    moved = [later.value - earlier.value for earlier, later in pairwise(stated)]
    number = sum(days >= 14 for days in moved)
    asking.say(said("claims.step.slips", n=number, moved=[said("claims.moved", days=f"{d:+,.0f}") for d in moved]))
    return plain(float(number), kind=amount.weakest(stated))


# ------------------------------------------------------------------------------------------------------ arithmetic
def _reckoned(word: str, reckon: Callable[[list[Amount]], Amount]) -> Callable[[Mapping[str, Any], Asking], Amount]:
    def compute(given: Mapping[str, Any], asking: Asking) -> Amount:
        parts = _all(given[""], asking)
        found = reckon(parts)
        asking.say(said("claims.step.reckoned", word=named("claims.reckoned", word), parts=[p.written for p in parts],
                        found=found.written))
        return found
    return compute


def _ratio(parts: list[Amount]) -> Amount:
    return amount.divided(parts[0], amount.multiplied(parts[1:]))


def _difference(parts: list[Amount]) -> Amount:
    found = parts[0]
    for part in parts[1:]:
        found = amount.subtracted(found, part)
    return found


def _whole(given: Mapping[str, Any], asking: Asking) -> Amount:
    import math

    found = evaluate(given[""], asking)
    down = plain(float(math.floor(found.value + 1e-9)), found.dims, found.kind)
    asking.say(said("claims.step.whole", found=found.written, whole=down.written))
    return Amount(value=down.value, low=float(math.floor(found.low + 1e-9)), dims=found.dims, kind=found.kind,
                  high=float(math.floor(found.high + 1e-9)) if math.isfinite(found.high) else found.high,
                  predicted=found.predicted)


def _count_as(given: Mapping[str, Any], asking: Asking) -> Amount:
    """A plain number as so many GPUs, superchips or racks."""
    from dataclasses import replace

    found = evaluate(given["number"], asking)
    if found.dims != amount.PURE:
        raise amount.Mismatch(f"only a plain number can be counted in {given['unit']}, not {amount.name(found.dims)}")
    return replace(found, dims=((given["unit"], 1),))


def _same(given: Mapping[str, Any], asking: Asking) -> Amount:
    """1 where two figures agree: their bands meet, or they differ by less than what the claim's figure leaves open."""
    first, second = given["of"]
    one, other = evaluate(first, asking), evaluate(second, asking)
    if not amount.same_kind(one.dims, other.dims):
        raise amount.Mismatch(f"{amount.name(one.dims)} and {amount.name(other.dims)} are not of one kind")
    slack = abs(other.value) * tolerance(second if isinstance(second, str) else f"{other.value:.15g}", False)
    agree = one.low - slack <= other.high and other.low <= one.high + slack
    asking.say(said("claims.step.agree" if agree else "claims.step.differ", one=one.written, other=other.written))
    return plain(float(agree), kind=amount.weakest([one, other]))


def _rank(given: Mapping[str, Any], asking: Asking) -> Amount:
    own, others = evaluate(given["of"], asking), _all(given["among"], asking)
    place = 1 + sum(o.value > own.value for o in others)
    asking.say(said("claims.step.rank", own=own.written, others=[o.written for o in others], place=place))
    return plain(float(place), kind=amount.weakest([own, *others]))


def _gaps(given: Mapping[str, Any], asking: Asking) -> Amount:
    """Mean time between days that follow each other, with the shortest and longest as its band. [s]"""
    parts = _all(given[""], asking)
    days = sorted(a.value for a in parts)
    if len(days) < 2 or any(a.dims != amount.DAY for a in parts):
        raise amount.Mismatch("gaps need two days or more")
    between = [(later - earlier) * SECONDS_PER_DAY for earlier, later in pairwise(days)]
    found = Amount(value=sum(between) / len(between), low=min(between), high=max(between), dims=amount.dims_of("time"),
                   kind=amount.weakest(parts))
    asking.say(said("claims.step.gaps", n=len(between), found=found.written))
    return found


def _by(given: Mapping[str, Any], asking: Asking) -> Amount:
    ways = {text_of(way["when"]): way["take"] for way in given["of"]}
    return evaluate(ways[asking.choose(text_of(given["axis"]), tuple(ways))], asking)


def _convert(given: Mapping[str, Any], asking: Asking) -> Amount:
    """Money, or a price, in another currency, at the mean rate of the claim's month."""
    money = evaluate(given["money"], asking)
    currency = given["to"]
    if ("USD", 1) not in money.dims:
        raise amount.Mismatch(f"only US dollars are converted, this is {amount.name(money.dims)}")
    rate = newest(asking.facts, currency.casefold(), "fx", month_of(asking.day))
    if rate is None:
        raise NotKnown(said("claims.lacks.fx", fact=f"{currency.casefold()}.fx@{asking.day:%Y-%m}"))
    taken = asking.take(rate)
    found = amount.multiplied([money, taken, plain(1.0, ((currency, 1), ("USD", -1)))])
    asking.say(said("claims.step.convert", money=money.written, rate=f"{taken.value:.4f}", found=found.written))
    return found


_LIST = {"": NODES}
WORDS: dict[str, Word] = {w.name: w for w in (
    Word(name="fact", meaning="a fact, with its band", takes={"": KEY}, compute=_fact,
         example='{ fact = "gb200-gpu.tdp" }'),
    Word(name="low", meaning="the low end of a fact's band", takes={"": KEY}, compute=_low,
         example='{ low = "gb200-nvl72.power_max" }'),
    Word(name="high", meaning="the high end of a fact's band", takes={"": KEY}, compute=_high,
         example='{ high = "gb200-superchip.superchip_price@2024-05" }'),
    Word(name="latest", meaning="of facts by day, the last one by the day of the claim", takes={"": SERIES},
         compute=_latest, example='{ latest = "colossus-1.chips_online" }'),
    Word(name="total", meaning="sum of facts by month, quarter or year, both ends included", compute=_total,
         takes={"of": SERIES, "from": TEXT, "until": TEXT}, needs=("of", "from", "until"),
         example='{ total = { of = "shipments-b200.units_shipped", from = "2025-Q1", until = "2025-Q4" } }'),
    Word(name="claim", meaning="what another claim of the file says", takes={"": CLAIM}, compute=_claim,
         example='{ claim = "C01" }'),
    Word(name="confirmed", meaning="1 where a fact has better evidence than an estimate, else 0; a rumour decides "
         "nothing", takes={"": KEY}, compute=_confirmed, example='{ confirmed = "xai-dell-2025.order_value" }'),
    Word(name="slips", meaning="how often an expected day moved later by a fortnight or more, the real day included; "
         "rumours are left out", takes={"expected": SERIES, "actual": KEY}, needs=("expected",), compute=_slips,
         example='{ slips = { expected = "gb200-nvl72.ship_expected", actual = "gb200-nvl72.volume_ship" } }'),
    Word(name="sum", meaning="the sum; a day and times make a day", takes=_LIST, example='{ sum = [1, 2] }',
         compute=_reckoned("sum", amount.added)),
    Word(name="difference", meaning="the first less the others; of two days, the time between them", takes=_LIST,
         compute=_reckoned("difference", _difference), example='{ difference = ["2025-07-22", "2025-01-31"] }'),
    Word(name="product", meaning="the product", takes=_LIST, compute=_reckoned("product", amount.multiplied),
         example='{ product = [360, { fact = "gb200-nvl72.chips" }] }'),
    Word(name="ratio", meaning="the first over the product of the others", takes=_LIST,
         compute=_reckoned("ratio", _ratio), example='{ ratio = ["1.08 BUSD", "3.0 MUSD/rack"] }'),
    Word(name="min", meaning="the smallest", takes=_LIST, compute=_reckoned("smallest", amount.least),
         example='{ min = [2, 3] }'),
    Word(name="max", meaning="the largest", takes=_LIST, compute=_reckoned("largest", amount.most),
         example='{ max = [2, 3] }'),
    Word(name="span", meaning="from the smallest to the largest: compared with both ends of a claimed range",
         takes=_LIST, compute=_reckoned("from smallest to largest", amount.spanned),
         example='{ span = [{ fact = "b100.tdp" }, { fact = "gb200-gpu.tdp" }] }'),
    Word(name="whole", meaning="rounded down: what can be bought or installed", takes={"": NODE}, compute=_whole,
         example='{ whole = { ratio = ["1.08 BUSD", "3.1 MUSD/rack"] } }'),
    Word(name="counted", meaning="a plain number as so many GPUs, superchips or racks", compute=_count_as,
         takes={"number": NODE, "unit": TEXT}, needs=("number", "unit"),
         example='{ counted = { number = { fact = "gb200-nvl72.chips" }, unit = "GPU" } }'),
    Word(name="same", meaning="1 where two figures agree within the second's tolerance, else 0", takes={"of": NODES},
         needs=("of",), compute=_same, example='{ same = { of = [{ fact = "rubin.process_node" }, "3 nm"] } }'),
    Word(name="rank", meaning="place of the first among the others by size, 1 the largest", compute=_rank,
         takes={"of": NODE, "among": NODES}, needs=("of", "among"),
         example='{ rank = { of = 50, among = [157, 19] } }'),
    Word(name="gaps", meaning="mean time between days, with the shortest and longest gap", takes=_LIST, compute=_gaps,
         example='{ gaps = ["2023-11-03", "2024-03-28", "2024-08-13"] }'),
    Word(name="by", meaning="one computation for each way the words can be meant; every way is tried", compute=_by,
         takes={"axis": WORD, "of": WAYS}, needs=("axis", "of"),
         example='{ by = { axis = "unit", of = [{ when = "GPU", take = 1 }, { when = "superchip", take = 2 }] } }'),
    Word(name="convert", compute=_convert,
         meaning="dollars, or a price in dollars, in another currency, at the rate of the claim's month",
         takes={"money": NODE, "to": TEXT}, needs=("money", "to"),
         example='{ convert = { money = "1.08 BUSD", to = "CNY" } }'),
    Word(name="bought", meaning="GPUs that a sum buys of a system", compute=purchase.bought(evaluate),
         takes={"money": NODE, "system": TEXT}, needs=("money",), axes={"price": purchase.PRICES},
         example='{ bought = { money = "1.08 BUSD", system = "gb200-nvl72" } }'),
    Word(name="cost", meaning="what so many GPUs of a system cost", compute=purchase.cost(evaluate),
         takes={"gpus": NODE, "system": TEXT}, needs=("gpus",), axes={"price": purchase.PRICES},
         example='{ cost = { gpus = "100,000 GPUs", system = "gb200-nvl72" } }'),
    Word(name="peak", meaning="rate of matrix products of one GPU, superchip or rack, as rated or as measured",
         compute=physics.peak, takes={"of": TEXT}, axes={"unit": physics.UNITS, "rate": physics.RATES,
                                                        "dtype": physics.DTYPES, "density": physics.DENSITIES},
         example='{ peak = { of = "gb200-nvl72" } }'),
    Word(name="speedup", meaning="how many times as fast the subject is as the baseline: at its peak, in measured "
         "matrix products, training and serving a model", compute=physics.speedup,
         takes={"of": TEXT, "over": TEXT, "model": TEXT, **dict.fromkeys(physics.SPEED_AXES, TEXT)},
         axes=physics.SPEED_AXES,
         example='{ speedup = { of = "gb200-nvl72", over = "hgx-h100", model = "gpt-moe-1.8t" } }'),
    Word(name="power", meaning="rated power of one GPU, superchip or rack of a system, or all IT power of one GPU",
         compute=physics.power, takes={"of": TEXT}, axes={"counted": physics.COUNTED},
         example='{ power = { of = "gb200-nvl72" } }'),
)}


def children(node: Any) -> list[tuple[tuple[str | int, ...], Any]]:
    """The computations directly inside one, with the path to each."""
    name = next((n for n in node if n in WORDS), None) if isinstance(node, Mapping) else None
    if name is None:
        return []
    found: list[tuple[tuple[str | int, ...], Any]] = []
    for argument, form in WORDS[name].takes.items():
        value, path = (node[name], (name,)) if argument == "" else (_argument(node[name], argument), (name, argument))
        if form == NODE and value is not None:
            found.append((path, value))
        if form in (NODES, WAYS) and isinstance(value, list):
            found += [((*path, i), one) if form == NODES else ((*path, i, "take"), _argument(one, "take"))
                      for i, one in enumerate(value)]
    return found


def axes_of(node: Any) -> dict[str, tuple[str, ...]]:
    """Axes of the readings of a computation, with every option of each."""
    found: dict[str, tuple[str, ...]] = {}
    here = next((n for n in node if n in WORDS), None) if isinstance(node, Mapping) else None
    if here is not None:
        fixed = node[here] if isinstance(node[here], Mapping) else {}
        found.update({axis: ways for axis, ways in (WORDS[here].axes or {}).items() if axis not in fixed})
        if here == "by" and isinstance(node[here], Mapping) and isinstance(node[here].get("of"), list):
            found[text_of(node[here].get("axis"))] = tuple(text_of(_argument(w, "when")) for w in node[here]["of"])
    for _, child in children(node):
        for axis, options in axes_of(child).items():
            found[axis] = tuple(dict.fromkeys((*found.get(axis, ()), *options)))
    return found


def text_of(value: Any) -> str:
    """Words of a file as one text: as they stand, or by language, `{ en = "...", zh = "..." }`."""
    return Texts(value) if is_texts(value) else str(value)


def is_texts(value: Any) -> bool:
    """Whether a value is texts by language."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, str) and v for v in value.values())


def _argument(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
