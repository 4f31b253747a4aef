"""Traces of requests: three layouts, prefix hits, and every broken line told with its number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.service.requests import trace as traces
from exafleet.service.requests.trace import TOLD, Trace, _Blocks, read_trace
from exafleet.terms.errors import FactError
from tests.conftest import ROOT

SAMPLES = ROOT / "tests" / "samples" / "traces"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"


def written(tmp_path, text, name="t.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return path


def problems(tmp_path, text, **kwargs):
    with pytest.raises(FactError) as told:
        read_trace(written(tmp_path, text, **kwargs))
    return [str(p) for p in told.value.problems]


@pytest.mark.parametrize(("file", "layout"), [("azure.csv", "Azure"), ("burstgpt.csv", "BurstGPT"),
                                              ("mooncake.jsonl", "Mooncake")])
def test_the_samples_are_recognised(file, layout):
    trace = read_trace(SAMPLES / file)
    assert (trace.layout, trace.name) == (layout, file)
    assert trace.arrival[0] == 0
    assert (np.diff(trace.arrival) >= 0).all()
    assert trace.count + trace.unanswered == len((SAMPLES / file).read_text().splitlines()) - (layout != "Mooncake")


def test_azure_moments_keep_their_ticks(tmp_path):
    text = AZURE + "2023-11-16 23:59:59.9000000,374,44\n2023-11-17 00:00:00.1500001,396,1\n"
    trace = read_trace(written(tmp_path, text))
    assert trace.arrival == pytest.approx([0.0, 0.2500001], abs=1e-7)
    assert trace.input.tolist() == [374, 396]
    assert trace.output.tolist() == [44, 1]


@pytest.mark.parametrize("tail", ["+00:00", "Z"])
def test_moments_may_say_that_they_are_utc(tmp_path, tail):
    text = AZURE + f"2024-05-10 00:00:00.009930{tail},2162,5\n2024-05-10 00:00:01.509930{tail},2399,6\n"
    assert read_trace(written(tmp_path, text)).arrival == pytest.approx([0.0, 1.5])


def test_columns_may_stand_in_any_order_and_others_are_ignored(tmp_path):
    text = "GeneratedTokens,x,TIMESTAMP,ContextTokens\n7,?,2024-01-01 00:00:00,9\n"
    trace = read_trace(written(tmp_path, text))
    assert (trace.input[0], trace.output[0]) == (9, 7)


def test_requests_without_an_answer_are_counted(tmp_path):
    text = BURST + "5,ChatGPT,472,0,472,API log\n45,GPT-4,0,0,0,API log\n118,GPT-4,417,276,693,Conversation log\n"
    trace = read_trace(written(tmp_path, text))
    assert (trace.count, trace.unanswered) == (1, 2)
    assert trace.arrival[0] == pytest.approx(113.0)  # after the first line of the file


def test_prefix_hits_are_leading_blocks_seen_before(tmp_path):
    lines = [(2000, [1, 2, 3, 4]), (1500, [1, 2, 9]), (1600, [1, 7, 3, 4]), (1024, [1, 2])]
    text = "".join(f'{{"timestamp": {i}, "input_length": {n}, "output_length": 5, "hash_ids": {ids}}}\n'
                   for i, (n, ids) in enumerate(lines))
    path = written(tmp_path, text, "t.jsonl")
    trace = read_trace(path)
    # The last prompt is cached whole; its last token is computed all the same.
    assert trace.hit.tolist() == [0, 1024, 512, 1023]
    assert trace.fresh.tolist() == [2000, 476, 1088, 1]
    assert read_trace(path, cache_blocks=0).hit.tolist() == [0, 0, 0, 0]
    assert trace.arrival == pytest.approx([0, 0.001, 0.002, 0.003])


@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=5, unique=True), max_size=40), st.integers(0, 14))
def test_a_bounded_cache_is_least_recently_used(prompts, capacity):
    """Against a list in order of use, youngest last."""
    cache, used = _Blocks(capacity), []
    for ids in prompts:
        lead = 0
        while lead < len(ids) and ids[lead] in used:
            lead += 1
        assert cache.hit(ids) == lead
        used = [b for b in used if b not in ids] + ids[::-1]
        used = used[max(len(used) - capacity, 0):]


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True), max_size=40))
def test_a_larger_cache_never_hits_less_in_all(prompts):
    hits = []
    for capacity in (3, 10, None):
        cache = _Blocks(capacity)
        hits.append(sum(cache.hit(ids) for ids in prompts))
    assert hits[1] <= hits[2]
    assert hits[0] <= hits[2]


def test_every_bad_line_is_told_with_its_number(tmp_path):
    text = AZURE + ("2023-11-16 18:00:00,10,5\n"
                    "2023-11-16 18:00:01,ten,5\n"
                    "yesterday,10,\n"
                    "2023-11-16 18:00:02\n"
                    "\n"
                    "2023-11-16 18:00:03,-4,5\n"
                    "2023-11-16 18:00:04,0,5\n"
                    "2023-11-16 18:00:05,10,99999999\n"
                    "2023-11-16 18:00:01,10,5\n")
    told = problems(tmp_path, text)
    assert [t.split(":")[1] for t in told] == ["3", "4", "4", "5", "7", "8", "9", "10"]
    assert "'ContextTokens' is not a whole number; got 'ten'" in told[0]
    assert "arrives before the line above it; got 4 s earlier" in told[-1]


def test_a_long_list_is_cut_and_says_how_many_more(tmp_path):
    told = problems(tmp_path, AZURE + "2023-11-16 18:00:00,x,5\n" * 1000)
    assert len(told) == TOLD + 1
    assert told[-1] == "t.csv: 980 more bad lines"


def test_lines_are_numbered_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "ROWS", 3)
    rows = [f"{i},m,10,5,15,l\n" for i in range(20)]
    rows[13] = "oops,m,10,5,15,l\n"
    rows[17] = "2,m,10,5,15,l\n"
    told = problems(tmp_path, BURST + "".join(rows))
    assert [t.split(":")[1] for t in told] == ["15", "19"]


def test_an_unknown_layout_says_what_each_known_one_lacks(tmp_path):
    told, = problems(tmp_path, "TIMESTAMP,ContextTokens,Tokens\n1,2,3\n")
    assert "Azure lacks GeneratedTokens" in told
    assert "BurstGPT lacks Timestamp, Request tokens, Response tokens" in told


def test_json_lines_lack_keys_or_are_none(tmp_path):
    told = problems(tmp_path, '{"timestamp": 0, "input_length": 5}\nno\n[1]\n'
                    '{"timestamp": 0, "input_length": 5.5, "output_length": 1}\n'
                    '{"timestamp": "0", "input_length": 5, "output_length": 1}\n'
                    '{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": ["a"]}\n', name="t.jsonl")
    assert [t.split(":")[1] for t in told] == ["1", "2", "3", "4", "5", "6"]
    assert "lacks output_length" in told[0]


@pytest.mark.parametrize(("content", "what"), [
    (b"", "empty"), (b"\n\n", "empty"), (AZURE.encode(), "no request with an answer"),
    ((AZURE + "2023-11-16 18:00:00,10,0\n").encode(), "no request with an answer"),
    (AZURE.encode("utf-16"), "not UTF-8"), ((AZURE + "2023-11-16 18:00:00,10,5\né").encode("latin-1"), ":3: not UTF-8"),
    (b"\x1f\x8b\x08\x00rest", "compressed"),
])
def test_files_that_are_no_trace(tmp_path, content, what):
    told, = problems(tmp_path, content)
    assert what in told


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(FactError, match="cannot be read"):
            read_trace(path)


def test_faster_and_spread():
    trace = Trace(name="t", layout="made", arrival=[0, 0, 0, 3, 9, 9], input=[1] * 6, output=[1] * 6, hit=[0] * 6)
    assert trace.faster(3).arrival.tolist() == [0, 0, 0, 1, 3, 3]
    assert trace.spread().arrival.tolist() == [0, 1, 2, 3, 9, 9]
    with pytest.raises(ValueError, match="read-only"):
        trace.arrival[0] = 1


def test_lines_that_are_no_csv(tmp_path):
    told, = problems(tmp_path, AZURE + '2023-11-16 18:00:00,10,5\n"' + "9" * 200_000 + "\n")
    assert "t.csv:3: not CSV" in told


def test_columns_between_and_windows_line_ends(tmp_path):
    text = "\ufeff" + AZURE.replace(",C", ",who,C").strip() + "\r\n2023-11-16 18:00:00,\"a, b\",10,5\r\n\r\n"
    trace = read_trace(written(tmp_path, text))
    assert (trace.input.tolist(), trace.output.tolist()) == ([10], [5])
