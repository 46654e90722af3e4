"""Every link of a page that stays in the repository leads to a file, and to a heading of it where the link names one."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from template_check.alarms import anchors

ROOT = Path(__file__).resolve().parents[1]
BUILT = {"target", "node_modules"}
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", flags=re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")


def pages(root: Path) -> Iterator[Path]:
    for page in sorted(root.rglob("*.md")):
        folders = page.relative_to(root).parts[:-1]
        if not any(folder.startswith(".") or folder in BUILT for folder in folders):
            yield page


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if ELSEWHERE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        leads_somewhere = target.exists()
        if leads_somewhere and anchor and target.suffix == ".md":
            leads_somewhere = anchor in anchors(target.read_text())
        if not leads_somewhere:
            broken.append(link)
    return broken


def test_every_link_of_every_page_leads_somewhere() -> None:
    found = list(pages(ROOT))
    assert ROOT / "README.md" in found and ROOT / "docs" / "operations.md" in found

    broken = {str(page.relative_to(ROOT)): links for page in found if (links := broken_links(page))}

    assert broken == {}


@pytest.mark.parametrize(
    ("link", "is_broken"),
    [
        ("other.md", False),
        ("other.md#a-heading", False),
        ("#here", False),
        ("folder", False),
        ("https://example.com/nowhere.md#at-all", False),
        ("missing.md", True),
        ("other.md#no-heading", True),
        ("#nowhere", True),
    ],
)
def test_a_link_is_broken_if_its_file_or_its_heading_is_missing(tmp_path: Path, link: str, is_broken: bool) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "other.md").write_text("# A heading\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\nSee [this]({link}).\n\n```\n[code](nowhere.md)\n```\nand `[code](nowhere.md)`.\n")

    assert broken_links(page) == ([link] if is_broken else [])
