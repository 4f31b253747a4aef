"""Figures in a text, by rules: numbers with units, money, shares, ratios and times, English and Chinese; and days.

Each rule is a pattern and what it means. A number without a unit is no figure, and one inside a name (H100) is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from exafleet.report.claims import days
from exafleet.report.claims.bounds import bound_of
from exafleet.report.claims.keywords import Keywords
from exafleet.report.claims.numerals import ZH_DIGITS, chinese
from exafleet.report.claims.spans import Busy, Figure

Places = Sequence[tuple[int, int]]
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
# More characters than this are no number that anybody claims.
LONGEST = 24
# Two numbers that stand further apart than this are no range, whatever unit stands between them.
_APART = 64
_EN_NUMBERS: dict[str, int] = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90, "hundred": 100}
_SCALES = {"thousand": 3, "k": 3, "million": 6, "mn": 6, "m": 6, "billion": 9, "bn": 9, "b": 9, "trillion": 12,
           "tn": 12, "t": 12, "万亿": 12, "千亿": 11, "百亿": 10, "十亿": 9, "亿": 8, "千万": 7, "百万": 6,
           "十万": 5, "万": 4,
           "千": 3, "百": 2}
_SCALE = (r"(?P<scale>thousand|million|billion|trillion|万亿|千亿|百亿|十亿|千万|百万|十万|亿|万|千(?!瓦)|百|"
          r"bn\b|mn\b|tn\b|[kKMBT](?![A-Za-z]))?")


# Units by pattern: (pattern, quantity, unit as in units.csv, power of ten). Longest first where one begins another.
# Blanks, and in English a hyphen, may stand before any of them.
_EN_UNITS = (
    (r"(?:percentage points)", "", "", 0),
    (r"(?:%|percent\b|per cent\b)", "share", "%", 0),
    (r"(?:fold\b|times\b)|x\b(?!\s*\d)", "ratio", "x", 0),
    (r"(?:GWh|gigawatt[- ]hours?)\b", "energy", "GWh", 0),
    (r"(?:MWh|megawatt[- ]hours?)\b", "energy", "MWh", 0),
    (r"(?:kWh|kilowatt[- ]hours?)\b", "energy", "kWh", 0),
    (r"(?:GW|gigawatts?)\b(?!h)", "power", "GW", 0), (r"(?:MW|megawatts?)\b(?!h)", "power", "MW", 0),
    (r"(?:kW|KW|kilowatts?)\b(?!h)", "power", "kW", 0), (r"(?:W|watts?)\b(?!h)", "power", "W", 0),
    (r"(?:joules?|J)\s*(?:per|/|a)\s*token\b", "energy", "J/token", 0),
    (r"(?:TB/s|[Tt]erabytes? (?:per|a) second)\b", "rate", "TB/s", 0),
    (r"(?:GB/s|[Gg]igabytes? (?:per|a) second)\b", "rate", "GB/s", 0), (r"MB/s\b", "rate", "MB/s", 0),
    (r"(?:Tb/s|Tbit/s|Tbps|[Tt]erabits? (?:per|a) second)\b", "rate", "Gb/s", 3),
    (r"(?:Gb/s|Gbit/s|Gbps|[Gg]igabits? (?:per|a) second)\b", "rate", "Gb/s", 0),
    *((rf"(?:{unit})\b(?!/s)", "size", unit, 0) for unit in ("TiB", "GiB", "MiB", "KiB")),
    (r"(?:PB|[Pp]etabytes?)\b", "size", "PB", 0),
    (r"(?:TB|tb|[Tt]erabytes?)\b(?!/s)", "size", "TB", 0), (r"(?:GB|gb|[Gg]igabytes?)\b(?!/s)", "size", "GB", 0),
    (r"(?:MB|[Mm]egabytes?)\b(?!/s)", "size", "MB", 0),
    (r"(?:nm|nanometers?|nanometres?)\b", "size", "nm", 0),
    (r"(?:EFLOPS|EFLOP/s|exaflops?)\b", "rate", "EFLOP/s", 0),
    (r"(?:PFLOPS|PFLOP/s|petaflops?)\b", "rate", "PFLOP/s", 0),
    (r"(?:TFLOPS|TFLOP/s|teraflops?)\b", "rate", "TFLOP/s", 0),
    (r"(?:tokens?\s*(?:/|per|a)\s*s(?:ec(?:ond)?)?)\b", "rate", "token/s", 0),
    (r"racks?\s*(?:/|per|a)\s*(?P<every>day|week|month)\b", "rate", "racks", 0),
    (r"(?:milliseconds?|ms)\b", "duration", "ms", 0), (r"(?:seconds?|secs?)\b", "duration", "s", 0),
    (r"minutes?\b", "duration", "min", 0), (r"hours?\b", "duration", "h", 0),
    (r"(?:working |business )?days?\b", "duration", "d", 0), (r"weeks?\b", "duration", "wk", 0),
    (r"months?\b", "duration", "mo", 0), (r"quarters?\b(?! of)", "duration", "quarters", 0),
    (r"years?\b(?! old)", "duration", "yr", 0),
    (r"transistors?\b", "count", "", 0), (r"parameters?\b|params\b", "count", "params", 0),
    (r"tokens?\b", "count", "tokens", 0),
    (r"superchips?\b", "count", "superchips", 0),
    (r"(?:GPUs?|chips?|accelerators?|cards?|graphics cards?|processors?)\b", "count", "GPUs", 0),
    (r"(?:racks?|cabinets?|servers?|nodes?)\b", "count", "racks", 0),
    (r"units?\b", "count", "units", 0), (r"(?:wafers?|users?|orders?|requests?)\b", "count", "", 0),
)
_ZH_UNITS = (
    (r"个百分点", "", "", 0), (r"%", "share", "%", 0), (r"成(?!本|立|为|功|员|都|果|熟)", "share", "%", 1),
    (r"倍", "ratio", "x", 0),
    (r"吉瓦时", "energy", "GWh", 0), (r"兆瓦时", "energy", "MWh", 0),
    (r"(?:千瓦时|度电)", "energy", "kWh", 0),
    (r"吉瓦(?!时)", "power", "GW", 0), (r"兆瓦(?!时)", "power", "MW", 0), (r"千瓦(?!时)", "power", "kW", 0),
    (r"瓦(?!时)", "power", "W", 0), (r"纳米", "size", "nm", 0),
    (r"毫秒", "duration", "ms", 0), (r"秒", "duration", "s", 0), (r"分钟", "duration", "min", 0),
    (r"个?小时", "duration", "h", 0), (r"个?工作日", "duration", "d", 0), (r"天", "duration", "d", 0),
    (r"(?:周|个星期|星期)(?!年)", "duration", "wk", 0), (r"个月", "duration", "mo", 0),
    (r"个季度", "duration", "quarters", 0), (r"年(?!代|级|报)", "duration", "yr", 0),
    (r"亿?个?晶体管", "count", "", 0), (r"个?参数", "count", "params", 0),
    (r"(?:个|颗|枚|块)?超级芯片", "count", "superchips", 0),
    (r"(?:个|块|张|颗|枚|片|台|套)?\s*(?:的)?\s*(?:GPU|显卡|芯片|加速卡|加速器|卡(?!车))", "count", "GPUs", 0),
    (r"(?:个|台|套|组)?\s*(?:机柜|机架|服务器|节点)", "count", "racks", 0),
    (r"(?:次|片晶圆|名用户|用户)(?!序|要|级)", "count", "", 0),
    (r"(?:只|件|家|名|人|股|辆|架|座|部|份|户|项|条|艘|栋|所|枚|位|笔|吨)(?!次|民币|均|工智能)", "count", "", 0),
)
# English words that count nothing though they end as a plural does, or that end a clause.
_NO_PLURAL = re.compile(r"is|was|has|this|its|as|always|perhaps|does|ours|theirs|yes|news|series|besides|afterwards|"
                        r"towards|points|basis|sales|others|litres|liters|metres|meters|miles|acres|tonnes|tons|degrees|"
                        r"times|inches|gallons|kilometres|kilometers|pounds|.*ss|.*us")
_PLURAL = re.compile(r"(?:(?<=\s)|\s)(?:[a-z]+(?:-[a-z]+)?\s)?(?P<noun>people|staff|men|women|children|[a-z]{2,}s)\b"
                     r"(?!\s(?:an?|per|each)\s(?:second|minute|hour|day|week|month|year)\b)")
# What a number names rather than counts: "phase 2", "page 4", "Grok 3".
_NAMES = re.compile(r"(?:[A-Z][A-Za-z]*|phase|version|step|figure|table|chapter|page|no\.?|number|part|section|level|"
                    r"gen|generation|type|rule|item|note|day|week|round|stage|tier|第)\s*$")
_MONEY_BEFORE = r"(?P<before>US\$|\$|USD\s?|€|EUR\s?|¥|RMB\s?|CNY\s?)"
_MONEY_AFTER = (r"(?:\s*-?\s*(?P<after>US dollars?|cents?\b|U\.S\. dollars?|dollars?|USD\b|euros?\b|EUR\b|yuan\b|"
                r"renminbi\b|RMB\b|CNY\b)|"
                r"\s*(?P<zh>亿?美元|美金|欧元|元人民币|人民币|元))")
_CURRENCIES = {
    **dict.fromkeys(("cent", "us$", "$", "usd", "dollar", "us dollar", "u.s. dollar", "美元", "美金"), "USD"),
               "€": "EUR", "eur": "EUR", "euro": "EUR", "欧元": "EUR", "¥": "CNY",
               **dict.fromkeys(("rmb", "cny", "yuan", "renminbi", "元人民币", "人民币", "元"), "CNY")}
_PER = re.compile(r"\s*(?:/|per|an?|each|for each|for one|every)\s*(?P<of>GPU[- ]?(?:hours?|hr|h)|kWh|MWh|GPU|chip|"
                  r"accelerator|card|superchip|rack|server|unit|system|(?:(?:thousand|million|billion|1,?000|1[kKMB])\s)?"
                  r"(?:input\s|output\s)?tokens?|watt|kilowatt|megawatt|gigawatt|[kMG]?W)\b(?![- ]?hour)",
                  re.IGNORECASE | re.ASCII)
_PER_BEFORE = re.compile(r"(?:一|每|单)(颗|枚|块|张|片|个|台|套|架|只)?\s*(?:[A-Za-z0-9 ]{0,16})?"
                         r"(超级芯片|芯片|GPU|显卡|卡(?!时)|机柜|机架|服务器)"
                         r"[^。；！？;!?]{0,24}$|"
                         r"每一?(?P<rate>度电?|千瓦时|兆瓦时|卡时|卡小时|GPU小时|百万\s?tokens?|瓦|千瓦|兆瓦|吉瓦)"
                         r"[^。；！？;!?,，]{0,24}$", re.IGNORECASE)
_EACH_BEFORE = re.compile(r"\b(?:each|per|every|an?|one)\s+(?:[\w-]+\s+){0,2}"
                          r"(GPU|chip|accelerator|card|superchip|rack|server|unit|megawatt|gigawatt|kilowatt|watt)s?\s+"
                          r"(?:[a-z]+\s+){1,4}$|"
                          r"(?:每|单)(颗|枚|块|张|片|台|套|只|件)[^。；,，]{0,16}$", re.IGNORECASE | re.ASCII)
_PER_AFTER = re.compile(r"\s*(?:/|每|一)\s*(?P<of>超级芯片|颗|枚|块|张|片|台|套|只|件|GPU小时|卡时|卡小时|GPU|卡|"
                        r"机柜|机架|服务器|度电?|千瓦时|兆瓦时|百万\s?tokens?|千瓦|兆瓦|吉瓦|瓦)", re.IGNORECASE)
# What one of is priced: a unit of units.csv, and the power of ten that takes the price to it.
_OF: dict[str, tuple[str, int]] = {
    **dict.fromkeys(("gpu-hour", "gpu-hours", "gpu hour", "gpu hours", "gpu-hr", "gpu-h", "gpuhour", "卡时", "卡小时",
                     "gpu小时"), ("GPU-h", 0)),
    **dict.fromkeys(("kwh", "千瓦时", "度", "度电"), ("kWh", 0)), **dict.fromkeys(("mwh", "兆瓦时"), ("MWh", 0)),
    **dict.fromkeys(("gpu", "chip", "accelerator", "card", "芯片", "显卡", "卡", *"颗枚块张片"), ("GPU", 0)),
    **dict.fromkeys(("superchip", "超级芯片"), ("superchip", 0)),
    **dict.fromkeys(("rack", "机柜", "机架"), ("rack", 0)), **dict.fromkeys(("server", "服务器", "台"), ("server", 0)),
    **dict.fromkeys(("unit", "system", "套", "只", "件"), ("unit", 0)),
    **dict.fromkeys(("watt", "w", "瓦"), ("W", 0)), **dict.fromkeys(("kilowatt", "kw", "千瓦"), ("kW", 0)),
    **dict.fromkeys(("megawatt", "mw", "兆瓦"), ("W", -6)), **dict.fromkeys(("gigawatt", "gw", "吉瓦"), ("W", -9)),
    **dict.fromkeys(("token", "tokens"), ("Mtoken", 6)),
    **{f"{many} {word}": ("Mtoken", power) for word in ("token", "tokens") for many, power in (
        ("thousand", 3), ("1000", 3), ("1,000", 3), ("1k", 3), ("million", 0), ("1m", 0), ("百万", 0), ("billion", -3),
        ("1b", -3))},
}
_TO = re.compile(r"\s*(?:to|or|and|-|~|至|到|或)\s*")
_NEXT = re.compile(r"\s*(?:to|or|-)\s*(?:\d|" + "|".join(_EN_NUMBERS) + ")", re.ASCII)
_FIGURE = re.compile(
    rf"(?=[\d$€¥UuEeRrCc])(?<![A-Za-z0-9_.])(?:{_MONEY_BEFORE})?\s?(?P<number>{NUMBER})(?P<more>多|余|\+)?\s?-?{_SCALE}(?P<more2>多|余)?",
    re.IGNORECASE | re.ASCII)
_SPELT = re.compile(r"\b(?P<word>" + "|".join(_EN_NUMBERS) + r")\b(?P<scale>(?:\s+(?:thousand|million|billion)))?",
                    re.IGNORECASE | re.ASCII)
_FOLDED = re.compile(r"\b(" + "|".join(w for w in _EN_NUMBERS ) + r")fold\b", re.IGNORECASE | re.ASCII)
_ZH_SPELT = re.compile(r"[一二两三四五六七八九十百千万亿〇零]+")
_COUNTED = re.compile(r"\s*(?:个|块|张|颗|枚|片|台|套)?\s*")
_PARAMETERS = re.compile(r"参数(?:量|规模|总量)?(?:为|达到?|约|高达|超过|是)*\s*$")
_FRACTION = re.compile(r"\b(?:(?P<up>an?|one|two|three|four)[ -]"
                       r"(?P<down>half|third|fifth|tenth|quarter(?=s? of))s?\b"
                       r"(?! of (?:20|the year))(?=s|\s+(?:of|more|less|fewer|higher|lower|above|below|cheaper|dearer|"
                       r"faster|slower|larger|smaller|bigger|as|off|to|from|over|the)\b|\s*(?:[,.;:)]|$))|"
                       r"(?P<half>half)\b(?= (?:of|the)\b(?! 20)))", re.IGNORECASE | re.ASCII)
_ZH_FRACTION = re.compile(r"(?<![一二三四五六七八九十百千])(?P<down>[一二三四五六七八九十百千]{1,12})分之"
                          r"(?P<up>[一二两三四五六七八九十]{1,12}|\d[\d.]{0,12})|一半", re.ASCII)
_DOWN = {"half": 2, "third": 3, "quarter": 4, "fifth": 5, "tenth": 10}
# Words that are a figure by themselves: (pattern, quantity, unit, as claimed).
_ALONE = tuple((re.compile(words, re.IGNORECASE | re.ASCII), quantity, unit, said) for words, quantity, unit, said in (
    (r"翻倍|翻一番|翻了?一?番", "ratio", "x", "2 x"), (r"减半|腰斩", "ratio", "x", "0.5 x"),
    (r"半年(?<![上下年个\d一二两三四五六七八九十]半年)(?!报|度)", "duration", "mo", "6 mo")))
_ALONE_EN = {**dict.fromkeys(("twice", "double", "doubles", "doubled", "doubling"), "2 x"),
             **dict.fromkeys(("triple", "triples", "tripled", "tripling", "thrice"), "3 x"),
             **dict.fromkeys(("halve", "halves", "halved", "halving"), "0.5 x")}
_HALF_A_YEAR = re.compile(r"half[- ]a[- ]year\b", re.IGNORECASE | re.ASCII)
KEYWORDS = Keywords({
    "number": _EN_NUMBERS, "fold": (f"{word}fold" for word in _EN_NUMBERS), "alone": _ALONE_EN,
    "part": ("half", *(f"{word}{s}" for word in _DOWN for s in ("", "s"))), **days.KEYWORDS})
# "增长一倍" is twice as much, whatever a reader may think of "增长1.2倍".
_GROWN = re.compile(r"(?:增长|增加|提高|提升|上升|上涨|扩大|快|高|多|增)(?:了|近|约|超过?|逾|将近|至少|整整|出)*\s*$")
# A number of billions before these words is one of parameters: "a 70B model".
_MODEL = re.compile(r"[\s-]?(?:parameter|param\b|dense|MoE\b|LLM\b|(?:language\s)?models?\b|的?大?模型)", re.ASCII)


class _Unit(NamedTuple):
    """What follows or frames a number; a plain tuple, since a large text makes hundreds of thousands of them."""

    end: int
    quantity: str
    unit: str
    power: int = 0
    counted: str = ""


def figures(plain: str, named: Sequence[tuple[int, int, str]] = ()) -> list[Figure]:
    """Every figure of a text, in its order.

    named   spans of names, whose digits are no figures, and the unit a number before one counts: "72 GB200", or ""
    """
    places = KEYWORDS.places(plain)
    found = [*days.dates(plain, places), *_folded(plain, places["fold"]), *_fractions(plain, places["part"])]
    busy = Busy(len(plain), [*((a, b) for a, b, _ in named), *((f.start, f.end) for f in found)])
    found += _numbers(plain, busy, {start: unit for start, _, unit in named if unit}, places["number"])
    found += [figure for figure in _alone(plain, places) if busy.free(figure.start, figure.end)]
    return sorted(_apart(found), key=lambda f: f.start)


def _apart(found: Sequence[Figure]) -> Iterator[Figure]:
    """Figures that do not overlap, the longer ones first."""
    end = -1
    for figure in sorted(found, key=lambda f: (f.start, -f.end)):
        if figure.start >= end:
            end = figure.end
            yield figure


# --------------------------------------------------------------------------------------------------------- numbers
class _Atom(NamedTuple):
    """A number where it stands, with its scale and, where one follows, its unit."""

    start: int
    end: int
    value: Decimal
    more: bool
    unit: _Unit | None


def _numbers(plain: str, busy: Busy, counted: Mapping[int, str], spelt: Places) -> list[Figure]:
    atoms = sorted(_atoms(plain, busy, counted, spelt), key=lambda a: (a.start, -a.end))
    found: list[Figure] = []
    skip, last = -1, len(atoms) - 1
    for i, atom in enumerate(atoms):
        if atom.start < skip:
            continue
        after = next((a for a in atoms[i + 1:i + 4] if a.start >= atom.end), None) if i < last and (
            atoms[i + 1].start - atom.end < _APART) else None
        both = _range(plain, atom, after) if after is not None else None
        made = both or _single(plain, atom)
        if made is not None:
            found.append(made)
            skip = made.end
    return found


def _atoms(plain: str, busy: Busy, counted: Mapping[int, str], spelt: Places) -> Iterator[_Atom]:
    for match in _FIGURE.finditer(plain):
        if len(match["number"]) <= LONGEST and busy.free(match.start("number"), match.end("number")):
            yield _atom(plain, match, counted)
    for match in (m for start, _ in spelt if (m := _SPELT.match(plain, start)) is not None):
        value = Decimal(_EN_NUMBERS[match["word"].casefold()]).scaleb(_SCALES[match["scale"].split()[0].casefold()]
                                                                      if match["scale"] else 0)
        unit = _unit(plain, match.end(), _EN) or _of_name(plain, match.end(), match.end(), counted)
        one_of = unit is not None and unit.quantity == "count" and value == 1  # "one chip" is an article, no count
        if unit is None and _NEXT.match(plain, match.end()):
            yield _Atom(start=match.start(), end=match.end(), value=value, more=False, unit=None)
        if unit is not None and unit.quantity in ("ratio", "duration", "share", "count") and not one_of:
            yield _Atom(start=match.start(), end=match.end(), value=value, more=False, unit=unit)
    for match in _ZH_SPELT.finditer(plain):
        unit = _unit(plain, match.end(), _ZH) or _money(plain, match)
        if unit is not None and unit.quantity == "count" and not unit.unit:  # "三家公司" tells, and claims little
            continue
        pair = re.fullmatch(r"([一二两三四五六七八九])([一二三四五六七八九])", match[0])
        if unit is None or not unit.quantity or len(match[0]) > LONGEST or (
                unit.quantity == "count" and match[0] == "一"):
            continue
        if pair:  # "两三个月": two to three months
            low, high = (Decimal(ZH_DIGITS[c]) for c in pair.groups())
            yield _Atom(start=match.start(), end=match.start() + 1, value=low, more=False, unit=None)
            yield _Atom(start=match.start() + 1, end=match.end(), value=high, more=False, unit=unit)
        else:
            yield _Atom(start=match.start(), end=match.end(), value=chinese(match[0]), more=False, unit=unit)


def _atom(plain: str, match: re.Match[str], counted: Mapping[int, str]) -> _Atom:
    before, number, scale, *more = match.group("before", "number", "scale", "more", "more2")
    scale = scale.casefold() if scale else ""
    value = Decimal(number.replace(",", ""))
    if scale:
        value = (value if "." in number else value.normalize()).scaleb(_SCALES[scale])
    end = match.end()
    unit = _money(plain, match, before or "") or _any_unit(plain, end)
    if unit is None and not before:
        unit = _loose(plain, match, scale, counted)
    elif unit is not None and unit.quantity == "count" and plain[match.start() - 1:match.start()] == "第":
        unit = None
    return _Atom(start=match.start("before" if before else "number"), end=end, value=value, more=any(more), unit=unit)


def _loose(plain: str, match: re.Match[str], scale: str, counted: Mapping[int, str]) -> _Unit | None:
    """The unit of a number behind which none of the list stands: "5m tokens", a 70B model, 72 GB200, 18 halls."""
    end, last = match.end(), match.start() + len(match[0].rstrip())
    if scale in ("m", "b", "t", "k"):
        unit = _unit(plain, match.end("number"), _EN)
        if unit is not None:
            return unit
    before = plain[max(0, match.start() - 12):match.start()]
    told = "参数" in before and _PARAMETERS.search(before)
    if told or (scale in ("m", "b", "t", "亿") and _MODEL.match(plain, end)):
        return _Unit(end=last, quantity="count", unit="params")
    return _of_name(plain, end, last, counted) or _things(plain, match, before)


def _of_name(plain: str, end: int, last: int, counted: Mapping[int, str]) -> _Unit | None:
    """A number of what is named behind it: "72 GB200"."""
    blank = _COUNTED.match(plain, end)
    unit = counted.get(blank.end(), "") if blank is not None else ""
    return _Unit(end=last, quantity="count", unit=unit) if unit else None


def _things(plain: str, match: re.Match[str], before: str) -> _Unit | None:
    """A number of whatever stands behind it in the plural: "18 halls", "140 permanent jobs"."""
    things = _PLURAL.match(plain, match.end())
    number = match["number"]
    if things is None or _NO_PLURAL.fullmatch(things["noun"]) or number == "1":
        return None
    year = len(number) == 4 and number[:2] in ("19", "20")
    if (not match["scale"] and (year or "." in number)) or _NAMES.search(before):
        return None
    return _Unit(end=things.end(), quantity="count", unit="", counted=things["noun"])


def _any_unit(plain: str, at: int) -> _Unit | None:
    """The unit that begins at a place, in the language of what stands there."""
    first = plain[at:at + 4].lstrip(" -\n")[:1]
    if not first or first in ".,;:!?()":  # most numbers are followed by a blank or by the end of a clause
        return None
    return _unit(plain, at, _EN) if first.isascii() else _unit(plain, at, _ZH)


def _unit(plain: str, at: int, rules: _Rules) -> _Unit | None:
    """The unit that begins at a place, by the first rule that fits."""
    match = rules.pattern.match(plain, at)
    if match is None or match.lastgroup is None:
        return None
    quantity, unit, power = rules.meant[int(match.lastgroup[1:])]
    every = match["every"] if rules is _EN and quantity == "rate" else None
    return _Unit(end=match.end(), quantity=quantity, power=power, counted=match[0].strip(" -"),
                 unit=f"{unit}/{every.casefold()}" if every else unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """Units as one pattern; the group that matched last says which rule did."""

    pattern: re.Pattern[str]
    meant: tuple[tuple[str, str, int], ...]


def _rules(lead: str, rules: Sequence[tuple[str, str, str, int]]) -> _Rules:
    # Watts are told from words, and bytes from bits, by their case; all other rules take any.
    cased = "|".join(f"(?P<u{i}>{words if 'W' in words or 'B' in words else f'(?i:{words})'})"
                     for i, (words, *_) in enumerate(rules))
    return _Rules(pattern=re.compile(f"{lead}(?:{cased})", re.ASCII), meant=tuple((q, u, p) for _, q, u, p in rules))


_EN, _ZH = _rules(r"\s*-?\s*", _EN_UNITS), _rules(r"\s*", _ZH_UNITS)
_AFTER_MONEY = re.compile(_MONEY_AFTER, re.IGNORECASE | re.ASCII)


def _money(plain: str, match: re.Match[str], before: str = "") -> _Unit | None:
    """Money by the sign before or the word behind, and what one of something costs where that is said."""
    behind = _AFTER_MONEY.match(plain, match.end())
    if behind is None and not before:
        return None
    sign = before.strip().casefold()
    if behind is not None:
        word = (behind["after"] or behind["zh"] or "").casefold()
        sign = word.lstrip("亿").rstrip("s") if word not in _CURRENCIES else word
    if sign not in _CURRENCIES:
        return None
    end = behind.end() if behind is not None else match.start() + len(match[0].rstrip())
    power = 8 if behind is not None and (behind["zh"] or "").startswith("亿") else -2 if sign == "cent" else 0
    per = _PER.match(plain, end) or _PER_AFTER.match(plain, end)
    of = _of(per["of"]) if per else _of_before(plain[max(0, match.start() - 60):match.start()])
    return _Unit(end=per.end() if per else end, quantity="price" if of else "money", counted=of[0] if of else "",
                 power=power + (of[1] if of else 0), unit=f"{_CURRENCIES[sign]}/{of[0]}" if of else _CURRENCIES[sign])


def _of(said: str) -> tuple[str, int] | None:
    """What a price is of, by its words."""
    words = re.sub(r"(?:in|out)put\s", "", said.casefold())
    return _OF.get(" ".join(re.sub(r"(?<=百万)(?=t)", " ", words).split()))


def _of_before(window: str) -> tuple[str, int] | None:
    """What a price before which "each rack costs" or "一颗芯片的售价" stands is of."""
    chinese_word = "每" in window or "一" in window or "单" in window
    said = _PER_BEFORE.search(window) if chinese_word else None
    if said is not None:
        return _of(said["rate"] or said[2])
    said = _EACH_BEFORE.search(window) if chinese_word or window[-1:].isspace() else None
    return _of(said[1] or said[2]) if said is not None else None


def _range(plain: str, first: _Atom, second: _Atom) -> Figure | None:
    """"65,000 to 70,000 dollars", "6.5万~7万美元", "700W到1200W": two numbers of one unit as one figure."""
    if second.unit is None or not second.unit.quantity:
        return None
    start = first.end if first.unit is None else first.unit.end
    between = plain[start:second.start]
    joined = between == "" and second.start == first.end
    if not joined and not _TO.fullmatch(between):
        return None
    if between.strip() == "and" and not re.search(r"between\s*$", plain[max(0, first.start - 10):first.start]):
        return None
    if first.unit is not None and first.unit.unit.split("/")[0] != second.unit.unit.split("/")[0]:
        return None
    unit = first.unit if first.unit is not None and first.unit.quantity == "price" else second.unit
    low = first.value.scaleb(first.unit.power if first.unit else 0)
    high = second.value.scaleb(second.unit.power)
    if low < high and first.unit is None and high / low >= 1000:  # "6.5 to 7 million": the scale is for both
        low = low.scaleb(high.adjusted() - low.adjusted() - (0 if low.scaleb(high.adjusted() - low.adjusted()) < high
                                                             else 1))
    if not low < high:
        return None
    bound = bound_of(plain, first.start, second.unit.end, False, only_about=True)
    return Figure(start=first.start, end=second.unit.end, quantity=unit.quantity, unit=unit.unit,
                  claimed=f"{bound}{written(low, unit)} to {written(high, unit)}", counted=unit.counted)


def _single(plain: str, atom: _Atom) -> Figure | None:
    unit = atom.unit
    if unit is None or not unit.quantity:
        return None
    value = atom.value.scaleb(unit.power)
    if unit.unit == "yr" and value >= 100:  # a year, not a time
        return None
    if unit.quantity == "ratio" and value == 1 and _GROWN.search(plain[max(0, atom.start - 8):atom.start]):
        value = Decimal(2)
    if unit.unit == "quarters":
        value, unit = value * 3, _Unit(end=unit.end, quantity="duration", unit="mo", counted=unit.counted)
    bound = bound_of(plain, atom.start, unit.end, atom.more)
    return Figure(start=atom.start, end=unit.end, quantity=unit.quantity, unit=unit.unit, counted=unit.counted,
                  claimed=f"{bound}{written(value, unit)}")


def written(value: Decimal, unit: _Unit) -> str:
    """A number with its unit as `claimed` is written, with the digits the text has."""
    if unit.unit in ("quarters",):
        return f"{_plain(value * 3)} mo"
    currency = unit.unit.split("/")[0]
    if currency in ("USD", "EUR", "CNY"):
        return _money_words(value, unit.unit)
    if unit.unit == "params":
        return f"{_plain(value)} params"
    if unit.quantity == "count" and not unit.unit:
        return _plain(value)
    return f"{_plain(value)} {unit.unit}"


def _money_words(value: Decimal, unit: str) -> str:
    if "/" in unit:
        return f"{_plain(value)} {unit}"
    for power, letter in ((9, "B"), (6, "M")):
        if abs(value) >= Decimal(10) ** power:
            return f"{_plain(value.scaleb(-power))}{letter} {unit}"
    return f"{_plain(value)} {unit}"


def _plain(value: Decimal) -> str:
    """Digits without an exponent, thousands apart, zeros behind the point kept."""
    return f"{value:,f}"


def _folded(plain: str, places: Places) -> list[Figure]:
    return [Figure(start=m.start(), end=m.end(), quantity="ratio", unit="x",
                   claimed=f"{_EN_NUMBERS[m[1].casefold()]} x")
            for start, _ in places if (m := _FOLDED.match(plain, start)) is not None]


def _alone(plain: str, places: Mapping[str, Places]) -> Iterator[Figure]:
    """Words that are a figure by themselves."""
    for start, end in places["alone"]:
        yield Figure(start=start, end=end, quantity="ratio", unit="x", claimed=_ALONE_EN[plain[start:end].lower()])
    for start, _ in places["part"]:
        match = _HALF_A_YEAR.match(plain, start)
        if match is not None:
            yield Figure(start=start, end=match.end(), quantity="duration", unit="mo", claimed="6 mo")
    for rule, quantity, unit, claimed in _ALONE:
        yield from (Figure(start=m.start(), end=m.end(), quantity=quantity, claimed=claimed, unit=unit)
                    for m in rule.finditer(plain))


def _fractions(plain: str, places: Places) -> Iterator[Figure]:
    """"a third", "half of", "三十分之一", "百分之五": parts of a whole."""
    for start, end in places:
        match = _FRACTION.search(plain, max(0, start - len("three ")), end + _APART)
        if match is not None and match.end() >= end:
            up, down = (match["up"] or "").casefold(), (match["down"] or "").casefold()
            yield _share(plain, match, Decimal(_EN_NUMBERS.get(up, 1)) / _DOWN[down] if down else Decimal("0.5"))
    for match in _ZH_FRACTION.finditer(plain) if "分之" in plain or "一半" in plain else ():
        up = match["up"]
        above = Decimal("0.5") if up is None else Decimal(up) if up[0].isdigit() else chinese(up)
        yield _share(plain, match, above / chinese(match["down"]) if up is not None else above)


def _share(plain: str, match: re.Match[str], part: Decimal) -> Figure:
    said = f"{float(part) * 100:.3g} %"
    return Figure(start=match.start(), end=match.end(), quantity="share", unit="%",
                  claimed=bound_of(plain, match.start(), match.end(), False) + said)
