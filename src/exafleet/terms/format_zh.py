"""Numbers in Chinese words: 10.8亿美元, 2025年1月, 2.65美元/GPU小时. Digits as in English, symbols of units too."""

from __future__ import annotations

import math

from exafleet.terms import format as english
from exafleet.terms.calendar import SECONDS_PER_DAY, Month

_LARGE = (("万亿", 1e12), ("亿", 1e8), ("万", 1e4))
_TIMES = (("天", SECONDS_PER_DAY), ("小时", 3600.0), ("分钟", 60.0), ("秒", 1.0), ("毫秒", 1e-3), ("微秒", 1e-6),
          ("纳秒", 1e-9))


def significant(value: float) -> str:
    """Three significant digits; whole digits are never rounded away."""
    if not math.isfinite(value):
        return "未知" if math.isnan(value) else ("-" if value < 0 else "") + "无限"
    return english.significant(value)


def _large(value: float, exact_below: float) -> str:
    """A number with 万, 亿 or 万亿; smaller ones with every whole digit."""
    if not math.isfinite(value) or abs(value) < exact_below:
        return significant(value)
    for name, factor in _LARGE:
        if abs(value) / factor >= 0.9995:
            return significant(value / factor) + name
    return significant(value)


def count(value: float) -> str:
    """A whole number with thousands separated."""
    return f"{value:,.0f}" if math.isfinite(value) else significant(value)


def short(value: float) -> str:
    """A large number in words of a headline.

    >>> short(7.86e9), short(1200)
    ('78.6亿', '1,200')
    """
    return _large(value, 1e4)


def figure(value: float) -> str:
    """A plain number: in full below a million, with 万 or 亿 above.

    >>> figure(25920), figure(3.22e6)
    ('25,920', '322万')
    """
    return english.figure(value) if math.isfinite(value) and abs(value) >= 1e15 else _large(value, 999_500)


def exact(value: float) -> str:
    """Every digit a person wrote, from 10,000 on with 万, 亿 or 万亿.

    >>> exact(7.265e9), exact(507e3), exact(2629)
    ('72.65亿', '50.7万', '2,629')
    """
    for name, factor in _LARGE:
        if math.isfinite(value) and abs(value) >= factor:
            return english.exact(value / factor) + name
    return english.exact(value) if math.isfinite(value) else significant(value)


def money(value: float) -> str:
    """US dollars.

    >>> money(1.08e9), money(-26_900), money(2.65), money(2.67e6)
    ('10.8亿美元', '-26,900美元', '2.65美元', '267万美元')
    """
    if abs(value) < 1e-6:
        return "0美元"
    if 0.1 <= abs(value) < 100:
        return f"{value:.2f}美元"
    return f"{_large(value, 999_500)}美元"


def percent(value: float) -> str:
    """A share as per cent.

    >>> percent(0.4321)
    '43.2%'
    """
    return f"{significant(value * 100)}%"


def error(value: float) -> str:
    """A relative error as per cent, to a tenth."""
    return f"{100 * value:.1f}%" if math.isfinite(value) else significant(value)


def change(value: float) -> str:
    """A share that may be more or less, with its sign."""
    return f"{100 * value:+.1f}%" if math.isfinite(value) else significant(value)


def points(value: float) -> str:
    """A difference of two shares, with its sign.

    >>> points(-0.02)
    '-2.0个百分点'
    """
    return f"{100 * value:+.1f}个百分点" if math.isfinite(value) else significant(value)


def month(index: Month) -> str:
    """A month.

    >>> month(2025 * 12)
    '2025年1月'
    """
    return f"{index // 12}年{index % 12 + 1}月"


def duration(value: float) -> str:
    """Seconds in the unit people would use, up to days.

    >>> duration(90), duration(86400 * 54)
    ('1.5分钟', '54天')
    """
    if value == 0 or not math.isfinite(value):
        return f"{significant(value)}秒"
    for name, factor in _TIMES:
        if abs(value) / factor >= 0.9995:
            return significant(value / factor) + name
    return significant(value / 1e-9) + "纳秒"


def tokens(value: float) -> str:
    """A number of tokens.

    >>> tokens(15.6e12)
    '15.6万亿token'
    """
    return f"{_large(value, 1e4)}token"


def token_rate(value: float) -> str:
    """Tokens per second.

    >>> token_rate(1_230_000)
    '123万token/秒'
    """
    return f"{_large(value, 1e4)}token/秒"


def rent(value: float) -> str:
    """USD per chip-second as the market quotes it.

    >>> rent(2.65 / 3600)
    '2.65美元/GPU小时'
    """
    return f"{money(value * 3600.0)}/GPU小时"


def energy_price(value: float) -> str:
    """USD per joule as USD per MWh."""
    return f"{significant(value * 3600.0 * 1e6)}美元/MWh"
