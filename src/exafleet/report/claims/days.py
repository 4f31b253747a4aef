"""Days in a text, by rules: a day, a month, a quarter, a half, a season or a year, English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from exafleet.report.claims.spans import Busy, Figure

_MONTHS = {name: i for i, names in enumerate((
    "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
    "september sept sep", "october oct", "november nov", "december dec"), 1) for name in names.split()}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_YEAR = r"(?:19|20)\d\d"
# What makes four digits another number than a year: "from 2000 GPUs", "of 1900 to 2400 W".
_NO_YEAR = (r"(?!,\d|\.\d|\s*-?\s*(?:\d|%|x\b|[kMGT]?[WB]\b|GPU|chip|rack|token|server|card|node|unit|dollar|people|"
            rf"staff|million|billion))(?!\s*(?:to|and|or|-)\s*(?!{_YEAR}\b)\d)")
_QUARTERS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "一": 1, "二": 2, "三": 3, "四": 4,
             **{str(q): q for q in range(1, 5)}}
# What has to stand near a day, by the number of its group in _HINT, for a pattern to be worth trying.
_YEAR_NEAR, _CHINESE_NEAR, _MONTH_NEAR, _WORD_NEAR = 1, 2, 3, 4


def _near(pattern: str) -> int:
    """What a pattern of days cannot do without."""
    return (_MONTH_NEAR if "<mon>" in pattern else _CHINESE_NEAR if re.search("[年月]", pattern) else
            _WORD_NEAR if "next year" in pattern else _YEAR_NEAR)


_DATES: tuple[tuple[re.Pattern[str], str, int], ...] = tuple(
    (re.compile(p, re.IGNORECASE | re.ASCII), kind, _near(p)) for p, kind in (
    (rf"(?<!\d)(?P<y>{_YEAR})-(?P<m>0[1-9]|1[0-2])-(?P<d>[0-3]\d)(?!\d)", "day"),
    (rf"(?<!\d)(?P<y>{_YEAR})\s*年\s*(?P<m>1[0-2]|0?[1-9])\s*月\s*(?P<d>[12]\d|3[01]|0?[1-9])\s*[日号]", "day"),
    (rf"\b(?P<d>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?\s+(?P<mon>{_MONTH})\.?,?\s+(?P<y>{_YEAR})\b", "day"),
    (rf"\b(?P<mon>{_MONTH})\.?\s+(?P<d>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?,?\s+(?P<y>{_YEAR})\b", "day"),
    (rf"\b(?P<mon>{_MONTH})\.?,?\s+(?:of\s+)?(?P<y>{_YEAR})\b", "month"),
    (rf"\b(?P<mon>{_MONTH})\.?\s+\((?P<y>{_YEAR})\)", "month"),
    (rf"(?<!\d)(?P<y>{_YEAR})\s*年\s*(?P<m>1[0-2]|0?[1-9])\s*月(?:份)?", "month"),
    (rf"(?<!\d)(?P<y>{_YEAR})-(?P<m>0[1-9]|1[0-2])(?![\d-])", "month"),
    (rf"\bQ(?P<q>[1-4])[ -](?:of )?(?P<y>{_YEAR})\b|(?<!\d)(?P<y2>{_YEAR})\s*-?Q(?P<q2>[1-4])\b", "quarter"),
    (rf"\b(?P<q>first|second|third|fourth) quarter of (?P<y>{_YEAR})\b", "quarter"),
    (rf"(?<!\d)(?P<y>{_YEAR})\s*年\s*第?(?P<q>[一二三四1-4])\s*季度?", "quarter"),
    (rf"\b(?P<h>first|second) half of (?P<y>{_YEAR})\b|\bH(?P<h2>[12])[ -](?P<y2>{_YEAR})\b", "half"),
    (rf"(?<!\d)(?P<y>{_YEAR})[ -]?H(?P<h>[12])\b", "half"),
    (rf"(?<!\d)(?P<y>{_YEAR})\s*年\s*(?P<h>[上下])半年", "half"),
    (rf"\b(?P<s>mid|early|late)[ -](?P<y>{_YEAR})\b|\b(?P<s2>spring|summer|autumn|fall)(?: of)? (?P<y2>{_YEAR})\b",
     "season"),
    (rf"(?<!\d)(?P<y>{_YEAR})\s*年\s*(?P<s>年?中期?|初|底|末|夏天|夏季|春天|秋天|秋季)", "season"),
    (rf"\b(?:in|by|during|since|until|till|before|after|from|through|to|for|into|end of|of) (?P<y>{_YEAR})\b{_NO_YEAR}",
     "year"),
    (rf"(?<!\d)(?P<y>{_YEAR})\s*年(?!\s*\d)", "year"),
    (r"(?<![\d-])(?P<rel>明年|今年|去年|后年)\s*(?P<m>1[0-2]|[1-9])\s*月(?:份)?", "relative"),
    (r"(?P<rel>明年|今年|去年|后年)\s*(?P<h>[上下])半年", "relative"),
    (r"(?P<rel>明年|今年|去年|后年)\s*(?P<s>年?中期?|初|底|末|夏天|夏季)", "relative"),
    (r"\b(?P<s>mid|early|late|in the first half of|in the second half of)[ -]?(?P<rel>next year|this year|last year)\b",
     "relative"),
    (rf"\b(?:in|by|until|from|since|before|after|this|next|last|to|early|late)[ -](?P<mon>{_MONTH})\b(?! be\b| \d)",
     "bare"),
    (r"(?<![\d年])(?P<m>1[0-2]|[1-9])\s*月(?:份)?(?!\d)", "bare"),
))
_HINT = re.compile(rf"({_YEAR})(?<!\d{{5}})|([年月])", re.ASCII)
# Words by which a day is found: what has to stand near a day, by kind.
KEYWORDS: dict[str, Iterable[str]] = {"month": _MONTHS, "year": ("year",)}
_ZH_SEASON = {"中": "mid", "年中": "mid", "中期": "mid", "年中期": "mid", "初": "early", "底": "late", "末": "late",
              "夏天": "summer", "夏季": "summer", "春天": "spring", "秋天": "autumn", "秋季": "autumn",
              "fall": "autumn"}
YEARS = {"明年": 1, "今年": 0, "去年": -1, "后年": 2, "next year": 1, "this year": 0, "last year": -1}


def dates(plain: str, places: Mapping[str, Sequence[tuple[int, int]]]) -> list[Figure]:
    """Days, months, quarters, halves and years; one that needs the text's own year keeps it as "+1-03".

    places   where the words of KEYWORDS stand, by kind
    """
    found: list[Figure] = []
    busy = Busy(len(plain), [])
    windows = _windows(plain, places)
    for pattern, kind, need in _DATES:
        for match in (m for first, last in windows[need] for m in pattern.finditer(plain, first, last)):
            said = _date(match, kind)
            start = match.start() if kind != "bare" or "mon" not in match.groupdict() else match.start("mon")
            if kind == "year" and match.groupdict().get("y"):
                start = match.start("y")
            bound = _date_bound(plain, start, match.end())
            if busy.free(start, match.end()):
                busy.take(start, match.end())
                found.append(Figure(start=start, end=match.end(), quantity="date", unit="date", claimed=bound + said))
    return found


def _windows(plain: str, places: Mapping[str, Sequence[tuple[int, int]]]) -> dict[int, list[tuple[int, int]]]:
    """Stretches of a text in which a day can stand, by what stands in them: a year, a month or a word for one."""
    hints = [(hint.lastindex or 0, *hint.span()) for hint in _HINT.finditer(plain)]
    hints += [(kind, *place) for kind, name in ((_MONTH_NEAR, "month"), (_WORD_NEAR, "year")) for place in places[name]]
    found: dict[int, list[tuple[int, int]]] = {kind: [] for kind in range(1, 5)}
    for kind, start, end in hints:
        spans = found[kind]
        first, last = max(0, start - 32), end + 16
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return found


def _date(match: re.Match[str], kind: str) -> str:
    given = {name.rstrip("23"): value for name, value in match.groupdict().items() if value}
    year = given.get("y", "")
    if "rel" in given:
        year = f"{YEARS[given['rel'].casefold()]:+d}"
    if kind == "bare":
        year = "?"
    month = int(given["m"]) if "m" in given else _MONTHS[given["mon"].casefold()] if "mon" in given else 0
    if kind == "day":
        return f"{year}-{month:02d}-{int(given['d']):02d}"
    if month:
        return f"{year}-{month:02d}"
    if "q" in given:
        return f"{year}-Q{_QUARTERS[given['q'].casefold()]}"
    half = given.get("h", "") or given.get("s", "").removeprefix("in the ").removesuffix(" half of")
    if half in ("first", "1", "上", "second", "2", "下"):
        return f"{year}-H{1 if half in ('first', '1', '上') else 2}"
    if "s" in given:
        word = given["s"].casefold()
        return f"{_ZH_SEASON.get(word, word)} {year}"
    return year


_DATE_BEFORE = tuple((re.compile(rf"(?:{words})\s*$", re.IGNORECASE | re.ASCII), name) for words, name in (
    (r"not before|no earlier than|不早于", "not before "),
    (r"\bby|no later than|by the end of|不迟于|最迟", "by "), (r"\bbefore", "before "), (r"\bafter", "after "),
    (r"slip(?:s|ped)? to|delayed (?:to|until)|postponed (?:to|until)|推迟到|推迟至|延期至|延至", "not before ")))
_DATE_AFTER = ((re.compile(r"\s*(?:之前|以前|前)"), "before "), (re.compile(r"\s*(?:之后|以后)"), "after "))


def _date_bound(plain: str, start: int, end: int) -> str:
    window = plain[max(0, start - 20):start]
    return next((name for rule, name in _DATE_BEFORE if rule.search(window)),
                next((name for rule, name in _DATE_AFTER if rule.match(plain, end)), ""))
