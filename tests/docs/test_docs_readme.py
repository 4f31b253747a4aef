"""The README, the pages of docs/ and the examples do what they say: their commands are run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest

from tools import generate_docs

ROOT = generate_docs.ROOT
README = ROOT / "README.md"
PAGES = [README, *sorted(p for p in (ROOT / "docs").rglob("*.md") if "decisions" not in p.parts)]
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The commands of one ```sh block, and the lines of the ```text block that follows it at once."""

    commands: tuple[str, ...]
    output: tuple[str, ...]


def commands_of(body: str) -> list[str]:
    """Commands of a sh block that call ./exafleet, with lines ended by a backslash joined."""
    lines = [line.strip() for line in body.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("./exafleet")]


def blocks_of(text: str) -> list[Block]:
    """Every sh block of a page that calls ./exafleet."""
    found = list(_BLOCK.finditer(text))
    blocks = []
    for here, after in zip_longest(found, found[1:]):
        if here[1] != "sh" or not commands_of(here[2]):
            continue
        answered = after is not None and after[1] == "text" and not text[here.end() : after.start()].strip()
        lines = after[2].splitlines() if answered and after is not None else []
        blocks.append(Block(commands=tuple(commands_of(here[2])),
                            output=tuple(line.rstrip() for line in lines if line.strip() not in ("", "..."))))
    return blocks


def workplace(folder: Path) -> Path:
    """A folder that looks like a checkout to the README's commands: ./exafleet and examples/."""
    generate_docs.copy_examples(folder)
    launcher = folder / "exafleet"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(generate_docs.ENTRY)} "$@"\n',
                        encoding="utf-8")
    launcher.chmod(0o755)
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What `exafleet plan` on an example printed, and the folder where its plan.html and plan.json lie."""

    output: str
    folder: Path


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Planned]:
    """Plans an example once for all tests, in whatever process they run: the plans are most of the time."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "planned"

    def plan(name: str) -> Planned:
        folder = shared / name
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            wait_for(folder / "done")
        else:
            make(name, folder)
        assert not (said := (folder / "failed.txt").read_text(encoding="utf-8")), said
        return Planned(output=(folder / "output.txt").read_text(encoding="utf-8"), folder=folder)

    return plan


def make(name: str, folder: Path) -> None:
    """Plans the example in `folder`, and says there how it went."""
    output = failed = ""
    try:
        output = generate_docs.planned(name, folder, "--html", "plan.html", "--json", "plan.json").stdout
    except Exception as error:
        failed = str(error)
        raise
    finally:
        (folder / "output.txt").write_text(output, encoding="utf-8")
        (folder / "failed.txt").write_text(failed, encoding="utf-8")
        (folder / "done").touch()


def wait_for(file: Path, most: float = 600.0) -> None:
    """Waits until another process has made the file."""
    until = time.monotonic() + most
    while not file.exists():
        assert time.monotonic() < until, f"{file.parent.name}: not planned within {most:g} s"
        time.sleep(0.2)


def whole_plan(command: str) -> tuple[str, list[str]] | None:
    """Example and files of a command that plans an example with no option but those that write a file."""
    found = re.fullmatch(r"\./exafleet plan examples/([\w-]+)((?: --(?:html|json) [\w./-]+)*)", command)
    return (found[1], found[2].split()[1::2]) if found else None


def run(command: str, folder: Path, planned: Callable[[str], Planned]) -> str:
    """What the command prints; a whole plan of an example is taken from the run that all tests share."""
    if whole := whole_plan(command):
        for file in whole[1]:
            shutil.copy(planned(whole[0]).folder / f"plan{Path(file).suffix}", folder / file)
        return planned(whole[0]).output
    done = subprocess.run(["sh", "-ec", command], cwd=folder, env=generate_docs.cli_environment(folder),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", timeout=600,
                          check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def missing_lines(output: str, wanted: tuple[str, ...]) -> list[str]:
    """The wanted lines that the output does not hold, spaces at the end of a line aside."""
    printed = {line.rstrip() for line in output.splitlines()}
    return [line for line in wanted if line not in printed]


def test_blocks_are_read_as_written() -> None:
    text = ("```sh\n# why\n./exafleet train m \\\n  --gpus 8\n./check\n```\n\n"
            "```text\na\n...\n b \n```\n```sh\nls\n```\n")
    assert blocks_of(text) == [Block(commands=("./exafleet train m    --gpus 8",), output=("a", " b"))]


def test_text_after_prose_is_no_expected_output() -> None:
    assert blocks_of("```sh\n./exafleet x\n```\nprose\n```text\na\n```\n")[0].output == ()


def test_readme_opens_with_the_two_commands() -> None:
    found = [m[2] for m in _BLOCK.finditer(README.read_text(encoding="utf-8")) if m[1] == "sh"]
    commands = [line.split("#")[0].strip() for block in found for line in block.splitlines()]
    starts = [line for line in commands if line.startswith(("./exafleet", "./check"))]
    assert starts[:2] == ["./exafleet plan examples/xai-2024-12", "./check"]


def test_only_whole_plans_are_shared() -> None:
    assert whole_plan("./exafleet plan examples/a-1 --html p.html --json p.json") == ("a-1", ["p.html", "p.json"])
    assert whole_plan("./exafleet plan examples/a-1") == ("a-1", [])
    assert whole_plan("./exafleet plan examples/a-1 --quick") is None
    assert whole_plan("./exafleet rates examples/a-1") is None


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if p.exists() and blocks_of(p.read_text(encoding="utf-8"))],
                         ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_of_the_page_run(page: Path, tmp_path: Path, planned: Callable[[str], Planned]) -> None:
    folder = workplace(tmp_path)
    for block in blocks_of(page.read_text(encoding="utf-8")):
        output = "".join(run(command, folder, planned) for command in block.commands)
        missing = missing_lines(output, block.output)
        assert not missing, f"{block.commands}: not printed: {missing}\nprinted:\n{output}"


def test_the_examples_of_the_issue_are_there() -> None:
    names = {folder.name for folder in generate_docs.examples()}
    assert "xai-2024-12" in names
    assert len(names) >= 3


@pytest.mark.parametrize("folder", generate_docs.examples(), ids=lambda p: p.name)
def test_example_is_complete(folder: Path) -> None:
    assert (folder / "scenario.toml").is_file() or generate_docs.example_commands(folder)
    assert (folder / "expected.txt").read_text(encoding="utf-8").strip()


@pytest.mark.slow
@pytest.mark.parametrize("folder", [f for f in generate_docs.examples() if f not in generate_docs.plans()],
                         ids=lambda p: p.name)
def test_commands_of_an_example_print_what_is_expected(folder: Path) -> None:
    stale = generate_docs.difference(folder / "expected.txt", generate_docs.example_output(folder))
    assert not stale, f"stale; if it is meant: python tools/generate_docs.py examples\n{stale}"


@pytest.mark.slow
@pytest.mark.parametrize("folder", generate_docs.plans(), ids=lambda p: p.name)
def test_example_prints_what_is_expected(folder: Path, planned: Callable[[str], Planned]) -> None:
    stale = generate_docs.difference(folder / "expected.txt", planned(folder.name).output)
    assert not stale, f"stale; if it is meant: python tools/generate_docs.py examples\n{stale}"


@pytest.mark.slow
@pytest.mark.parametrize("folder", generate_docs.plans(), ids=lambda p: p.name)
def test_example_writes_a_page_that_stands_alone_and_a_plan_as_data(folder: Path,
                                                                    planned: Callable[[str], Planned]) -> None:
    found = planned(folder.name).folder
    page = (found / "plan.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page), "the page must work without a network"
    assert json.loads((found / "plan.json").read_text(encoding="utf-8"))["tables"]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"],
                         ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    dead = [t for t in targets if not re.match(r"[a-z]+:", t) and not (page.parent / t).exists()]
    assert not dead
