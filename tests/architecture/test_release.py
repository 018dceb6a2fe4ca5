"""What `scripts/release` builds and refuses; the whole of it takes minutes, and is a command."""

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from checks.release.documents import sums
from checks.release.packages import build, built_of, commit_of, digest
from checks.release.processes import ReleaseError, run
from checks.release.trials import VERSIONS, interpreters

ROOT = Path(__file__).parents[2]
PARTS = ("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml")


def _checkout(place: Path, mode: int) -> Path:
    """A copy of what packages are made of, with other modes, times and left-overs than this one's."""
    shutil.copytree(ROOT / "src", place / "src")
    for part in PARTS:
        shutil.copyfile(ROOT / part, place / part)
    for file in place.rglob("*"):
        if file.is_file():
            file.chmod(mode)
    return place


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    place = tmp_path_factory.mktemp("builds")
    return [
        built_of(_checkout(place / f"{mode:o}", mode), place / f"built-{mode:o}") for mode in (0o600, 0o664)
    ]


def test_packages_are_equal_whatever_the_modes_and_times_of_a_checkout(built: list[list[Path]]) -> None:
    one, other = built
    assert [file.name for file in one] == [file.name for file in other]
    assert [digest(file) for file in one] == [digest(file) for file in other]


def test_a_wheel_has_every_file_of_the_source(built: list[list[Path]]) -> None:
    sources = ROOT / "src"
    wanted = {
        file.relative_to(sources).as_posix()
        for package in ("exai", "exai_emulator")
        for file in (sources / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    (wheel,) = (file for file in built[0] if file.suffix == ".whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == wanted


def test_an_sdist_has_what_it_is_built_from_and_no_more(built: list[list[Path]]) -> None:
    (sdist,) = (file for file in built[0] if file.name.endswith(".tar.gz"))
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames()}
    assert tops - {"PKG-INFO", ".gitignore"} == {*PARTS, "src"}


def _repository(place: Path) -> Path:
    place.mkdir()
    run("git", "init", "--quiet", place)
    (place / "file").write_text("one\n", encoding="utf-8")
    run("git", "add", "file", cwd=place)
    author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    run("git", *author, "commit", "--quiet", "--message", "Begin", cwd=place)
    return place


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@needs_git
def test_what_is_not_committed_is_not_released(tmp_path: Path) -> None:
    repository = _repository(tmp_path / "r")
    assert len(commit_of(repository)) == 40
    (repository / "file").write_text("two\n", encoding="utf-8")
    with pytest.raises(ReleaseError, match=r"of a commit, and these files were changed since:\n M file"):
        commit_of(repository)


@needs_git
def test_a_failed_build_says_what_the_program_said(tmp_path: Path) -> None:
    repository = _repository(tmp_path / "r")
    with pytest.raises(ReleaseError, match="hatchling build"):
        build(repository, commit_of(repository), tmp_path)


def test_a_program_that_is_not_there_is_an_error_of_the_release() -> None:
    with pytest.raises(ReleaseError, match="did not run to its end"):
        run("/nowhere/at-all")


def test_sums_are_read_by_the_tool_that_checks_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    sums([tmp_path / "a"], tmp_path / "SHA256SUMS")
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True)


def test_the_python_that_runs_this_is_found() -> None:
    found = interpreters()
    assert set(found) <= set(VERSIONS)
    assert found
