"""The packages of a release: built, inspected, installed, and used."""

import json
import os
import shutil
import sys
import tarfile
from pathlib import Path

from hatch_build import index_readme, project_urls, tag_of
from tests import outside
from tests.release import inspecting
from tests.release.commands import Failed, hub, run, step
from tests.release.readiness import configuration

ROOT = outside.ROOT
CLIENT = ROOT / "clients" / "js"
PYTHON_CLIENT = ROOT / "clients" / "python"
TOOLS = ROOT / ".outside" / "release" / "bin"


class Release:
    """One build of all packages into `folder`; `left_out` says what is missing, and why."""

    def __init__(self, folder: Path, stage: Path) -> None:
        self.folder = folder
        self.stage = stage
        self.left_out: dict[str, str] = {}
        self.tag = tag_of(ROOT)
        self.version = self.tag.removeprefix("v")
        table = configuration(ROOT)
        self.home: str = table["home"]
        self.published: bool = table["published"]
        self.sources = stage / "sources"

    # -- build -----------------------------------------------------------------

    def build(self) -> None:
        """Build each package into its folder; those of an earlier build go."""
        self.build_sdist()
        if (self.sources / "clients" / "python").is_dir():
            step("builds pushhub-client")
            self._build_python(self._staged_python_client())
        else:
            self.left_out["pushhub-client"] = "clients/python is not in this tree"
        if why := outside.provide("client"):
            self.left_out["the npm package"] = why
        else:
            step("builds the npm package")
            self._build_npm()

    def build_sdist(self) -> None:
        """Build pushhub alone: its sdist, and its wheel."""
        for name in ("python", "npm", "sbom"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir(parents=True)
        copy_sources(self.sources)
        if why := outside.provide("release"):
            raise Failed(f"The tools of a release cannot be installed: {why}.")
        step("builds the sdist of pushhub, and the wheel from the sdist")
        self._build_python(self.sources)

    def _build_python(self, project: Path) -> None:
        output = self.folder / "python"
        run(TOOLS / "pyproject-build", "--no-isolation", "--outdir", output, project)

    def _staged_python_client(self) -> Path:
        """The client's folder, with its README as an index shows it and its project URLs."""
        project = self.stage / "pushhub-client"
        shutil.copytree(self.sources / "clients" / "python", project)
        self._for_the_index(project, "clients/python")
        if urls := project_urls(self.home, self.tag):
            lines = "".join(f"{name} = {json.dumps(url)}\n" for name, url in urls.items())
            with (project / "pyproject.toml").open("a") as file:
                file.write(f"\n[project.urls]\n{lines}")
        return project

    def _build_npm(self) -> None:
        """Built where its tools are, packed in a folder without them."""
        project = self.stage / "pushhub-js"
        project.mkdir()
        for name in ("package.json", "README.md"):
            shutil.copy(CLIENT / name, project)
        shutil.copytree(CLIENT / "src", project / "src")
        node = outside.PARTS["node"].find()
        run(node, "build.mjs", project / "dist", cwd=CLIENT)
        self._for_the_index(project, "clients/js")
        shutil.copy(ROOT / "LICENSE", project)
        package = json.loads((project / "package.json").read_text())
        # Neither is for those who install it.
        del package["devDependencies"], package["scripts"], package["size-limit"]
        if self.home:
            # npm accepts a provenance only if it names the repository of the workflow.
            package["homepage"] = self.home
            package["bugs"] = f"{self.home}/issues"
            package["repository"] = {
                "type": "git",
                "url": f"git+{self.home}.git",
                "directory": "clients/js",
            }
        (project / "package.json").write_text(json.dumps(package, indent=2) + "\n")
        output = self.folder / "npm"
        run(outside.PARTS["npm"].find(), "pack", "--pack-destination", output, cwd=project)

    def _for_the_index(self, project: Path, folder: str) -> None:
        readme = project / "README.md"
        text = index_readme(
            readme.read_text(),
            home=self.home,
            tag=self.tag,
            published=self.published,
            folder=folder,
        )
        readme.write_text(text)

    # -- what was built ----------------------------------------------------------

    @property
    def wheel(self) -> Path:
        return self.folder / "python" / f"pushhub-{self.version}-py3-none-any.whl"

    @property
    def sdist(self) -> Path:
        return self.folder / "python" / f"pushhub-{self.version}.tar.gz"

    @property
    def client_wheel(self) -> Path:
        return self.folder / "python" / f"pushhub_client-{self.version}-py3-none-any.whl"

    @property
    def npm_package(self) -> Path:
        return self.folder / "npm" / f"pushhub-{self.version}.tgz"

    def bill_of_materials(self) -> None:
        """The SBOM: what the wheel contains of others, and the locked packages that it needs."""
        step("writes the SBOM")
        inspecting.bill_of_materials(
            self.folder / "sbom" / f"pushhub-{self.version}.cdx.json", self.version, self.stage
        )

    # -- inspect -----------------------------------------------------------------

    def inspect(self) -> None:
        """What others' tools and our own rules say of the packages."""
        step("inspects the Python packages (twine, check-wheel-contents, the files)")
        packages = sorted((self.folder / "python").iterdir())
        run(TOOLS / "twine", "check", "--strict", *packages)
        wheels = [package for package in packages if package.suffix == ".whl"]
        run(TOOLS / "check-wheel-contents", "--no-config", *wheels)
        for wheel in wheels:
            inspecting.wheel(wheel, self.version)
        inspecting.sdist(self.sdist, self.sources)
        if "the npm package" in self.left_out:
            return
        step("inspects the npm package (publint, attw, the files)")
        inspecting.npm_package(self.npm_package, self.version)
        programs = CLIENT / "node_modules" / ".bin"
        environ = os.environ | {"PATH": outside.path(), "NO_COLOR": "1"}
        run(programs / "publint", "--strict", self.npm_package, environ=environ)
        attw = ("--profile", "esm-only", "--exclude-entrypoints", "client.js")
        run(programs / "attw", self.npm_package, *attw, environ=environ)

    # -- install and use ---------------------------------------------------------

    def use(self) -> None:
        """Each package in an environment of its own, against a hub from the wheel."""
        step("installs pushhub into a clean environment, and starts its hub")
        server = self._environment("server", ROOT / "requirements.txt", self.wheel)
        smoke = ROOT / "tests" / "release"
        with hub(server) as address:
            run(server / "bin" / "python", "-I", smoke / "smoke_hub.py", address, self.version)
            if "pushhub-client" not in self.left_out:
                step("installs pushhub-client into a clean environment, and uses the hub")
                client = self._environment("client", smoke / "client.txt", self.client_wheel)
                python = client / "bin" / "python"
                run(python, "-I", smoke / "smoke_client.py", address, self.version)
            if "the npm package" not in self.left_out:
                step("installs the npm package into an empty folder, and uses the hub")
                folder = self.stage / "npm"
                folder.mkdir()
                npm = outside.PARTS["npm"].find()
                flags = ("--offline", "--ignore-scripts", "--no-audit", "--no-fund")
                environ = os.environ | {"PATH": outside.path()}
                run(npm, "install", *flags, self.npm_package, cwd=folder, environ=environ)
                shutil.copy(smoke / "smoke.mjs", folder)
                run(outside.PARTS["node"].find(), "smoke.mjs", address, cwd=folder)

    def _environment(self, name: str, lock: Path, wheel: Path) -> Path:
        """A new environment with the locked packages and a wheel, which lacks nothing."""
        venv = self.stage / name
        run(sys.executable, "-m", "venv", venv)
        run(ROOT / "scripts" / "setup", "packages", venv, lock)
        pip = (venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
        run(*pip, "install", "--no-index", "--no-deps", wheel)
        run(*pip, "check")
        return venv

    def test_sdist(self) -> None:
        """The fast tests of the sdist, on its own modules, with the packages of this checkout."""
        step("runs the fast tests of the unpacked sdist")
        with tarfile.open(self.sdist) as archive:
            archive.extractall(self.stage / "unpacked", filter="data")
        [folder] = (self.stage / "unpacked").iterdir()
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("PYTEST_", "PUSHHUB_"))}
        tests = ("-m", "pytest", "--fast", "-q", "-n", str(os.cpu_count() or 1))
        options = ("--dist", "worksteal", "-o", "faulthandler_timeout=0", "-p", "no:cacheprovider")
        said = run(
            *(sys.executable, *tests, *options),
            cwd=folder,
            environ=kept | {"PYTHONPATH": str(folder)},
        )
        place = run(
            *(sys.executable, "-c", "import pushhub; print(pushhub.__file__)"),
            cwd=folder,
            environ=kept | {"PYTHONPATH": str(folder)},
        )
        if not Path(place.strip()).is_relative_to(folder):
            raise Failed(f"The tests of the sdist ran on the modules of {place.strip()}.")
        print("release:", said.strip().splitlines()[-1], flush=True)


def copy_sources(target: Path) -> None:
    """The files of the repository: those that git tracks, or all of an unpacked sdist."""
    git = shutil.which("git")
    if not git or not (ROOT / ".git").exists():
        ignored = shutil.ignore_patterns(
            ".venv*", ".outside", "node_modules", "__pycache__", ".*_cache"
        )
        shutil.copytree(ROOT, target, ignore=ignored)
        return
    for name in run(git, "ls-files", "-z", cwd=ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
