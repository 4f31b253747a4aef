"""Writes data/measured_recipes.csv: how the runs of InferenceX were set up, from the history of its public repository.

    python tools/prepare_recipes.py FOLDER [RECIPES]    needs PyYAML

FOLDER is a clone of SemiAnalysisAI/InferenceX with its history (bare or not), RECIPES one of NVIDIA/srt-slurm, which
holds the settings of engines of many disaggregated runs. Only configuration is read: the tables of runs, the scripts
that start an engine, the recipes they name. No measured figure is opened.

A recipe stands from the commit that brought it to the commit that took it away. Scripts are not run but followed
(tools/script_settings.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from exafleet.service.measured.recipes import FILE, Recipe, written
from tools.script_settings import Settings, read_settings, settings

SOURCE = "SemiAnalysisAI/InferenceX"
# Models by their prefix in the tables of runs.
MODELS = {"dsr1": "deepseek-v3", "gptoss": "gpt-oss-120b", "70b": "llama-3-70b", "qwen3.5": "qwen3.5-397b-a17b",
          "minimaxm2.5": "minimax-m2", "kimik2.5": "kimi-k2"}
CHIPS = {"b200": "b200-sxm", "b300": "b300-sxm", "h100": "h100-sxm", "h200": "h200-sxm", "gb200": "gb200-gpu",
         "gb300": "gb300-gpu", "mi300x": "mi300x", "mi355x": "mi355x"}
ENGINES = (("dynamo-trt", "trtllm"), ("trt", "trtllm"), ("dynamo-sglang", "sglang"), ("sglang", "sglang"),
           ("dynamo-vllm", "vllm"), ("vllm", "vllm"), ("llmd-vllm", "vllm"), ("atom", "atom"))
# Before the tables of runs there was one template of a workflow for each model.
TEMPLATES = {"dsr1": ".github/workflows/dsr1-tmpl.yml", "gptoss": ".github/workflows/gptoss-tmpl.yml",
             "70b": ".github/workflows/70b-tmpl.yml"}
BENCHMARK = ".github/workflows/benchmark-tmpl.yml"
RACK = "runners/launch_gb200-nv.sh"
LENGTHS = ((1024, 1024), (1024, 8192), (8192, 1024))
# Chips of a prefill worker where the launcher of a rack does not say (TensorRT-LLM's sweep: one node of four).
RACK_NODE = 4
# The earliest published rows are of October 2025; from ASKED on a run was asked for, before that all ran every night.
SINCE, ASKED = "2025-10-15", "2025-12-15"
# A change that was taken back within so many days makes no second row.
REVERTED = 7
WATCHED = (".github/configs", "configs", ".github/workflows", "benchmarks", RACK)
DAYS = "--date=format-local:%Y-%m-%d"


# ------------------------------------------------------------------------------------------------------- the history


@dataclass(frozen=True, slots=True)
class Repo:
    """A git directory, read without a work tree."""

    folder: Path

    def git(self, *words: str) -> str:
        """What git prints."""
        return subprocess.run(["git", "-C", str(self.folder), *words], capture_output=True, text=True, check=True,
                              errors="replace", env=os.environ | {"TZ": "UTC"}).stdout

    def changes(self, *paths: str) -> list[tuple[str, str]]:
        """(commit, day in UTC) of every change of these paths on the main branch, oldest first."""
        lines = self.git("log", "--first-parent", "--reverse", DAYS, "--format=%H %cd", "HEAD", "--", *paths)
        return [(line[:40], line[41:]) for line in lines.splitlines()]

    def tree(self, commit: str) -> dict[str, str]:
        """Path -> blob of what may hold a recipe, at a commit."""
        found = {}
        for line in self.git("ls-tree", "-r", commit, *WATCHED).splitlines():
            kind, path = line.split("\t")
            if path.endswith((".yaml", ".yml", ".sh")) and "deprecated" not in path and "result" not in path:
                found[path] = kind.split()[2]
        return found


@cache
def blob(repo: Repo, name: str) -> str:
    return repo.git("cat-file", "blob", name)


@cache
def blocks(repo: Repo, name: str) -> tuple[str, ...]:
    """Top-level entries of a YAML table, as text: most stay the same from commit to commit."""
    return tuple(b for b in re.split(r"(?m)^(?=[^\s#])", blob(repo, name)) if b.strip() and not b.startswith("#"))


@cache
def parsed(text: str) -> Any:
    yaml = import_module("yaml")  # not among the libraries of the package

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return None


def history(repo: Repo) -> dict[str, list[tuple[str, str]]]:
    """Path -> (day, blob) of every version of every recipe of a repository, on any branch, oldest first."""
    found: dict[str, list[tuple[str, str]]] = {}
    day = ""
    text = repo.git("log", "--all", "--reverse", "--raw", "--no-abbrev", "--no-renames", "--date-order",
                    DAYS, "--format=day %cd", "--", "recipes")
    for line in text.splitlines():
        if line.startswith("day "):
            day = line[4:]
        elif line.startswith(":"):
            kind, path = line.split("\t", 1)
            if set(kind.split()[3]) != {"0"}:
                found.setdefault(path, []).append((day, kind.split()[3]))
    return found


# ------------------------------------------------------------------------------------------------- tables of the runs


def engine(framework: str) -> str:
    return next((found for start, found in ENGINES if framework.startswith(start)), framework)


def version(image: str) -> str:
    """Release in the tag of a container.

    >>> version("lmsysorg/sglang:v0.5.8.post1-cu130-amd64"), version("nvcr.io#tensorrt-llm/release:1.2.0rc6.post2")
    ('0.5.8.post1', '1.2.0rc6.post2')
    >>> version("lmsysorg/sglang:nightly-dev-cu13-20260402-d7256eb6"), version("x:rocm7.0_sgl-dev-v0.5.2-rocm7.0")
    ('nightly-dev-20260402-d7256eb6', '0.5.2')
    """
    tag = re.sub(r"-cu\d+", "", image.rsplit(":", 1)[-1])
    if tag.startswith(("nightly", "gpt-oss")):
        return tag
    found = re.search(r"(?:^|[-_]v?|v)(\d+\.\d+\.\d+(?:[-.]?(?:rc|post|pre|dev)\d+)*)(?![\d.])", tag)
    return found[1] if found else tag


def loads(entry: dict[str, Any]) -> tuple[int, ...]:
    """Concurrencies of an entry: a list, or doubled from the first to the last."""
    if entry.get("conc-list"):
        return tuple(sorted({int(c) for c in entry["conc-list"]}))
    at, end, found = int(entry["conc-start"]), int(entry["conc-end"]), []
    while at < end:
        found.append(at)
        at *= 2
    return (*found, end)


def side(entry: dict[str, Any], nodes: int = 0) -> tuple[int, int, int, int]:
    """(workers, tp, ep, dp) of a pool: attention data parallelism takes all the chips of a worker.

    Early tables of the GB200 rack write 1 for every axis and remark that the layout is fixed elsewhere, as DEP over
    the nodes of a worker.
    """
    chips, attention, workers = int(entry["tp"]), bool(entry.get("dp-attn")), int(entry.get("num-worker", 1))
    ways = int(entry.get("ep") or 1)
    if chips == 1 and attention and nodes:
        chips = ways = RACK_NODE * nodes // workers
    return workers, 1 if attention else chips, ways, chips if attention else 1


@dataclass(frozen=True, slots=True)
class State:
    """A repository at one commit, and the recipes it names elsewhere."""

    repo: Repo
    tree: dict[str, str]
    commit: str
    day: str
    other: Repo | None
    named: dict[str, list[tuple[str, str]]]

    def script(self, stem: str, engine_name: str, drafted: bool) -> tuple[str, str]:
        """(path, text) of the script of an aggregated run; empty when none is found."""
        tails = [f"_{engine_name}", {"trtllm": "_trt"}.get(engine_name, ""), "" if engine_name != "trtllm" else "_trt"]
        for tail in dict.fromkeys(t for t in tails if t or engine_name != "trtllm"):
            for end in ("_mtp", "_mtp_slurm", "_mtp_docker") if drafted else ("", "_slurm", "_docker"):
                for folder in ("benchmarks/", "benchmarks/single_node/", "benchmarks/single_node/fixed_seq_len/"):
                    path = f"{folder}{stem}{tail}{end}.sh"
                    if path in self.tree:
                        return path, blob(self.repo, self.tree[path])
        return "", ""

    def recipe(self, path: str) -> str:
        """Text of a recipe a run names: in this repository, else the other's newest of that day (else its first)."""
        own = "benchmarks/multi_node/srt-slurm-recipes/" + path.removeprefix("recipes/")
        if own in self.tree:
            return blob(self.repo, self.tree[own])
        versions = self.named.get(path, [])
        if not versions or self.other is None:
            return ""
        before = [name for day, name in versions if day <= self.day]
        return blob(self.other, before[-1] if before else versions[0][1])


def named_settings(state: State, entry: dict[str, Any]) -> tuple[Settings, tuple[int, ...], dict[str, str]]:
    """Settings of a disaggregated run, its concurrencies, and the variables its table sets.

    The chunk is the prefill side's, the rest the decode side's. Where the recipe that is named sends other
    concurrencies than the table lists, it is the recipe that ran; where some are the same, either may have.
    """
    extra = [str(s) for s in (*(entry["prefill"].get("additional-settings") or ()),
                              *(entry["decode"].get("additional-settings") or ()))]
    pairs = dict(s.split("=", 1) for s in extra if "=" in s)
    path = pairs.get("CONFIG_FILE", "")
    text = state.recipe(path.split(":")[0]) if path else ""
    sections = re.split(r"(?m)^ +(?=(?:prefill|decode)\s*:\s*$)", text)
    found = {s.split(":", 1)[0].strip(): s for s in sections if s.startswith(("prefill", "decode"))}
    decode, prefill = _engine_settings(found.get("decode", "")), _engine_settings(found.get("prefill", ""))
    drafts = decode.drafts
    if drafts is None:
        said = re.search(r"mtp[-_]?(\d)(?!\d)", path.rsplit("/", 1)[-1])
        drafts = int(said[1]) if said else int(pairs["DECODE_MTP_SIZE"]) if "DECODE_MTP_SIZE" in pairs else None
    chunk = prefill.chunk or (int(pairs["PREFILL_MAX_NUM_TOKENS"]) if "PREFILL_MAX_NUM_TOKENS" in pairs else None)
    running = decode.running or (int(pairs["DECODE_MAX_BATCH_SIZE"]) if "DECODE_MAX_BATCH_SIZE" in pairs else None)
    sent = re.search(r"(?m)^  concurrencies:\s*[\"']?([\dx ]+)", text)
    listed, own = loads(entry), tuple(int(c) for c in sent[1].split("x") if c.strip()) if sent else ()
    load = tuple(sorted({*listed, *own})) if set(listed) & set(own) or not own else own
    return Settings(drafts, decode.kv_dtype or prefill.kv_dtype, chunk, running), load, pairs


def _engine_settings(section: str) -> Settings:
    found = read_settings(section)
    batch = re.search(r"(?m)^ {4,8}max_batch_size:\s*(\d+)", section)
    return replace(found, running=found.running or (int(batch[1]) if batch else None))


def table_rows(state: State, text: str, where: str) -> Iterator[Recipe]:
    """Recipes of one entry of a table of runs."""
    whole = parsed(text)
    for name, config in (whole.items() if isinstance(whole, dict) else ()):
        model = MODELS.get(str(config.get("model-prefix")))
        chip = CHIPS.get(re.split(r"[-_]", str(config["runner"]).removeprefix("cluster:"))[0])
        lengths = config.get("seq-len-configs") or (config.get("scenarios") or {}).get("fixed-seq-len") or ()
        if model and chip:
            plain = Recipe(model=model, dtype=str(config["precision"]), chip=chip, engine=engine(config["framework"]),
                           version=version(str(config["image"])), where=where, note=str(name))
            for shape in lengths:
                one = replace(plain, isl=int(shape["isl"]), osl=int(shape["osl"]))
                for entry in shape["search-space"]:
                    yield from _entry(state, one, config, entry)


def _entry(state: State, plain: Recipe, config: dict[str, Any], entry: dict[str, Any]) -> Iterator[Recipe]:
    method = str(entry.get("spec-decoding", "none"))
    if "prefill" in entry and int(entry["decode"].get("num-worker", 1)):
        found, load, pairs = named_settings(state, entry)
        one, many = (side(entry[name], int(pairs.get(f"{name.upper()}_NODES", 0))) for name in ("prefill", "decode"))
        yield _filled(plain, method, found, load, one, many)
        return
    worker = side(entry.get("prefill", entry))
    attention, chips = worker[3] > 1, worker[1] * worker[3]
    stem = f"{config['model-prefix']}_{plain.dtype}_{config['runner'].removeprefix('cluster:').split('-')[0]}"
    _, script = state.script(stem, plain.engine, method != "none")
    by: dict[Settings, list[int]] = {}
    for one_load in loads(entry):
        found = Settings() if not script else settings(script, chips, worker[2], attention, plain.isl, plain.osl,
                                                       one_load)[0]
        if found.running is not None and found.running >= one_load:
            found = replace(found, running=None)  # no limit at this load
        by.setdefault(found, []).append(one_load)
    for found, some in by.items():
        yield _filled(plain, method, found, tuple(some), None, worker)


def _filled(plain: Recipe, method: str, found: Settings, load: tuple[int, ...], one: tuple[int, int, int, int] | None,
            many: tuple[int, int, int, int]) -> Recipe:
    names = ("count", "tp", "ep", "dp")
    pools: dict[str, Any] = {f"decode_{n}": v for n, v in zip(names, many, strict=True)}
    pools |= {f"prefill_{n}": v for n, v in zip(names, one, strict=True)} if one else {}
    return replace(plain, concurrency=load, speculation=method, drafts=0 if method == "none" else found.drafts,
                   kv_dtype=found.kv_dtype, chunk=found.chunk, running=found.running, **pools)


CHANGES = "perf-changelog.yaml"


def asked_for(repo: Repo) -> list[tuple[str, str]]:
    """(day, name or pattern of an entry of the tables) of every run that the log of changes asked for."""
    found: list[tuple[str, str]] = []
    seen: Counter[str] = Counter()
    for commit, day in repo.changes(CHANGES):
        text = repo.git("show", f"{commit}:{CHANGES}")
        now = Counter(re.split(r"(?m)^(?=- )", text)[1:])
        for entry in now - seen:
            keys = re.search(r"config-keys:\s*\n((?:\s+- .*\n)+)", entry)
            found += [(day, k.strip(" \"'")) for k in re.findall(r"-\s+(.*)", keys[1] if keys else "")]
        seen = now
    return found


def with_runs(rows: Iterable[Recipe], asked: list[tuple[str, str]]) -> Iterator[Recipe]:
    """Rows with the days on which a run of them was asked for while they stood."""
    for row in rows:
        days = {day for day, name in asked if row.first <= day <= row.last and fnmatch(row.note, name)}
        yield replace(row, runs=tuple(sorted(days)))


# --------------------------------------------------------------------------- before November 2025: a workflow a model


def template_rows(state: State, prefix: str) -> Iterator[Recipe]:
    """Recipes of a workflow's template: one job a chip, engine and format, the layout settled in its script."""
    jobs = (parsed(blob(state.repo, state.tree[TEMPLATES[prefix]])) or {}).get("jobs", {})
    usual = re.search(r"conc-list:\s*\n(?:\s+\w+:.*\n)*?\s+default:\s*'?\[([\d, ]+)\]",
                      blob(state.repo, state.tree[BENCHMARK])) if BENCHMARK in state.tree else None
    for name, job in jobs.items():
        told_by = job.get("with") or {}
        chip = CHIPS.get(re.split(r"[-_]", str(told_by.get("runner", "")))[0])
        if not chip or not {"tp-list", "precision", "framework", "image"} <= told_by.keys():
            continue
        plain = Recipe(model=MODELS[prefix], dtype=str(told_by["precision"]), chip=chip,
                       engine=engine(told_by["framework"]), version=version(str(told_by["image"])),
                       where=f"{TEMPLATES[prefix]}@{state.commit[:9]}", note=str(name), speculation="none", drafts=0)
        stem = f"{prefix}_{plain.dtype}_{re.split(r'[-_]', told_by['runner'])[0]}"
        script = state.script(stem, plain.engine, False)[1]
        for isl, osl in LENGTHS:
            ways = _listed(str(told_by["tp-list"]), isl, osl)
            load = _listed(str(told_by.get("conc-list", f"[{usual[1]}]" if usual else "")), isl, osl)
            by: dict[tuple[int, Settings, int, bool], list[int]] = {}
            for tp in ways:
                for one in load:
                    found, ep, attention = settings(script, tp, 1, False, isl, osl, one)
                    if ep is None or attention is None or not script or found.drafts:
                        continue
                    by.setdefault((tp, found, ep, attention), []).append(one)
            for (tp, found, ep, attention), some in by.items():
                pool = (1, 1 if attention else tp, ep, tp if attention else 1)
                low = replace(found, running=None) if found.running and found.running >= max(some) else found
                yield _filled(replace(plain, isl=isl, osl=osl), "none", low, tuple(some), None, pool)


def _listed(text: str, isl: int, osl: int) -> tuple[int, ...]:
    """A list in a workflow, which may depend on the lengths.

    >>> _listed("${{ inputs.isl == 1024 && inputs.osl == 1024 && '[4, 8]' || '[8]' }}", 8192, 1024)
    (8,)
    """
    for way in text.removeprefix("${{").removesuffix("}}").split("||"):
        asked = re.findall(r"inputs\.(isl|osl)\s*(==|!=)\s*'?(\d+)'?", way)
        values = re.search(r"\[([\d, ]+)\]", way)
        if values and all((({"isl": isl, "osl": osl}[n] == int(v)) == (sign == "==")) for n, sign, v in asked):
            return tuple(int(v) for v in values[1].split(","))
    return ()


def rack_rows(state: State) -> Iterator[Recipe]:
    """Recipes in the launcher of a GB200 rack: a line for each deployment of DeepSeek-R1 on two engines."""
    jobs = (parsed(blob(state.repo, state.tree[TEMPLATES["dsr1"]])) or {}).get("jobs", {}) \
        if TEMPLATES["dsr1"] in state.tree else {}
    images = {str(j["with"]["image"]) for j in jobs.values() if "mtp-mode" in (j.get("with") or {})
              and "trt" in str(j["with"]["framework"])}
    isl = osl = 0
    listed: tuple[int, ...] = ()
    for line in blob(state.repo, state.tree[RACK]).splitlines() if RACK in state.tree else ():
        asked = re.search(r'"\$(?:isl|ISL)" = "(\d+)".*"\$(?:osl|OSL)" = "(\d+)"', line)
        if asked:
            isl, osl = int(asked[1]), int(asked[2])
        sent = re.search(r'concurrency_list="([\dx]+)"', line)
        listed = tuple(sorted(int(c) for c in sent[1].split("x"))) if sent else listed
        nodes = re.search(r"submit_disagg\.sh (\d+) (\d+) (\d+) (\d+) \d+ \$ISL", line)
        if nodes and isl and listed:
            yield _filled(
                Recipe(model=MODELS["dsr1"], dtype="fp8", chip="gb200-gpu", engine="sglang", isl=isl, osl=osl,
                       version="", where=f"{RACK}@{state.commit[:9]}",
                       note="nodes of four, attention data parallel over a worker"),
                "none", Settings(), listed,
                *(side({"tp": 1, "dp-attn": True, "num-worker": int(nodes[i + 1])}, int(nodes[i])) for i in (1, 3)))
        found = re.search(r'sh "mtp=(on|off)" "(tep|dep)" (\d+) (\d+) (\d+) (\d+) \d+ "[\d.]+" (\d+) \d+ "([\d ]+)"',
                          line)
        if found and isl:
            attention, (one, many, wide, batch) = found[2] == "dep", (int(found[i]) for i in (3, 4, 5, 6))
            yield _filled(
                Recipe(model=MODELS["dsr1"], dtype="fp4", chip="gb200-gpu", engine="trtllm", isl=isl, osl=osl,
                       version=version(images.copy().pop()) if len(images) == 1 else "",
                       where=f"{RACK}@{state.commit[:9]}",
                       note="prefill workers: a node of four, attention data parallel"),
                "mtp" if found[1] == "on" else "none", Settings(int(found[7]), "", None, batch),
                tuple(sorted(int(c) for c in found[8].split())), (one, 1, RACK_NODE, RACK_NODE),
                (many, 1 if attention else wide, wide, wide if attention else 1))


# ------------------------------------------------------------------------------------------------------------ the run


def key(row: Recipe) -> Recipe:
    """A recipe without where and when it stood."""
    return replace(row, where="", first="", last="", note="")


def stood(states: Iterable[tuple[int, list[Recipe]]], days: list[str]) -> list[Recipe]:
    """Recipes with the days from which and until which each stood; a gap makes two rows."""
    open_now: dict[Recipe, Recipe] = {}
    done: list[Recipe] = []
    for at, rows in states:
        now = {key(row): row for row in rows}
        gone = [k for k in open_now if k not in now]
        done += [replace(open_now.pop(k), last=days[at]) for k in gone]
        for new, row in now.items():
            open_now[new] = replace(row, first=open_now[new].first if new in open_now else days[at])
    return done + [replace(row, last=days[-1]) for row in open_now.values()]


def joined(rows: Iterable[Recipe]) -> list[Recipe]:
    """Rows that differ in concurrencies and days alone as one, where no more than REVERTED days lie between them.

    What ended before SINCE is left out, and what was taken back on the day it came without a run asked for.
    """
    alike: dict[Recipe, list[Recipe]] = {}
    for row in rows:
        nightly = row.first < ASKED
        if row.last >= SINCE and (nightly or row.runs or row.first < row.last):
            alike.setdefault(replace(key(row), concurrency=(), runs=()), []).append(row)
    return [one for many in alike.values() for one in _merged(sorted(many, key=lambda r: (r.first, r.last)))]


def _merged(rows: list[Recipe]) -> list[Recipe]:
    found = rows[:1]
    for row in rows[1:]:
        old = found[-1]
        if (date.fromisoformat(row.first) - date.fromisoformat(old.last)).days > REVERTED:
            found.append(row)
            continue
        found[-1] = replace(old, concurrency=tuple(sorted({*old.concurrency, *row.concurrency})), note=row.note,
                            last=max(old.last, row.last), runs=tuple(sorted({*old.runs, *row.runs})))
    return found


def main() -> None:
    repo = Repo(Path(sys.argv[1]))
    other = Repo(Path(sys.argv[2])) if len(sys.argv) > 2 else None
    named = history(other) if other else {}
    commits = repo.changes(*WATCHED)
    cache: dict[tuple[str, ...], list[Recipe]] = {}

    def rows_at(state: State) -> list[Recipe]:
        found: list[Recipe] = []
        stamps = {prefix: str(hash(frozenset(item for item in state.tree.items() if f"/{prefix}_" in item[0])))
                  for prefix in MODELS}
        tables = [p for p in state.tree if re.fullmatch(r"(\.github/)?configs/\w+-master\.yaml", p)]
        for path in tables:
            for text in blocks(repo, state.tree[path]):
                stamp = stamps.get(text.split("-")[0].split("_")[0], "")
                if stamp and (text, stamp) not in cache:
                    cache[text, stamp] = list(table_rows(state, text, f"{path}@{state.commit[:9]}"))
                found += cache.get((text, stamp), [])
        if not tables:
            for prefix, path in TEMPLATES.items():
                if path in state.tree:
                    mark: tuple[str, ...] = (prefix, state.tree[path], state.tree.get(BENCHMARK, ""), stamps[prefix])
                    if mark not in cache:
                        cache[mark] = list(template_rows(state, prefix))
                    found += cache[mark]
        if RACK in state.tree:
            mark = (RACK, state.tree[RACK], state.tree.get(TEMPLATES["dsr1"], ""))
            if mark not in cache:
                cache[mark] = list(rack_rows(state))
            found += cache[mark]
        return found

    states = ((at, rows_at(State(repo, repo.tree(commit), commit, day, other, named)))
              for at, (commit, day) in enumerate(commits))
    rows = joined(with_runs(stood(states, [day for _, day in commits]), asked_for(repo)))
    rows.sort(key=lambda r: (r.model, r.chip, r.engine, r.dtype, r.first, r.isl, r.osl, r.prefill_count or 0,
                             r.drafts or 0, r.concurrency))
    FILE.write_text(written(rows), encoding="utf-8")
    print(len(rows), "recipes of", len(commits), "commits")


if __name__ == "__main__":
    main()
