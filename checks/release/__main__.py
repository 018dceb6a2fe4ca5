"""`scripts/release`: build, check, try, and write what is released of the commit that is checked out."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from checks.release.documents import licences, provenance, sbom, sums
from checks.release.packages import build, checked, commit_of
from checks.release.processes import ReleaseError
from checks.release.trials import environment_of, trials

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent


def main(arguments: list[str] | None = None) -> int:
    """Release into a folder; the exit code is 1 where a step failed."""
    parser = argparse.ArgumentParser(prog="scripts/release", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist", help="the folder to write to; dist by default"
    )
    out = parser.parse_args(arguments).out.resolve()
    try:
        with tempfile.TemporaryDirectory(prefix="exai-release-") as work:
            return release(out, Path(work))
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1


def release(out: Path, work: Path) -> int:
    """Do every step, and say each; the exit code.

    Raises:
        ReleaseError: a step failed that the others stand on.
    """
    commit = commit_of(ROOT)
    if out.exists() and any(out.iterdir()):
        raise ReleaseError(f"{out} is not empty; name another folder with --out, or empty it")
    built = build(ROOT, commit, work)
    print(f"built   {', '.join(file.name for file in built)}: equal bytes from two clones of {commit[:12]}")
    checked(ROOT, built, TOOLS)
    print("checked twine, check-wheel-contents, pyroma")
    (wheel,) = (file for file in built if file.suffix == ".whl")
    failed = False
    for trial in trials(wheel, TOOLS, work):
        failed = failed or trial.failed
        print(f"tried   {trial.way}: {trial.outcome}", flush=True)
    if failed:
        raise ReleaseError("a way of installing it fails, so nothing was written")
    python = environment_of(Path(sys.executable), work) / "bin" / "python"
    print(f"allowed the licences of {licences(ROOT, python, TOOLS)} packages")
    write(built, commit, out)
    return 0


def write(built: list[Path], commit: str, out: Path) -> None:
    """Put the packages and what is said of them into a folder.

    Raises:
        ReleaseError: a document could not be made.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = [Path(shutil.move(file, out)) for file in built]
    name = next(file.name for file in files if file.name.endswith(".tar.gz")).removesuffix(".tar.gz")
    files.append(sbom(ROOT, out / f"{name}.cdx.json", TOOLS))
    files.append(provenance(ROOT, commit, files[:2], out / f"{name}.intoto.json"))
    sums(files, out / "SHA256SUMS")
    print(f"wrote   {out}: nothing was published")


if __name__ == "__main__":
    sys.exit(main())
