"""What a release says of itself: parts (SBOM), licences, where it comes from (provenance), digests."""

import json
from datetime import datetime
from pathlib import Path

from checks.release.packages import digest
from checks.release.processes import run

__all__ = ["licences", "provenance", "sbom", "sums"]

LOCKS = ("requirements.lock", "requirements-release.lock")
BUILD_TYPE = "urn:exai:scripts/release"


def sbom(root: Path, out: Path, tools: Path) -> Path:
    """Write the parts of the runtime's lock as CycloneDX, equal for an equal lock.

    Raises:
        ReleaseError: `cyclonedx-py` failed, or what it wrote is not valid.
    """
    lock = root / LOCKS[0]
    run(tools / "cyclonedx-py", "requirements", lock, "--pyproject", root / "pyproject.toml",
        "--mc-type", "application", "--output-reproducible", "--validate", "--output-file", out)  # fmt: skip
    return out


def licences(root: Path, python: Path, tools: Path) -> int:
    """Hold the licence of everything installed beside a Python to the list in pyproject.toml.

    Returns: how many packages there are.

    Raises:
        ReleaseError: a package has a licence that the list has not.
    """
    found = run(tools / "pip-licenses", "--python", python, "--format", "json", cwd=root)
    return len(json.loads(found))


def provenance(root: Path, commit: str, packages: list[Path], out: Path) -> Path:
    """Write from what, and how, the packages were built: an in-toto statement with SLSA's predicate, not signed.

    https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance
    """
    committed = datetime.fromisoformat(run("git", "log", "-1", "--format=%cI", commit, cwd=root).strip())
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": file.name, "digest": {"sha256": digest(file)}} for file in packages],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"commit": commit, "committed": committed.isoformat()},
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitCommit": commit}},
                    *({"name": lock, "digest": {"sha256": digest(root / lock)}} for lock in LOCKS),
                ],
            },
            "runDetails": {"builder": {"id": BUILD_TYPE}},
        },
    }
    out.write_text(json.dumps(statement, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return out


def sums(files: list[Path], out: Path) -> Path:
    """Write the digests as `sha256sum --check` reads them."""
    out.write_text("".join(f"{digest(file)}  {file.name}\n" for file in files), encoding="utf-8")
    return out
