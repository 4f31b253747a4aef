"""A text as it comes: its encoding found or told, and its characters made plain without moving any of them.

Every character stays where it was, so that a span found in the plain text is one of the text that was given.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from exafleet.terms.errors import FactError, Problem

MOST_BYTES = 20_000_000
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_OPEN = re.compile(r"<(?:(?P<comment>!--)|(?P<raw>script|style)\b|[a-zA-Z/!])", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{1,2000}>")
_CLOSE = {"comment": re.compile("-->"), "script": re.compile(r"</script\s*>", re.IGNORECASE),
          "style": re.compile(r"</style\s*>", re.IGNORECASE)}
_HTML = re.compile(r"<(?:html|body|p|div|span|br|table|article)\b", re.IGNORECASE)
# Full-width forms, digits of other scripts, blanks of every width, and marks that only turn the writing direction.
_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_PLAIN |= {zero + digit: ord("0") + digit for zero in (0x660, 0x6F0, 0x966) for digit in range(10)}
_PLAIN |= {ord(blank): ord(" ") for blank in "\u3000\u00a0\u2007\u2009\u200a\u202f\u200b\u200c\u200d\u200e\u200f"
                                             "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"}
_PLAIN |= {ord("\u066b"): ord("."), ord("\u066c"): ord(","), ord("\uffe5"): ord("\u00a5"), ord("\u2212"): ord("-"),
           ord("\u2013"): ord("-"), ord("\u2014"): ord("-"), ord("\uff5e"): ord("~"), ord("\u301c"): ord("~"),
           ord("\u00d7"): ord("x"), ord("\u2248"): ord("~")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text as given, the same text in plain characters, and what is worth knowing about how it was read."""

    given: str
    plain: str
    notes: tuple[str, ...] = ()


def of_words(words: str, notes: tuple[str, ...] = ()) -> Text:
    """A text with its characters made plain, markup blanked."""
    plain = words.translate(_PLAIN)
    if _HTML.search(plain):
        plain = _without_markup(plain)
        notes = (*notes, "read as HTML: tags, scripts and styles are left out")
    return Text(given=words, plain=plain, notes=notes)


def _without_markup(plain: str) -> str:
    """A text with tags, comments, scripts and styles as blanks; what is opened and never closed stays."""
    parts: list[str] = []
    at = 0
    endless: set[str] = set()  # kinds that are never closed from here on: looking again would cost the square
    for opened in _OPEN.finditer(plain):
        if opened.start() < at:
            continue
        kind = "comment" if opened["comment"] else (opened["raw"] or "").casefold()
        closed = _CLOSE[kind].search(plain, opened.end()) if kind and kind not in endless else None
        if kind and closed is None:
            endless.add(kind)
        found = closed or _TAG.match(plain, opened.start())
        if found is not None:
            parts += [plain[at:opened.start()], " " * (found.end() - opened.start())]
            at = found.end()
    return "".join((*parts, plain[at:]))


def of_bytes(data: bytes, name: str) -> Text:
    """A text from a file's bytes: UTF-8, UTF-16, GBK or Western European, also where lines differ. Raises FactError."""
    if len(data) > MOST_BYTES:
        raise FactError(Problem(where=name, what="the text is too large", got=f"{len(data) / 1e6:.1f} MB",
                                allowed=f"at most {MOST_BYTES / 1e6:.0f} MB"))
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _strict(data, encoding, name)
    zeros = data[0::2].count(0), data[1::2].count(0)
    if 0 in zeros and max(zeros) > 0 and len(data) % 2 == 0:  # every ASCII character of UTF-16 has its zero on one side
        found = _strict(data, "utf-16-be" if zeros[0] else "utf-16-le", name)
        if sum(c.isprintable() or c.isspace() for c in found.given) >= 0.95 * len(found.given):
            return found
    if b"\0" in data:
        raise FactError(Problem(where=name, what="not a text", got="bytes of zero", remedy="Give a text file."))
    try:
        return of_words(data.decode("utf-8"))
    except UnicodeDecodeError:
        return _by_line(data, name)


def _strict(data: bytes, encoding: str, name: str) -> Text:
    told = () if encoding == "utf-8-sig" else (f"read as {encoding.upper()}",)
    try:
        return of_words(data.decode(encoding), told)
    except UnicodeDecodeError as error:
        raise FactError(Problem(where=name, what=f"not {encoding.upper()} to its end", remedy="Save it as UTF-8.",
                                got=f"byte {error.start:,}")) from None


def _by_line(data: bytes, name: str) -> Text:
    """Each line as UTF-8, else as GBK, else as Western European; lines of another kind are told, or refused."""
    lines: list[str] = []
    other: dict[str, list[int]] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        found, kind = _line(line)
        if found is None:
            raise FactError(Problem(where=f"{name}:{number}", what="neither UTF-8 nor GBK nor Western European",
                                    got=repr(line[:40]), remedy="Save the text as UTF-8."))
        lines.append(found)
        if kind:
            other.setdefault(kind, []).append(number)
    seen = sum(not line.isascii() for line in lines)
    told = [f"{kind} in lines {', '.join(map(str, at[:8]))}{', ...' if len(at) > 8 else ''}"
            for kind, at in other.items()]
    only = len(other) == 1 and len(next(iter(other.values()))) == seen
    which = f"read as {next(iter(other))}" if only else f"mixed encodings: UTF-8, and {', '.join(told)}"
    return of_words("\n".join(lines), (which,))


def _line(line: bytes) -> tuple[str | None, str]:
    """A line and what it is read as; "" for UTF-8, None for neither."""
    for encoding, kind, likely in (("utf-8", "", _any), ("gb18030", "GBK", _chinese),
                                   ("cp1252", "Western European (Windows-1252)", _western)):
        try:
            found = line.decode(encoding)
        except UnicodeDecodeError:
            continue
        if likely(found, line):
            return found, kind
    return None, ""


def _any(text: str, line: bytes) -> bool:
    return True


def _chinese(text: str, line: bytes) -> bool:
    """Whether what is not ASCII is mostly common Chinese, as it is not when another encoding is read as GBK.

    Common characters have two bytes beyond ASCII; an accented letter before a plain one gives a rare one.
    """
    others = [c for c in text if not c.isascii()]
    common = sum("\u4e00" <= c <= "\u9fff" or c in "，。、；：？！“”‘’（）《》％￥　—…·" or "\uff00" <= c <= "\uffef"
                 for c in others)
    return common >= 0.9 * len(others) and sum(byte >= 0x80 for byte in line) >= 1.5 * len(others)


def _western(text: str, line: bytes) -> bool:
    """Whether a line is words with some accents: those stand alone among plain letters."""
    return re.search(rb"[\x80-\xff]{2}", line) is None and all(c.isprintable() or c.isspace() for c in text)
