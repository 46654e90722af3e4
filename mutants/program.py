"""Makes one program of the crates' tests that holds all mutants, in a copy of the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import switches
from switches import Mutant

REGISTRY = "shared/providers/src/registry.rs"


CALLED = re.compile(r"cannot call non-const (?:function|associated function|method) `(?!is_on`)(.*)` in ")


class NotBuilt(Exception):
    """The copy does not compile, and no mutant can be blamed."""


def copy(root: Path, to: Path) -> None:
    """Copies what git knows, and what a macro declares is declared in a way that cargo-mutants sees."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
    files = {name for name in listed if name and (root / name).is_file()}
    for name in files:
        target = to / name
        content = (root / name).read_bytes()
        if name == "shared/providers/src/lib.rs":
            content += "".join(f"#[cfg(any())]\npub mod {module};\n" for module in provider_modules(root)).encode()
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            shutil.copymode(root / name, target)
    for path in to.rglob("*"):
        if path.is_file() and str(path.relative_to(to)) not in files:
            path.unlink()


def provider_modules(root: Path) -> list[str]:
    """The providers' modules, of which each provider has one in the registry."""
    return re.findall(r"^\s+\w+ = (\w+) \(\w+\),$", (root / REGISTRY).read_text(), re.MULTILINE)


def listed(folder: Path, cargo_mutants: str, packages: list[str]) -> list[Mutant]:
    """What cargo-mutants would change."""
    command = [cargo_mutants, "mutants", "--list", "--json"]
    for package in packages:
        command += ["--package", package]
    found = json.loads(subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout)
    mutants = []
    for number, entry in enumerate(found):
        span = entry["span"]
        start, end = ((span[side]["line"], span[side]["column"]) for side in ("start", "end"))
        return_type = (entry["function"] or {}).get("return_type", "")
        mutants.append(
            Mutant(number, entry["package"], entry["file"], entry["name"], entry["genre"], entry["replacement"], start, end, return_type)
        )
    return mutants


def workspace(folder: Path) -> dict[str, Path]:
    """The folder of each package."""
    command = ["cargo", "metadata", "--no-deps", "--locked", "--format-version", "1"]
    metadata = json.loads(subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout)
    return {package["name"]: Path(package["manifest_path"]).parent for package in metadata["packages"]}


@dataclass(frozen=True)
class Tests:
    """A program of tests."""

    package: str
    target: str
    program: str
    folder: Path


class Program:
    """The copy with its mutants."""

    def __init__(self, folder: Path, target: Path, mutants: list[Mutant], say: Callable[[str], None]):
        self.folder = folder
        self.say = say
        self.mutants = {mutant.number: mutant for mutant in mutants}
        self.left_out: dict[int, str] = {}
        self.sources = {name: (folder / name).read_bytes() for name in {mutant.file for mutant in mutants}}
        # Names of functions that constants call.
        self.constants: set[str] = set()
        self.ranges: dict[str, list[tuple[int, int, int]]] = {}
        self.packages = sorted({mutant.package for mutant in mutants})
        self.folders = workspace(folder)
        # Lints are not to refuse what is only changed to be tried.
        self.environment = {**os.environ, "CARGO_INCREMENTAL": "1", "CARGO_TARGET_DIR": str(target), "RUSTFLAGS": "--cap-lints=warn"}

    def write(self) -> None:
        of_file: dict[str, list[Mutant]] = defaultdict(list)
        for mutant in self.mutants.values():
            of_file[mutant.file]
            if mutant.number not in self.left_out:
                of_file[mutant.file].append(mutant)
        switch = switches.MODULE.replace("MUTANTS]", f"{max(self.mutants) + 1}]").encode()
        for name, mutants in of_file.items():
            rendered = switches.render(self.sources[name], mutants, self.constants)
            self.left_out |= {mutant.number: why for mutant, why in rendered.left_over}
            self.ranges[name] = rendered.ranges
            self.replace(name, rendered.text)
        for package in self.packages:
            name = str((self.folders[package] / "src/lib.rs").relative_to(self.folder))
            source = self.sources.get(name) or (self.folder / name).read_bytes().replace(switch, b"")
            rendered = switches.render(source, of_file.get(name, []), self.constants)
            self.replace(name, rendered.text + switch)

    def replace(self, name: str, text: bytes) -> None:
        path = self.folder / name
        if path.read_bytes() != text:
            path.write_bytes(text)

    def cargo(self, *arguments: str) -> tuple[int, list[dict]]:
        command = ["cargo", *arguments, "--locked", "--message-format", "json"]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
        if done.returncode and not any(line["reason"] == "compiler-message" for line in lines):
            raise NotBuilt(done.stderr.decode()[-3000:])
        return done.returncode, lines

    def check(self) -> None:
        """Takes out what does not compile until the rest does."""
        packages = [argument for package in self.packages for argument in ("--package", package)]
        for step in range(1, 200):
            self.write()
            status, lines = self.cargo("check", "--lib", "--keep-going", *packages)
            errors = [line["message"] for line in lines if line["reason"] == "compiler-message" and line["message"]["level"] == "error"]
            if status == 0:
                return
            blamed = {}
            called = len(self.constants)
            for error in errors:
                if function := CALLED.match(error["message"]):
                    self.constants.add("::".join(re.sub(r"<[^<>]*>", "", function[1]).replace("::::", "::").split("::")[-2:]))
                    continue
                for number, why in self.blame(error).items():
                    blamed.setdefault(number, why)
            self.say(f"step {step}: {len(errors)} errors, {len(blamed)} mutants do not compile")
            if not blamed and len(self.constants) == called:
                raise NotBuilt("\n".join(error["rendered"] for error in errors)[:5000])
            self.left_out |= blamed
        raise NotBuilt("still not after 200 steps")

    def blame(self, error: dict) -> dict[int, str]:
        code = (error["code"] or {}).get("code", "")
        reason = switches.NOT_SWITCHED if code == "E0015" else switches.NOT_COMPILED
        why = f"{reason}: {error['message']}"
        spans = sorted(error["spans"], key=lambda span: not span["is_primary"])
        if code == "E0004":
            found = self.arms(spans[0]["file_name"], spans[0]["byte_start"], spans[0]["byte_end"])
            if found:
                return dict.fromkeys(found, why)
        for span in spans:
            found = switches.at(self.ranges.get(span["file_name"], []), span["byte_start"], span["byte_end"])
            if found:
                return dict.fromkeys(found, why)
        for span in spans:
            found = switches.before(self.ranges.get(span["file_name"], []), span["byte_start"])
            if found:
                return dict.fromkeys(found, f"{switches.NOT_SWITCHED}: near it, {error['message']}")
        return {}

    def arms(self, name: str, start: int, end: int) -> set[int]:
        """The arms that can be missing from the match on this value."""
        match = switches.File((self.folder / name).read_bytes()).ancestor(start, end, "match_expression")
        inside = {number for first, _, number in self.ranges.get(name, []) if match.start_byte <= first < match.end_byte}
        return {number for number in inside if self.mutants[number].genre == "MatchArm"}

    def build(self, packages: list[str], *, everything: bool) -> list[Tests]:
        """The programs of these packages' tests: those beside the code, or all."""
        chosen = [argument for package in packages for argument in ("--package", package)]
        status, lines = self.cargo("test", "--no-run", "--lib", *(["--test", "*"] if everything else []), *chosen)
        if status:
            raise NotBuilt("\n".join(rendered(lines))[:5000])
        names = {folder / "Cargo.toml": package for package, folder in self.folders.items()}
        return [
            Tests(names[Path(line["manifest_path"])], line["target"]["name"], line["executable"], Path(line["manifest_path"]).parent)
            for line in lines
            if line["reason"] == "compiler-artifact" and line["profile"]["test"] and line["executable"]
        ]


def rendered(lines: list[dict]) -> list[str]:
    messages = [line["message"] for line in lines if line["reason"] == "compiler-message"]
    return [message["rendered"] for message in messages if message["level"] == "error"]
