"""The locator: the line of every key of a TOML text, and the comment that belongs to it."""

from __future__ import annotations

import pytest

from exafleet.facts.scenario.toml_lines import locate

TEXT = '''\
# a comment about nothing
title = "x"

[scenario]
name = "a # no comment" # the source
months = 12 # first
            # second
# not third
as_of = 2024-12-19
# above one
# above two
start = "2025-01"

[[offers]]
id = "a"
queue = { premium = "10 %", sooner = "8 wk" }
lead = [
  "6 wk", # low
  "8 wk",
  # nothing
  "20 wk",
] # three
"price" = """
$3 = "many"
[[offers]]
"""
cool.side.a = 1
[[offers]]
id = 'b'
[offers.queue]
premium = "5 %"
[[offers.tiers]]
from = 1
[[offers.tiers]]
from = 2
[ facts . "set" ]
"h100-sxm.hbm_bw" = "3 TB/s"
"esc\\u0061ped" = 1
'''


@pytest.mark.parametrize(("path", "line"), [
    (("title",), 2), (("scenario",), 4), (("scenario", "name"), 5), (("scenario", "as_of"), 9),
    (("offers", 0), 14), (("offers", 0, "id"), 15), (("offers", 0, "queue"), 16),
    (("offers", 0, "queue", "sooner"), 16), (("offers", 0, "lead"), 17), (("offers", 0, "lead", 0), 18),
    (("offers", 0, "lead", 2), 21), (("offers", 0, "price"), 23), (("offers", 0, "cool", "side", "a"), 27),
    (("offers", 1), 28), (("offers", 1, "id"), 29), (("offers", 1, "queue"), 30),
    (("offers", 1, "queue", "premium"), 31), (("offers", 1, "tiers", 0), 32), (("offers", 1, "tiers", 1, "from"), 35),
    (("facts", "set"), 36), (("facts", "set", "h100-sxm.hbm_bw"), 37), (("facts", "set", "escaped"), 38),
])
def test_lines(path: tuple[str | int, ...], line: int) -> None:
    assert locate(TEXT).lines[path] == line


def test_what_is_not_written_stands_where_its_nearest_parent_does() -> None:
    found = locate(TEXT)
    assert found.line(("offers", 1, "price", "2025-01")) == 28
    assert found.line(("nothing",)) == 1
    assert found.line(()) == 1


@pytest.mark.parametrize(("path", "comment"), [
    (("scenario", "name"), "the source"),
    (("scenario", "months"), "first second"),
    (("scenario", "as_of"), "not third"),
    (("scenario", "start"), "above one above two"),
    (("offers", 0, "lead"), "three"),
    (("offers", 0, "id"), ""),
    (("offers", 0, "price"), ""),
])
def test_comments_are_sources(path: tuple[str | int, ...], comment: str) -> None:
    assert locate(TEXT).comment(path) == comment


def test_rulers_and_directives_say_nothing() -> None:
    found = locate("#:schema x.json\n# ------- offers\na = 1\n")
    assert found.comment(("a",)) == ""


def test_windows_line_ends_are_normalised_before() -> None:
    assert locate("a = 1\nb = 2").lines == {("a",): 1, ("b",): 2}
