"""Numbers written in Chinese characters."""

from __future__ import annotations

from decimal import Decimal

ZH_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_ZH_POWERS = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8}


def chinese(words: str) -> Decimal:
    """A number in Chinese characters.

    >>> chinese("三十"), chinese("两百五十"), chinese("十二"), chinese("一万")
    (Decimal('30'), Decimal('250'), Decimal('12'), Decimal('10000'))
    """
    whole = part = digit = 0
    for c in words:
        power = _ZH_POWERS.get(c)
        if power is None:
            digit = digit * 10 + ZH_DIGITS[c] if digit and part == 0 else ZH_DIGITS[c]
        elif power >= 10**4:
            whole += (part + digit or 1) * power
            part = digit = 0
        else:
            part += (digit or 1) * power
            digit = 0
    return Decimal(whole + part + digit)
