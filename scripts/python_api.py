"""Writes docs/python-api.md from the public names of pushhub, their signatures and docstrings:
`python -m scripts.python_api > docs/python-api.md`.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pushhub

# The methods and properties that users need, beside the parameters of the constructor.
MEMBERS: dict[str, tuple[str, ...]] = {
    "PushHub": ("lifespan", "open", "close", "publish", "subscribe", "notify", "waits"),
    "Receipt": (),
    "Event": ("cursor", "payload"),
    "Gap": (),
    "Cursor": ("etag",),
    "Problem": ("to_dict",),
    "Settings": (),
}
HEAD = """\
# Python API

The names that `from pushhub import …` has; everything else may change.
[pushhub in a Python application](embedding.md) shows their use.
`python -m scripts.python_api` makes this page from the code.
"""
SETTINGS = """\
Each field is a setting, with the name, default and bounds that [Settings](settings.md) lists:
`Settings(store="memory://", public=["news:*"])`.
"""
SECTION = re.compile(r"^(Args|Raises):\n((?:    .*\n?|\n)+)", re.MULTILINE)
ENTRY = re.compile(r"^    (\S[^:\n]*): ((?:.|\n(?=     ))+)", re.MULTILINE)


def markdown() -> str:
    """The page."""
    return "\n".join([HEAD, *(section(name) for name in MEMBERS)])


def section(name: str) -> str:
    """A public name: what it is, how it is made, and its members."""
    value = getattr(pushhub, name)
    lines = [f"## {name}", ""]
    if name != "Settings":
        lines += [f"`{name}{parameters(value)}`", ""]
    lines += [*described(inspect.getdoc(value) or "")]
    if name == "Settings":
        lines.append(SETTINGS)
    elif "Args:" in (made := inspect.getdoc(value.__init__) or ""):
        lines += described(made.partition("\n\n")[2])
    for member in MEMBERS[name]:
        lines += of_member(name, inspect.getattr_static(value, member))
    return "\n".join(lines)


def of_member(owner: str, member: Any) -> Iterator[str]:
    """A method with its signature, or a property."""
    accessor: Any = member.fget if isinstance(member, property) else member
    function = inspect.unwrap(accessor)
    name = function.__name__
    yield f"### {owner}.{name}"
    yield ""
    if not isinstance(member, property):
        word = "await " if inspect.iscoroutinefunction(function) else ""
        yield f"`{word}{name}{parameters(function)}`"
        yield ""
    yield from described(inspect.getdoc(function) or "")


def parameters(value: Any) -> str:
    """The signature, without `self` and with the annotations as they are written."""
    signature = inspect.signature(value)
    kept = [one for one in signature.parameters.values() if one.name != "self"]
    text = str(signature.replace(parameters=kept))
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text).removesuffix(" -> None")


def described(docstring: str) -> Iterator[str]:
    """A docstring as Markdown: paragraphs, and a list for its arguments and errors."""
    text = re.sub(r"\n(?!\n|    | *\w+:\n)", " ", SECTION.sub("", docstring).strip())
    for paragraph in filter(None, text.split("\n")):
        yield paragraph.strip()
        yield ""
    lists = SECTION.findall(docstring)
    for title, entries in lists:
        for name, meaning in ENTRY.findall(entries):
            meaning = " ".join(meaning.split())
            yield f"- {'raises ' if title == 'Raises' else ''}`{name}`: {meaning}"
    if lists:
        yield ""


if __name__ == "__main__":
    print(markdown(), end="")
