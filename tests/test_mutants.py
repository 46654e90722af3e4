"""The switches of `make mutants`: a program with all mutants in it behaves as each of them, and as none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "mutants"))

import switches  # noqa: E402
from equivalent import Equivalents, keys  # noqa: E402
from switches import Mutant  # noqa: E402

SOURCE = """\
const LIMIT: u32 = 2 * 5;
const fn small(a: u32) -> bool { a < LIMIT }
fn larger(a: u32, b: u32) -> bool { a > b && !small(a) || b == 7 }
fn name(a: Option<u32>) -> &'static str {
    match a {
        Some(0) => "none",
        Some(n) if n > 9 => "many",
        _ => "some",
    }
}
struct Settings { size: u32, name: u32 }
fn settings(size: u32) -> Settings {
    let base = Settings { size: 1, name: 2 };
    Settings { size, name: 3 + 4, ..base }
}
fn chained(a: Option<u32>) -> bool { if let Some(n) = a && n == 3 { true } else { false } }
fn main() {
    let Settings { size, name: number } = settings(9);
    let mut sum = 8;
    sum += 2;
    println!(
        "{} {} {} {} {} {} {size} {number} {sum} {}",
        small(3), larger(20, 3), larger(1, 7), name(Some(0)), name(Some(50)), name(None), chained(Some(3)),
    );
}
"""

UNCHANGED = "true true true none many some 9 7 10 true"

# Kind, what is changed and the how-manieth of it, what it is replaced by, and what the program then prints; None if it is not switched.
CHANGES = [
    ("BinaryOperator", "*", 1, "+", None),
    ("FnValue", "a < LIMIT", 1, "false", "false true true none many some 9 7 10 true"),
    ("BinaryOperator", "< L", 1, "> L", "false false true none many some 9 7 10 true"),
    ("FnValue", "a > b && !small(a) || b == 7", 1, "false", "true false false none many some 9 7 10 true"),
    ("BinaryOperator", "&&", 1, "||", "true true true none many some 9 7 10 true"),
    ("BinaryOperator", "||", 1, "&&", "true false false none many some 9 7 10 true"),
    ("BinaryOperator", "==", 1, "!=", "true true false none many some 9 7 10 true"),
    ("UnaryOperator", "!", 1, "", "true false true none many some 9 7 10 true"),
    ("MatchArm", 'Some(0) => "none",', 1, "", "true true true some many some 9 7 10 true"),
    ("MatchArm", 'Some(n) if n > 9 => "many",', 1, "", "true true true none some some 9 7 10 true"),
    ("MatchArmGuard", "n > 9", 1, "false", "true true true none some some 9 7 10 true"),
    ("BinaryOperator", "> 9", 1, "< 9", "true true true none some some 9 7 10 true"),
    ("StructField", "size", 4, "", "true true true none many some 1 7 10 true"),
    ("StructField", "name: 3 + 4", 1, "", "true true true none many some 9 2 10 true"),
    ("BinaryOperator", "+", 1, "*", "true true true none many some 9 12 10 true"),
    ("BinaryOperator", "&& n", 1, "|| n", None),
    ("BinaryOperator", "+=", 1, "-=", "true true true none many some 9 7 6 true"),
]


def mutant(number: int, genre: str, what: str, nth: int, replacement: str) -> Mutant:
    start = -1
    for _ in range(nth):
        start = SOURCE.index(what, start + 1)
    # Operators are named with what follows them where they alone would not be found.
    if genre == "BinaryOperator":
        what, replacement = what.split()[0], replacement.split()[0]

    def position(offset: int) -> tuple[int, int]:
        before = SOURCE[:offset]
        return before.count("\n") + 1, offset - before.rfind("\n")

    name = f"main.rs:{position(start)[0]}:{position(start)[1]}: replace {what} with {replacement}"
    return Mutant(number, "main", "main.rs", name, genre, replacement, position(start), position(start + len(what)), "")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[int]]:
    """The program, and the numbers of what is not in it."""
    folder = tmp_path_factory.mktemp("mutants")
    mutants = [mutant(number, *change[:4]) for number, change in enumerate(CHANGES)]
    left_out: set[int] = set()
    for _ in range(5):
        rendered = switches.render(SOURCE.encode(), [one for one in mutants if one.number not in left_out], {"unused"})
        left_out |= {one.number for one, _ in rendered.left_over}
        module = switches.MODULE.replace("MUTANTS]", f"{len(mutants)}]").encode()
        (folder / "main.rs").write_bytes(rendered.text + module)
        command = ["rustc", "--edition", "2024", "--cap-lints", "allow", "--error-format", "json", "-o", "main", "main.rs"]
        done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        if done.returncode == 0:
            return folder / "main", left_out
        for line in done.stderr.splitlines():
            for span in json.loads(line)["spans"]:
                left_out |= switches.at(rendered.ranges, span["byte_start"], span["byte_end"])
    raise AssertionError(done.stderr)


def printed(program: Path, **environment: str) -> str:
    done = subprocess.run([program], env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def test_without_a_switch_the_program_does_what_it_did(program):
    assert printed(program[0]) == UNCHANGED


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_with_a_switch_it_does_what_the_mutant_does(program, number):
    path, left_out = program
    expected = CHANGES[number][4]
    assert (number in left_out) == (expected is None)
    assert printed(path, MUTANT=str(number)) == (expected or UNCHANGED)


def test_it_notes_which_mutants_it_reached(program, tmp_path):
    path, left_out = program
    printed(path, MUTANTS_REACHED=str(tmp_path / "reached"))
    reached = sorted(map(int, (tmp_path / "reached").read_text().split()))
    assert reached == [number for number in range(len(CHANGES)) if number not in left_out]


def test_a_mutant_keeps_its_name_when_lines_move():
    mutants = [mutant(number, *CHANGES[change][:4]) for number, change in enumerate([6, 6, 7])]
    assert keys(mutants) == {0: "main.rs: replace == with !=", 1: "main.rs: replace == with != (2)", 2: "main.rs: replace ! with "}


def test_what_is_equivalent_says_why_and_once(tmp_path):
    path = tmp_path / "equivalent.toml"
    path.write_text('[[equivalent]]\nreason = "a capacity"\nmutants = ["a", "b"]\n')
    equivalents = Equivalents.read(path)
    assert "a" in equivalents and "c" not in equivalents and equivalents.unknown({"a"}) == ["b"]
    for text in ['[[equivalent]]\nreason = " "\nmutants = ["a"]\n', '[[equivalent]]\nreason = "b"\nmutants = ["a", "a"]\n']:
        path.write_text(text)
        with pytest.raises(ValueError, match="each mutant is named once"):
            Equivalents.read(path)
    Equivalents.read(ROOT / "mutants/equivalent.toml")
