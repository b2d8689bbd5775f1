"""Builds the documentation site: `python -m scripts.site_build ROOT FOLDER`.

The pages stay where the repository has them, and their relative links work there. For the site they
are copied to FOLDER/pages: those of docs/ to the root, others that are linked to `project/`, and
links follow. Zensical makes FOLDER/html of it. Its own strict mode, the navigation and the result
are checked. Each error is a sentence, and ends the build with status 1.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.site_check import check
from scripts.site_pages import Pages

GENERATOR = Path(".outside/site/bin/zensical")
BUILD_SECONDS = 300
"""A build takes 2 s; a machine under load gets its time."""
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
NO_PROSE = re.compile(r"[#|>!<]|[-*] |    ")
COLOUR = re.compile(r"\x1b\[[\d;]*m")
LINKED = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def nav_pages(nav: list[Any]) -> Iterator[tuple[str, str, str]]:
    """Section, title and page of each entry, in order."""
    for entry in nav:
        for title, target in entry.items():
            if isinstance(target, str):
                yield "", title, target
            else:
                yield from ((title, inner, page) for _, inner, page in nav_pages(target))


def nav_errors(nav: list[Any], pages: set[str]) -> list[str]:
    """What the navigation lacks, and what it has that is no page.

    Pages outside docs/ are reached by links, and need no entry.
    """
    named = [page for _, _, page in nav_pages(nav)]
    missing = sorted(page for page in pages - set(named) if not page.startswith("project/"))
    errors = [f"zensical.toml: nav has no entry for {page}" for page in missing]
    errors += [
        f"zensical.toml: nav names {page}, which is no page" for page in named if page not in pages
    ]
    twice = sorted({page for page in named if named.count(page) > 1})
    return errors + [f"zensical.toml: nav has {page} twice" for page in twice]


def llms(project: dict[str, Any], pages: Path) -> str:
    """The site for language models, as llmstxt.org proposes: a title, a summary, lists of links."""
    lines = [f"# {project['site_name']}", "", f"> {project['site_description']}", ""]
    section = ""
    for heading, title, page in nav_pages(project["nav"]):
        if heading != section:
            lines += ["", f"## {heading}", ""]
            section = heading
        lines.append(f"- [{title}]({page}): {summary((pages / page).read_text())}")
    return "\n".join(lines) + "\n"


def summary(text: str) -> str:
    """The first sentence of a page's first paragraph, without links."""
    prose = FENCED.sub("", text).split("\n\n")
    paragraph = next((one for one in prose if one.strip() and not NO_PROSE.match(one.strip())), "")
    paragraph = LINKED.sub(r"\1", " ".join(paragraph.split())).replace("**", "")
    return re.split(r"(?<=[^\d][.:])\s", paragraph, maxsplit=1)[0].rstrip(":")


def build(root: Path, folder: Path, generator: Path) -> list[str]:
    """Build the site; what is wrong with it."""
    project = tomllib.loads((root / "zensical.toml").read_text())["project"]
    shutil.rmtree(folder, ignore_errors=True)
    pages = Pages(root)
    errors = pages.write(folder / "pages")
    errors += nav_errors(project["nav"], pages.names)
    if errors:
        return errors
    for style in project.get("extra_css", []):
        shutil.copy(root / "docs" / style, folder / "pages" / style)
    (folder / "pages" / "llms.txt").write_text(llms(project, folder / "pages"))
    # Its paths are relative to the file, and so are the two folders.
    shutil.copy(root / "zensical.toml", folder / "zensical.toml")
    done = subprocess.run(
        [generator.absolute(), "build", "--strict", "--config-file", folder / "zensical.toml"],
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        said = COLOUR.sub("", done.stdout + done.stderr).partition("Traceback")[0].strip()
        return [f"zensical: {said}"]
    for page in pages.names:
        target = folder / "html" / page
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "pages" / page, target)
    return check(folder / "html", pages.names)


def main() -> int:
    root, folder = Path(sys.argv[1]), Path(sys.argv[2])
    errors = build(root, folder, GENERATOR)
    for error in errors:
        print(f"site: {error}", file=sys.stderr)
    if not errors:
        count = sum(1 for _ in (folder / "html").rglob("*.html"))
        print(f"site: {count} pages in {folder / 'html'}")
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main())
