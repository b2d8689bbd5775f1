"""README and project URLs of the package, made from README.md and one address at build time.

A package index shows the README away from the repository, where relative links lead nowhere. The
address of the repository and the switch `published` are in pyproject.toml, under
`[tool.hatch.metadata.hooks.custom]`, and nowhere else.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_FENCE = re.compile(r"(^```.*?^```[^\n]*\n)", re.MULTILINE | re.DOTALL)
# A picture with a link in its text or a link in a link is not among what the READMEs have.
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_INSTALL = re.compile(r"<!-- install -->\n(?P<clone>.*?)<!-- /install -->\n", re.DOTALL)
_VERSION = re.compile(r'^__version__ = "(?P<version>[^"]+)"', re.MULTILINE)

PUBLISHED = {
    "": """\
Or `pip install pushhub` into an environment of your own; then `pushhub serve --dev` starts a hub.
Where the text below says `.venv/bin/pushhub` or names a file, it means a clone of the repository.
""",
    "clients/python": """\
```
pip install pushhub-client
```
""",
}
"""What replaces the block `install` of a folder's README when the packages are on the index."""


def absolute(target: str, *, home: str, tag: str, folder: str, picture: bool) -> str:
    """The address of a relative link's target at a tag of the repository.

    The forms `/blob/TAG/` and `/raw/TAG/` are those of GitHub, to whose forge the workflows belong.
    """
    path, hash_, anchor = target.partition("#")
    path = posixpath.normpath(posixpath.join(folder, path or "README.md"))
    if path.startswith(".."):
        raise ValueError(f"The link {target!r} leads out of the repository; mend the README.")
    return f"{home}/{'raw' if picture else 'blob'}/{tag}/{path}{hash_}{anchor}"


def index_readme(text: str, *, home: str, tag: str, published: bool, folder: str = "") -> str:
    """A README as a package index shows it.

    `home` is the address of the repository, `folder` the README's folder in it. Without a `home`
    the text of a relative link stays, the link and relative pictures go.
    """

    def link(match: re.Match[str]) -> str:
        picture, target = bool(match["picture"]), match["target"]
        if _ABSOLUTE.match(target):
            return match[0]
        if not home:
            return "" if picture else match["text"]
        address = absolute(target, home=home, tag=tag, folder=folder, picture=picture)
        return f"{match['picture']}[{match['text']}]({address})"

    text = _INSTALL.sub(lambda block: PUBLISHED[folder] if published else block["clone"], text)
    # Every second part is a block of code.
    parts = _FENCE.split(text)
    parts[::2] = [_LINK.sub(link, part) for part in parts[::2]]
    return re.sub(r"\n{3,}", "\n\n", "".join(parts))


def project_urls(home: str, tag: str) -> dict[str, str]:
    """The project URLs of a package, named as the package index knows them (PEP 753)."""
    if not home:
        return {}
    return {
        "Homepage": home,
        "Documentation": f"{home}/tree/{tag}/docs",
        "Source": home,
        "Issues": f"{home}/issues",
        "Changelog": f"{home}/blob/{tag}/CHANGELOG.md",
    }


def check_home(home: str) -> str:
    """The address as it is used; a ValueError says what is wrong with it."""
    if home and not re.fullmatch(r"https://[^\s/]+(?:/[^\s/]+)+", home):
        raise ValueError(
            f"home = {home!r} in pyproject.toml is no address of a repository: write "
            "https://FORGE/OWNER/NAME without a slash at the end, or leave it empty."
        )
    return home


def tag_of(root: Path) -> str:
    """The git tag of the version in `root`/pushhub/__init__.py."""
    found = _VERSION.search((root / "pushhub" / "__init__.py").read_text(encoding="utf-8"))
    if not found:
        raise ValueError('pushhub/__init__.py has no line `__version__ = "…"`.')
    return f"v{found['version']}"


class IndexMetadataHook(MetadataHookInterface):
    """hatchling's hook for the dynamic fields `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in `readme` and `urls`; hatchling calls it when it builds the metadata."""
        root = Path(self.root)
        home, tag = check_home(self.config.get("home", "")), tag_of(root)
        text = (root / "README.md").read_text(encoding="utf-8")
        published = bool(self.config.get("published", False))
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": index_readme(text, home=home, tag=tag, published=published),
        }
        metadata["urls"] = project_urls(home, tag)
