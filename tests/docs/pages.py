"""The pages as Markdown: code blocks, code spans, headings and links."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^]\[]*(?:!\[[^]]*\]\([^)]*\))?[^]\[]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Page:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The page without its code blocks."""
        return BLOCK.sub("", self.text)

    def blocks(self, language: str) -> list[str]:
        return [text for name, text in BLOCK.findall(self.text) if name == language]

    @property
    def commands(self) -> list[list[str]]:
        """The words of every command in the bash blocks, without comments."""
        return [words for block in self.blocks("bash") for words in split_commands(block)]

    @property
    def spans(self) -> list[str]:
        """Code spans of the prose."""
        return SPAN.findall(self.prose)

    @property
    def links(self) -> list[str]:
        return LINK.findall(self.prose)

    @property
    def headings(self) -> list[str]:
        return re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)

    @property
    def anchors(self) -> set[str]:
        """What GitHub calls the headings."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in self.headings}

    def section(self, heading: str) -> str:
        """The text below a heading, up to the next one of any level."""
        return re.split(r"^#+ ", self.text.split(f" {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def split_commands(block: str) -> list[list[str]]:
    """The commands of a shell snippet; a quoted argument may span lines, `&&` and `&` separate commands."""
    commands, pending = [], ""
    for line in block.replace("\\\n", " ").splitlines():
        pending += line + "\n"
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # a quotation that goes on in the next line
            continue
        pending = ""
        while words:
            end = next((number for number, word in enumerate(words) if word in ("&&", "&")), len(words))
            commands.append(words[:end])
            words = words[end + 1 :]
    assert not pending, f"unfinished quotation: {pending}"
    return commands


README = Page(ROOT / "README.md")
PAGES = [README, *(Page(path) for path in sorted((ROOT / "docs").glob("*.md")))]
BY_NAME = {page.path.stem: page for page in PAGES}
