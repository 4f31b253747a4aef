"""Words that bound a figure or say that it is near: "at least", "up to", "about", in English and Chinese."""

from __future__ import annotations

import re

# Words that bound a figure, as they end before it; "no more than" stands before "more than".
_BEFORE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("no more than", "not more than", "at most", "不超过", "不高于", "不大于", "不多于"), "at most"),
    (("up to", "as much as", "as many as", "as high as", "a maximum of", "最高", "最高可达", "最高达", "高达", "多达",
      "最多"), "up to"),
    (("at least", "no fewer than", "no less than", "not less than", "a minimum of", "至少", "不少于", "不低于", "起码"),
     "at least"),
    (("more than", "over", "above", "exceed", "exceeds", "exceeded", "exceeding", "in excess of", "greater than",
      "超过", "超过了", "逾", "超", "高于", "大于"), "more than"),
    (("less than", "fewer than", "under", "below", "不到", "低于", "少于", "不足"), "less than"),
    (("about", "around", "roughly", "approximately", "nearly", "almost", "some", "an estimated", "circa", "close to",
      "~", "大约", "约", "约为", "近", "将近", "接近", "大概", "差不多"), "about"),
)
_BOUNDING = {last: tuple((word, name) for words, name in _BEFORE for word in words if word[-1] == last)
             for last in {word[-1] for words, _ in _BEFORE for word in words}}
_BEHIND = ((r"\s*(?:左右|上下)", "about"), (r"\s*(?:以上|or more\b)", "at least"),
           (r"\s*(?:以下|or less\b)", "less than"))
_AFTER = re.compile("|".join(f"(?P<b{i}>{words})" for i, (words, _) in enumerate(_BEHIND)),
                    re.IGNORECASE | re.ASCII)
_AFTER_FIRST = frozenset("左上以oO")
_CHINESE = re.compile("|".join((*sorted((word for words, _ in _BEFORE for word in words if not word.isascii()),
                                        key=len, reverse=True), "左右", "上下", "以上", "以下")))


def bound_of(plain: str, start: int, end: int, more: bool, only_about: bool = False) -> str:
    """Words before or behind a figure that bound it or say that it is near."""
    before = _before(plain[max(0, start - 24):start])
    after = _AFTER.match(plain, end) if plain[end:end + 3].strip()[:1] in _AFTER_FIRST else None
    for name in (before, _BEHIND[int(str(after.lastgroup)[1:])][1] if after is not None else ""):
        if name and (name == "about" or not only_about):
            return f"{name} "
    return "more than " if more else ""


def unbounded(text: str) -> str:
    """A text without the Chinese words that bound a figure.

    >>> unbounded("约左右")
    ''
    """
    return _CHINESE.sub("", text)


def _before(window: str) -> str:
    """The bound whose words a stretch of text ends with; "" where none does."""
    said = window.rstrip().casefold().removesuffix(" the").removesuffix(" a").rstrip()
    for word, name in _BOUNDING.get(said[-1:], ()):
        if said.endswith(word) and not (word[0].isascii() and said[:-len(word)][-1:].isalnum()):
            return name
    return ""
