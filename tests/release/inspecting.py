"""What must hold for the files of a built package, and its bill of materials."""

import json
import re
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

from tests import outside
from tests.release.commands import Failed, run

ROOT = outside.ROOT
TOOLS = ROOT / ".outside" / "release" / "bin"
STATIC = ROOT / "pushhub" / "api" / "static" / "console"
# How many problems of one package a sentence names.
SHOWN = 10
# Of the repository, and not of its sdist: what only the forge or this project's CI reads.
NOT_IN_SDIST = re.compile(r"^(?:\.ci/|\.git(?!ignore$|hub/))")
VALIDATE = """
import pathlib, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = pathlib.Path(sys.argv[1]).read_text()
sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) or "") or 0)
"""
# `[text](target)` whose target is neither an address nor a place in the page.
_RELATIVE = re.compile(r"\]\((?![a-z][a-z0-9+.-]*:|#)[^)\s]+\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def relative_links(readme: str) -> list[str]:
    """The links and pictures of a README that a package index cannot show."""
    return _RELATIVE.findall(_FENCE.sub("", readme))


def wheel(path: Path, version: str) -> None:
    """A wheel has its package, types, licence and metadata, and nothing else."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        [metadata] = (name for name in names if name.endswith(".dist-info/METADATA"))
        about = Parser().parsestr(archive.read(metadata).decode())
    info = metadata.split("/")[0]
    package = info.split("-")[0]
    problems = [name for name in names if name.split("/")[0] not in (package, info)]
    needed = (f"{package}/py.typed", f"{info}/licenses/LICENSE")
    problems += [f"no {name}" for name in needed if name not in names]
    problems += [f"compiled: {name}" for name in names if name.endswith((".pyc", ".pyo"))]
    if package == "pushhub":
        ours = {
            str(file.relative_to(ROOT))
            for file in (ROOT / "pushhub").rglob("*")
            if file.is_file() and "__pycache__" not in file.parts
        }
        problems += [f"no {name}" for name in sorted(ours - set(names))]
    if about["Version"] != version:
        problems.append(f"the version is {about['Version']}, not {version}")
    problems += relative_links(str(about.get_payload()))
    _no(problems, path)


def sdist(path: Path, sources: Path) -> None:
    """The sdist of pushhub has the files of the repository, and no others."""
    with tarfile.open(path) as archive:
        found = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    # The build hook leaves its compiled form behind.
    files = (f for f in sources.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    wanted = {str(file.relative_to(sources)) for file in files}
    wanted = {name for name in wanted if not NOT_IN_SDIST.match(name)} | {"PKG-INFO"}
    problems = [f"no {name}" for name in sorted(wanted - found)]
    _no([*problems, *(f"not ours: {name}" for name in sorted(found - wanted))], path)


def npm_package(path: Path, version: str) -> None:
    """The npm package has what its package.json names, sources for its maps, and a licence."""
    with tarfile.open(path) as archive:
        names = {member.name.removeprefix("package/") for member in archive if member.isfile()}
        package = json.load(_member(archive, "package.json"))
        readme = _member(archive, "README.md").read().decode()
    problems = [] if package["version"] == version else [f"the version is {package['version']}"]
    targets = re.findall(r': "\./([^"]+)"', json.dumps(package["exports"]))
    needed = {*targets, package["unpkg"].removeprefix("./"), "LICENSE"}
    problems += [f"no {name}" for name in sorted(needed - names)]
    folders = ("dist/", "src/")
    allowed = {"LICENSE", "README.md", "package.json"}
    problems += [f"not ours: {n}" for n in sorted(names - allowed) if not n.startswith(folders)]
    _no([*problems, *relative_links(readme)], path)


def bill_of_materials(path: Path, version: str, stage: Path) -> None:
    """Write the SBOM (CycloneDX 1.6): the packages of requirements.txt, with which scripts/run, the
    image and the Debian package run, and what the wheel contains of others.
    """
    project = stage / "bill.toml"
    project.write_text(f'[project]\nname = "pushhub"\nversion = "{version}"\nlicense = "MIT"\n')
    flags = ("--output-reproducible", "--of", "JSON", "--pyproject", project, "-o", path)
    run(TOOLS / "cyclonedx-py", "requirements", *flags, ROOT / "requirements.txt")
    bill = json.loads(path.read_text())
    script = (STATIC / "uPlot.iife.min.js").read_text()
    plots = re.search(r"uPlot \(v([\d.]+)\)", script)
    if not plots:
        raise Failed("uPlot.iife.min.js does not say its version.")
    bill["components"].append(
        {
            "type": "library",
            "bom-ref": "uplot",
            "name": "uplot",
            "version": plots[1],
            "purl": f"pkg:npm/uplot@{plots[1]}",
            "licenses": [{"license": {"id": "MIT"}}],
            "description": "In the console, as pushhub/api/static/console/uPlot.iife.min.js",
        }
    )
    path.write_text(json.dumps(bill, indent=2) + "\n")
    run(TOOLS / "python", "-I", "-c", VALIDATE, path)


def _member(archive: tarfile.TarFile, name: str) -> "tarfile.ExFileObject":
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise Failed(f"The npm package has no {name}.")
    return file  # type: ignore[return-value]


def _no(problems: list[str], path: Path) -> None:
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise Failed(f"{path.name}: {'; '.join(problems[:SHOWN])}{more}.")
