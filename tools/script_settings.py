"""What a shell script starts an engine with, without running it: its assignments and conditions are followed.

For one layout, pair of lengths and concurrency at a time. What cannot be followed is left open: a variable that is
assigned under a condition which was not decided is not known any more. Used by tools/prepare_recipes.py.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

Env = dict[str, str]


class Unknown(Exception):
    """An expression that is not followed here."""


TOKEN = re.compile(r"\s*(\d+|[A-Za-z_]\w*|<=|>=|==|!=|&&|\|\||[-+*/%()<>?:!])")


def arithmetic(text: str, env: Env) -> int:
    """The value of a shell's $(( ... )).

    >>> arithmetic("CONC < 4 ? CONC : CONC / 4", {"CONC": "64"}), arithmetic("((3+1)*8+1024+63)/64*64", {})
    (16, 1088)
    """
    tokens, at = [], 0
    text = text.replace("$", "").replace("{", "").replace("}", "").strip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            raise Unknown(text)
        tokens.append(found[1])
        at = found.end()
    value, rest = _ternary(tokens, env)
    if rest:
        raise Unknown(text)
    return value


SIGNS: dict[str, Callable[[int, int], int]] = {
    "||": lambda a, b: a or b, "&&": lambda a, b: a and b, "==": operator.eq, "!=": operator.ne, "<": operator.lt,
    ">": operator.gt, "<=": operator.le, ">=": operator.ge, "+": operator.add, "-": operator.sub, "*": operator.mul,
    "/": operator.floordiv, "%": operator.mod}
LEVELS = (("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))


def _ternary(tokens: list[str], env: Env) -> tuple[int, list[str]]:
    value, rest = _level(tokens, env, 0)
    if rest[:1] != ["?"]:
        return value, rest
    yes, rest = _ternary(rest[1:], env)
    if rest[:1] != [":"]:
        raise Unknown("?")
    no, rest = _ternary(rest[1:], env)
    return (yes if value else no), rest


def _level(tokens: list[str], env: Env, depth: int) -> tuple[int, list[str]]:
    if depth == len(LEVELS):
        return _atom(tokens, env)
    left, rest = _level(tokens, env, depth + 1)
    while rest and rest[0] in LEVELS[depth]:
        sign = rest[0]
        right, rest = _level(rest[1:], env, depth + 1)
        left = _applied(sign, left, right)
    return left, rest


def _applied(sign: str, left: int, right: int) -> int:
    if sign in ("/", "%") and not right:
        raise Unknown("division by zero")
    return int(SIGNS[sign](left, right))


def _atom(tokens: list[str], env: Env) -> tuple[int, list[str]]:
    if not tokens:
        raise Unknown("end")
    head, rest = tokens[0], tokens[1:]
    if head == "(":
        value, rest = _ternary(rest, env)
        if rest[:1] != [")"]:
            raise Unknown("(")
        return value, rest[1:]
    if head.isdigit():
        return int(head), rest
    if head in env and re.fullmatch(r"\d+", env[head]):
        return int(env[head]), rest
    raise Unknown(head)


def told(text: str, env: Env, strict: bool = True) -> str:
    """A text with its variables in place; one that is not known raises Unknown, or stays as it is."""
    def value(found: re.Match[str]) -> str:
        name, default = found[2] or found[4], found[3]
        try:
            if found[1] is not None:
                return str(arithmetic(found[1], env))
            if name in env or default is not None:
                return env.get(name, default)
            raise Unknown(name)
        except Unknown:
            if strict:
                raise
            return found[0]

    return re.sub(r"\$\(\((.*?)\)\)|\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)", value, text)


COMPARE = {"-eq": "==", "-ne": "!=", "-gt": ">", "-ge": ">=", "-lt": "<", "-le": "<="}


def holds(text: str, env: Env) -> bool:
    """Whether a condition of `if` holds. Raises Unknown for what is not followed.

    >>> holds('[[ "$ISL" == "1024" && $CONC -ge 32 ]]', {"ISL": "1024", "CONC": "16"})
    False
    """
    bare = re.sub(r"\[\[|\]\]|(?<=\s)\[(?=\s)|^\[|(?<=\s)\]|\(\(|\)\)", " ", text)
    return any(all(_one(part, env) for part in re.split(r"&&", way)) for way in re.split(r"\|\|", bare))


def _one(text: str, env: Env) -> bool:
    words = told(re.sub(r"(?<=[\s(])([A-Z_]+)(?=\s*[<>=]=?\s)", r"$\1", text), env).replace('"', "").replace("'", "")
    found = re.fullmatch(r"\s*\(?\s*(\S*)\s*(==|!=|=|-\w\w|<=|>=|<|>)\s*(\S*?)\s*\)?\s*", words)
    if not found:
        raise Unknown(text)
    left, sign, right = found.groups()
    if sign in ("==", "="):
        return left == right
    if sign == "!=":
        return left != right
    return bool(arithmetic(f"{left} {COMPARE.get(sign, sign)} {right}", env))


def followed(script: str, env: Env) -> str:
    """The lines of a script that are in effect, with variables in place; `env` gains its assignments.

    A branch whose condition cannot be decided is left out, and what it would have assigned is not known any more.

    >>> env = {"CONC": "64"}
    >>> followed('if [[ $CONC -gt 8 ]]; then\\nEP=8\\nelse\\nEP=1\\nfi\\nserve --ep $EP', env), env["EP"]
    ('serve --ep 8', '8')
    """
    lines: list[str] = []
    stack: list[Branch] = []
    for line in script.replace("\\\n", " ").splitlines():
        word = line.strip()
        if re.match(r"if\b.*;\s*fi\b", word):
            _forgotten(word, env)
        elif re.match(r"(if|elif)\b", word):
            condition = re.sub(r"^(if|elif)\b|;?\s*then\b.*$", "", word)
            taken = False if word.startswith("if") else stack.pop().taken if stack else None
            stack.append(_branch(taken, condition, env))
        elif re.match(r"case\b.*\bin$", word):
            stack.append(Branch(None, None))
        elif word == "else" and stack:
            taken = stack.pop().taken
            stack.append(Branch(None if taken is None else not taken, True))
        elif re.match(r"(fi|esac)\b", word) and stack:
            stack.pop()
        elif all(branch.now for branch in stack):
            _taken(line, env, lines)
        elif all(branch.now is not False for branch in stack):
            _forgotten(word, env)
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Branch:
    """Whether this branch of an open `if` is in effect, and whether it or one before was; None: not known."""

    now: bool | None
    taken: bool | None


def _branch(taken: bool | None, condition: str, env: Env) -> Branch:
    if taken is not False:
        return Branch(False if taken else None, taken)
    now = _decided(condition, env)
    return Branch(now, now)


def _forgotten(line: str, env: Env) -> None:
    """What a line assigns under a condition that is not followed is not known any more."""
    for name in re.findall(r"\b([A-Za-z_]\w*)=", line):
        env.pop(name, None)


def _decided(condition: str, env: Env) -> bool | None:
    try:
        return holds(condition, env)
    except Unknown:
        return None


def _taken(line: str, env: Env, lines: list[str]) -> None:
    found = re.match(r"\s*(?:export\s+)?([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|\$\(\(.*\)\)|\S*)\s*(?:#.*)?$", line)
    try:
        if re.search(r"\]\]?\s*(&&|\|\|)\s*\w+=", line):
            _forgotten(line.split("]", 1)[1], env)
        elif found:
            env[found[1]] = told(found[2].strip("\"'"), env)
        else:
            lines.append(told(line, env, strict=False))
    except Unknown:
        if found:
            env.pop(found[1], None)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a script or a recipe says of an engine; empty and None where it says nothing."""

    drafts: int | None = None
    kv_dtype: str = ""
    chunk: int | None = None
    running: int | None = None


PATTERNS = {
    "drafts": (r"num_nextn_predict_layers[\"']?\s*[:=]\s*(\d+)", r"speculative-num-steps[\"']?\s*[=: ]\s*(\d+)",
               r"num[_-]speculative[_-]tokens[\"'\\]*\s*[=: ]\s*(\d+)"),
    "kv_dtype": (r"kv[-_]cache[-_]dtype[\"']?\s*[=: ]\s*[\"']?(\w+)",
                 r"kv_cache_config:[^\n]*\n(?:[ \t]+[^\n]*\n)*?[ \t]+dtype:\s*[\"']?(\w+)"),
    "chunk": (r"chunked-prefill-size[\"']?\s*[=: ]\s*[\"']?(\d+)",
              r"max[-_]num[-_](?:batched[-_])?tokens[\"']?\s*[=: ]\s*[\"']?(\d+)"),
    "running": (r"max-running-requests[\"']?\s*[=: ]\s*(\d+)", r"max-num-seqs[\"']?\s*[=: ]\s*(\d+)",
                r"--max_batch_size[=: ]\s*(\d+)")}


def read_settings(text: str) -> Settings:
    """Settings in the words of three engines.

    >>> read_settings("--kv-cache-dtype fp8_e4m3 --chunked-prefill-size 16384 --speculative-num-steps 2")
    Settings(drafts=2, kv_dtype='fp8', chunk=16384, running=None)
    """
    found = {name: next((set(re.findall(p, text)) for p in ways if re.search(p, text)), set())
             for name, ways in PATTERNS.items()}
    one = {name: values.pop() if len(values) == 1 else "" for name, values in found.items()}
    kv = one["kv_dtype"].casefold()
    kv = "fp8" if kv.startswith("fp8") else "bf16" if kv in ("bfloat16", "bf16", "fp16") else ""
    drafts, chunk, running = (int(one[name]) if one[name] else None for name in ("drafts", "chunk", "running"))
    return Settings(drafts, kv, chunk, running)


@cache
def settings(script: str, tp: int, ep: int, attention: bool, isl: int, osl: int, concurrency: int) -> tuple[
        Settings, int | None, bool | None]:
    """(settings, expert parallelism, attention data parallelism) a script starts an engine with."""
    env = {"TP": str(tp), "ISL": str(isl), "OSL": str(osl), "CONC": str(concurrency), "EP_SIZE": str(ep),
           "DP_ATTENTION": "true" if attention else "false", "MAX_MODEL_LEN": str(isl + osl + 200)}
    active = followed(script, env)
    attention_now = {"true": True, "false": False}.get(env.get("DP_ATTENTION", ""))
    ways = env.get("EP_SIZE", "")
    return read_settings(active), int(ways) if ways.isdigit() else None, attention_now
