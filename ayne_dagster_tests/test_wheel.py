"""The wheel alone: what is in it, and that the platform runs from it with no checkout anywhere near."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest

from ayne_dagster_tests.support.processes import LONGEST_RUN
from ayne_dagster_tests.support.serving import eventually, free_port

ROOT = Path(__file__).parent.parent
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
DATA = {
    "py.typed",
    "dagster.yaml",
    "workspace.yaml",
    "dashboard/static/uplot.js",
    "dashboard/static/uplot.LICENSE.txt",
    "dashboard/static/style.css",
    "dashboard/templates/base.html",
}
"""What is no Python and must be there; the rest of the dashboard's files are compared with those in the checkout."""
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the backend that pyproject.toml names, from a copy that has nothing of an earlier build."""
    pytest.importorskip("setuptools", minversion="77", reason="setuptools 77 is not installed (the extra dev has it)")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    leave_out = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "data", "site", "dist", "node_modules")
    shutil.copytree(ROOT, source, ignore=leave_out)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)], cwd=source, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def folder(wheel: Path) -> Path:
    """An environment with the wheel and, by a path file, what it depends on; its working directory is empty."""
    made = wheel.parent / "environment"
    venv.create(made, with_pip=True)
    python = made / "bin/python"
    (packages,) = made.glob("lib/python*/site-packages")
    # Such a line is a path alone: an editable installation there, of this checkout, is not set up by it.
    depends = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "depends.pth").write_text("\n".join(depends))
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall"]
    subprocess.run([*install, "--prefix", str(made), str(wheel)], check=True, timeout=120, cwd=wheel.parent)
    working = wheel.parent / "working"
    working.mkdir()
    return working


def environment(folder: Path) -> dict[str, str]:
    programs = folder.parent / "environment/bin"
    return {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(folder), "AYNE_DATABASE": str(folder / "films.duckdb")}


def run(folder: Path, *words: str) -> str:
    program = folder.parent / "environment/bin" / words[0]
    done = subprocess.run(
        [str(program), *words[1:]],
        cwd=folder, env=environment(folder), capture_output=True, text=True, check=False, timeout=3 * LONGEST_RUN,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def dashboard(folder: Path, port: int) -> Iterator[None]:
    program = folder.parent / "environment/bin/ayne"
    process = subprocess.Popen(
        [str(program), "dashboard", "--port", str(port)],
        cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(LONGEST_RUN)


def got(port: int, path: str) -> str:
    """What is served there; nothing before it is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LONGEST_RUN) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_the_wheel_has_the_package_with_its_data_and_licences_and_nothing_else(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    info = f"ayne_dagster-{VERSION}.dist-info/"
    package = ROOT / "ayne_dagster"
    sources = [*package.rglob("*.py"), *package.glob("dashboard/templates/*"), *package.glob("dashboard/static/*")]
    wanted = {f"ayne_dagster/{file.relative_to(package).as_posix()}" for file in sources}
    wanted |= {f"ayne_dagster/{name}" for name in DATA}
    assert {name for name in names if not name.startswith(info)} == wanted
    assert f"{info}licenses/LICENSE" in names
    assert "ayne = ayne_dagster.cli:main" in ZipFile(wheel).read(f"{info}entry_points.txt").decode()


def test_the_platform_runs_from_the_wheel_alone(folder: Path) -> None:
    home = run(folder, "python", "-c", "import ayne_dagster; print(ayne_dagster.__file__)").strip()
    assert Path(home).is_relative_to(folder.parent / "environment")
    assert run(folder, "ayne", "--version").split()[-1] == VERSION
    assert run(folder, "ayne", "schema", "movies")
    run(folder, "ayne", "demo", "--movies", "20", "--days", "1", "--database", "films.duckdb")
    due = json.loads(run(folder, "ayne", "due", "--as-of", "2100-01-01", "--json"))
    assert due["due"] > 0
    port = free_port()
    with dashboard(folder, port):
        eventually(lambda: "<!doctype html>" in got(port, "/").lower())
        assert "uPlot" in got(port, "/static/uplot.js")
        assert "@media" in got(port, "/static/style.css")


def test_what_is_imported_of_the_platform_cannot_come_from_the_checkout(folder: Path) -> None:
    told = run(folder, "python", "-c", "import sys; print(*sys.path, *sys.meta_path, sep='\\n')").splitlines()
    assert str(ROOT) not in told
    assert not [line for line in told if "editable" in line.lower()]
    assert str(ROOT) not in os.environ.get("PYTHONPATH", "")
