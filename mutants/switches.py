"""Puts every mutant of a file into it, each behind a switch, so that one program holds them all.

`a == b` becomes `(if crate::mutation_switch::is_on(7) { a != b } else { a == b })`. What is changed is taken from the list of
cargo-mutants; where it is, from the syntax tree.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

import tree_sitter
import tree_sitter_rust

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language()))

# Why a mutant is not in the program, as its reasons begin.
NOT_SWITCHED = "cannot be switched"
NOT_COMPILED = "does not compile"

MODULE = r"""
pub(crate) mod mutation_switch {
    use std::io::Write as _;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    static ON: LazyLock<u32> = LazyLock::new(|| {
        std::env::var("MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(u32::MAX)
    });
    static REACHED: LazyLock<Option<std::fs::File>> = LazyLock::new(|| {
        let path = std::env::var_os("MUTANTS_REACHED")?;
        std::fs::OpenOptions::new().create(true).append(true).open(path).ok()
    });
    static NOTED: [AtomicBool; MUTANTS] = [const { AtomicBool::new(false) }; MUTANTS];

    pub(crate) fn is_on(number: u32) -> bool {
        if let Some(mut file) = REACHED.as_ref() {
            if !NOTED[number as usize].swap(true, Ordering::Relaxed) {
                let _ = file.write_all(format!("{number}\n").as_bytes());
            }
        }
        *ON == number
    }
}
"""


def switch(number: int) -> bytes:
    return b"crate::mutation_switch::is_on(%d)" % number


@dataclass
class Mutant:
    """A change, as cargo-mutants lists it."""

    number: int
    package: str
    file: str
    name: str
    genre: str
    replacement: str
    start: tuple[int, int]
    end: tuple[int, int]
    return_type: str


@dataclass
class Place:
    """A range of the source whose text depends on switches. Of two with the same range the one of the lower rank is outside."""

    start: int
    end: int
    rank: int
    kind: str
    changes: list[tuple[Mutant, bytes]] = field(default_factory=list)


@dataclass
class Rendered:
    text: bytes
    # Ranges of the text that are there because of a mutant, those inside others later.
    ranges: list[tuple[int, int, int]]
    # Mutants that cannot be put behind a switch, with the reason.
    left_over: list[tuple[Mutant, str]]


class File:
    def __init__(self, source: bytes):
        self.source = source
        self.root = PARSER.parse(source).root_node
        self.lines = [0]
        for line in source.split(b"\n"):
            self.lines.append(self.lines[-1] + len(line) + 1)
        self.texts = source.split(b"\n")

    def offset(self, position: tuple[int, int]) -> int:
        line, column = position
        return self.lines[line - 1] + len(self.texts[line - 1].decode()[: column - 1].encode())

    def node(self, start: int, end: int):
        return self.root.descendant_for_byte_range(start, end)

    def ancestor(self, start: int, end: int, *kinds: str):
        node = self.node(start, end)
        while node is not None and node.type not in kinds:
            node = node.parent
        return node


def is_let(node) -> bool:
    return node.type in ("let_condition", "let_chain")


def name_of(function) -> str:
    """A function's name, with its type's."""
    name = function.child_by_field_name("name").text.decode()
    node = function
    while node is not None and node.type != "impl_item":
        node = node.parent
    return name if node is None else f"{node.child_by_field_name('type').text.decode().split('<')[0]}::{name}"


def constant(function):
    """The word that makes a function a constant one."""
    modifiers = next((child for child in function.children if child.type == "function_modifiers"), None)
    return next((child for child in modifiers.children if child.type == "const"), None) if modifiers else None


def places(file: File, mutants: list[Mutant], constants: set[str]) -> tuple[list[Place], list[tuple[Mutant, str]]]:
    """Where the mutants are."""
    found: dict[tuple[int, int, int, str], Place] = {}
    left_over = []

    def place(start: int, end: int, rank: int, kind: str, mutant: Mutant, text: bytes) -> None:
        found.setdefault((start, end, rank, kind), Place(start, end, rank, kind)).changes.append((mutant, text))

    for mutant in mutants:
        start, end = file.offset(mutant.start), file.offset(mutant.end)
        function = file.ancestor(start, end, "function_item")
        word = constant(function) if function else None
        if word is not None:
            if name_of(function) in constants:
                left_over.append((mutant, f"{NOT_SWITCHED}: a constant calls its function"))
                continue
            # A switch is no constant, and most of these functions are called by others only.
            found.setdefault((word.start_byte, word.end_byte, 0, "drop"), Place(word.start_byte, word.end_byte, 0, "drop"))
        replacement = mutant.replacement.encode()
        if mutant.genre == "FnValue":
            if function is None:
                left_over.append((mutant, f"{NOT_SWITCHED}: its function was not found"))
            elif "impl " in mutant.return_type:
                left_over.append((mutant, f"{NOT_SWITCHED}: its function returns an `impl`"))
            else:
                place(start, start, 0, "return", mutant, replacement)
        elif mutant.genre == "BinaryOperator":
            node = file.ancestor(start, end, "binary_expression", "compound_assignment_expr")
            if node is None:
                # A chain with `let` holds `&&` only.
                is_chain = file.ancestor(start, end, "let_chain") is not None
                left_over.append((mutant, f"{NOT_COMPILED}: a chain with `let`" if is_chain else f"{NOT_SWITCHED}: its operator was not found"))
                continue
            while node.parent is not None and node.parent.type == "binary_expression":
                node = node.parent
            first, last = node.start_byte, node.end_byte
            text = file.source[first:start] + replacement + file.source[end:last]
            place(first, last, 4, "instead", mutant, text)
        elif mutant.genre == "UnaryOperator":
            node = file.ancestor(start, end, "unary_expression")
            if node is None or node.start_byte != start:
                left_over.append((mutant, f"{NOT_SWITCHED}: its operator was not found"))
                continue
            place(start, node.end_byte, 5, "instead", mutant, replacement + file.source[end : node.end_byte])
        elif mutant.genre == "MatchArmGuard":
            if is_let(file.node(start, end)):
                left_over.append((mutant, f"{NOT_SWITCHED}: a guard that binds"))
                continue
            place(start, end, 2, "instead", mutant, replacement)
        elif mutant.genre == "MatchArm":
            arm = file.ancestor(start, end, "match_arm")
            pattern = arm.child_by_field_name("pattern")
            condition = pattern.child_by_field_name("condition")
            if condition is None:
                place(pattern.end_byte, pattern.end_byte, 0, "guard", mutant, b"")
            elif is_let(condition):
                place(condition.start_byte, condition.start_byte, 0, "and", mutant, b"")
            else:
                place(condition.start_byte, condition.end_byte, 1, "guarded", mutant, b"")
        elif mutant.genre == "StructField":
            node = file.ancestor(start, start + 1, "field_initializer", "shorthand_field_initializer")
            base = next((child for child in node.parent.children if child.type == "base_field_initializer"), None)
            if base is None:
                left_over.append((mutant, f"{NOT_COMPILED}: no value takes the place of the field"))
                continue
            base = base.text.removeprefix(b"..").strip()
            if node.type == "field_initializer":
                value, name = node.child_by_field_name("value"), node.child_by_field_name("field").text
                place(value.start_byte, value.end_byte, 3, "instead", mutant, b"(%s).%s" % (base, name))
            else:
                name = node.text
                place(node.start_byte, node.end_byte, 3, "shorthand", mutant, b"(%s).%s" % (base, name))
        else:
            left_over.append((mutant, f"{NOT_SWITCHED}: changes of the kind {mutant.genre} are not known"))
    return sorted(found.values(), key=lambda place: (place.start, -place.end if place.end > place.start else -(1 << 60), place.rank)), left_over


def render(source: bytes, mutants: list[Mutant], constants: set[str]) -> Rendered:
    """The file with these mutants in it."""
    file = File(source)
    all_places, left_over = places(file, mutants, constants)
    out = bytearray()
    ranges: list[tuple[int, int, int]] = []
    position = 0

    def plain(start: int, end: int) -> None:
        """Writes this part of the source, with what is to be switched in it."""
        nonlocal position
        cursor = start
        while position < len(all_places):
            place = all_places[position]
            if place.start > end or place.end > end or (place.start == end and start != end):
                break
            position += 1
            out.extend(source[cursor : place.start])
            switched(place)
            cursor = place.end
        out.extend(source[cursor:end])

    def switched(place: Place) -> None:
        whole = len(out)
        numbers = [mutant.number for mutant, _ in place.changes]
        if place.kind == "drop":
            return
        if place.kind == "return":
            for mutant, text in place.changes:
                begin = len(out)
                out.extend(b"if %s { return %s; } " % (switch(mutant.number), text))
                ranges.append((begin, len(out), mutant.number))
            return
        if place.kind in ("guard", "and", "guarded"):
            condition = b" && ".join(b"!" + switch(number) for number in numbers)
            begin = len(out)
            out.extend({"guard": b" if %s", "and": b"%s && ", "guarded": b"%s && ("}[place.kind] % condition)
            ranges.extend((begin, len(out), number) for number in numbers)
            if place.kind == "guarded":
                plain(place.start, place.end)
                out.extend(b")")
            return
        slots = []
        if place.kind == "shorthand":
            out.extend(source[place.start : place.end] + b": ")
        out.extend(b"(")
        for mutant, text in place.changes:
            begin = len(out)
            out.extend(b"if %s { %s } else " % (switch(mutant.number), text))
            slots.append((begin, len(out), mutant.number))
        out.extend(b"{ ")
        if place.kind == "shorthand":
            out.extend(source[place.start : place.end])
        else:
            plain(place.start, place.end)
        out.extend(b" })")
        ranges.extend((whole, len(out), number) for number in numbers)
        ranges.extend(slots)

    plain(0, len(source))
    return Rendered(bytes(out), ranges, left_over)


def at(ranges: list[tuple[int, int, int]], start: int, end: int) -> set[int]:
    """The mutants of the smallest ranges that hold this one."""
    holding = [(last - first, number) for first, last, number in ranges if first <= start and end <= last]
    if not holding:
        return set()
    smallest = min(holding)[0]
    return {number for size, number in holding if size == smallest}


def before(ranges: list[tuple[int, int, int]], start: int) -> set[int]:
    """The mutants that begin last before a place."""
    starts = sorted((first, number) for first, _, number in ranges)
    index = bisect.bisect_right(starts, (start, 1 << 60)) - 1
    return {starts[index][1]} if index >= 0 else set()
