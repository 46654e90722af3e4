"""What the pages print can be typed: each command of ours that stands in a fenced block has its subcommand, options and values."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from stack.stack import BINARIES
from stack.template import ROOT

PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "cli" / "README.md"]
    + [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "providers").glob("*.md")]
)
BLOCK = re.compile(r"^( *)```console\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
# How the pages call the program: installed, or out of a checkout.
CALL = re.compile(r"^(?:webhook-intake|cargo run(?: -q| --quiet)?(?: --features aws)? --) ")
# In a sentence: what comes after is words, unless it is in backquotes.
IN_A_SENTENCE = re.compile(r"`(webhook-intake [^`…]+)`")
PLACEHOLDER = re.compile(r"<[^<>\n]+>")
AN_ID = "01a215fc-c258-78ee-8256-1a972b815fd7"


@dataclass(frozen=True)
class Command:
    page: Path
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text}"

    @property
    def arguments(self) -> list[str]:
        """What the program would be given, without the shell's own words."""
        filled = PLACEHOLDER.sub(lambda found: AN_ID if re.search("id>$", found[0], re.IGNORECASE) else "some-name", self.text)
        lexer = shlex.shlex(filled, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if set(word) <= set("|&;<>()"):
                break
            words.append(word)
        return words


def lines_of(page: Path) -> list[str]:
    """What is typed in the fenced blocks of a page, each command in one line."""
    found: list[str] = []
    for _, block in BLOCK.findall(page.read_text()):
        typed = re.sub(r"\\\n *", " ", block)
        found += [line.strip()[2:] for line in typed.splitlines() if line.strip().startswith("$ ")]
    return found


def commands() -> list[Command]:
    found = []
    for page in PAGES:
        # More than one in a line; the text of a nested one ends with its bracket.
        parts = [part for line in lines_of(page) for part in re.split(r"&& |; |\$\(", line)]
        parts += IN_A_SENTENCE.findall(page.read_text())
        found += [Command(page, CALL.sub("", part).partition(")")[0]) for part in parts if CALL.match(part)]
    return list(dict.fromkeys(found))


def parse(command: Command) -> subprocess.CompletedProcess[str]:
    # With --help, everything before it is parsed and nothing is done.
    return subprocess.run(
        [BINARIES / "webhook-intake", *command.arguments, "--help"],
        env={},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_command_that_a_page_prints_can_be_parsed() -> None:
    all_commands = list(commands())
    failed = [f"{command}\n{done.stderr}" for command in all_commands if (done := parse(command)).returncode != 0]

    assert not failed, "\n".join(failed)
    # The pattern has found them: most pages have some, and these are known.
    assert len(all_commands) > 80, len(all_commands)
    assert {"demo", "send", "keys", "doctor", "explain", "quarantine", "dead-letters"} <= {
        command.arguments[0] for command in all_commands
    }


@pytest.mark.parametrize(
    "text", ["deliverys", "send machnet --wate", "send acme", "keys add machnet --file", "deliveries show not-an-id"]
)
def test_what_cannot_be_parsed_is_seen(text: str) -> None:
    assert parse(Command(ROOT / "README.md", text)).returncode == 2


def test_every_make_target_that_a_page_prints_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    typed = [line.split("#")[0] for page in PAGES for line in lines_of(page) if line.startswith("make ")]
    named = {word for line in typed for word in line.split()[1:] if re.fullmatch("[a-z-]+", word)}
    assert {"deploy", "test", "lint"} <= named <= targets, named - targets
