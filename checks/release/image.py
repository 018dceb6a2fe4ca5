"""`scripts/image`: build the image of a container, from the lock and from wheels that were fetched before."""

import argparse
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from checks.release.packages import built_of
from checks.release.processes import ReleaseError, run

__all__ = ["DOCKERFILE", "context", "main"]

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "image" / "Dockerfile"
LOCK = ROOT / "requirements.lock"
BUILDERS = ("buildah", "podman", "docker")
OLDEST_GLIBC = 5
NEWEST_GLIBC = 36
"""Of glibc 2: wheels for any of these run on Debian 12 and later."""


def context(place: Path, python: str) -> Path:
    """Put what the build reads into a folder: Dockerfile, lock, the wheels of the lock, and EXAI's.

    Args:
        python: the version of the base's Python, as `3.13`.

    Raises:
        ReleaseError: a wheel could not be built or fetched.
    """
    wheels = place / "wheels"
    wheels.mkdir(parents=True)
    for package in built_of(ROOT, place / "packages"):
        if package.suffix == ".whl":
            shutil.copy(package, wheels)
    shutil.rmtree(place / "packages")
    machine = platform.machine()
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(OLDEST_GLIBC, NEWEST_GLIBC + 1)]
    tags = [f"--platform={name}" for name in (*platforms, f"manylinux2014_{machine}", f"linux_{machine}")]
    run(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary=:all:",
        f"--python-version={python}", *tags, f"--requirement={LOCK}", f"--dest={wheels}")  # fmt: skip
    shutil.copy(LOCK, place)
    shutil.copy(DOCKERFILE, place)
    return place


def builder() -> str:
    """The program that builds images here.

    Raises:
        ReleaseError: there is none.
    """
    found = next((name for name in BUILDERS if shutil.which(name)), None)
    if found is None:
        raise ReleaseError(f"none of {', '.join(BUILDERS)} is installed; on Debian: apt-get install buildah")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Build it; the exit code is 1 where a step failed."""
    parser = argparse.ArgumentParser(prog="scripts/image", description=__doc__)
    parser.add_argument("--tag", default="exai", help="the image's name; exai by default")
    parser.add_argument("--base", help="the image to build on; that of the Dockerfile by default")
    parser.add_argument("--python", default="3.13", help="the version of its Python; 3.13 by default")
    asked = parser.parse_args(arguments)
    try:
        program = builder()
        with tempfile.TemporaryDirectory(prefix="exai-image-") as work:
            place = context(Path(work) / "context", asked.python)
            base = [f"--build-arg=BASE={asked.base}"] if asked.base else []
            # Health checks are no part of the OCI format; equal times make two builds equal.
            equal = ["--format=docker", "--timestamp=0"] if program != "docker" else []
            print(run(program, "build", "--quiet", *equal, *base, f"--tag={asked.tag}", place).strip())
    except ReleaseError as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
