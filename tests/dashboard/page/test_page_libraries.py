"""The libraries of the page are the files of their makers, to the byte, each with its licence."""

import hashlib
import json
from importlib import resources
from pathlib import Path

from exai.dashboard import page

VENDOR = Path(str(resources.files(page))) / "vendor"
MANIFEST = json.loads((VENDOR / "manifest.json").read_text(encoding="utf-8"))["files"]


def test_the_manifest_names_every_file_and_its_content() -> None:
    assert {each["file"]: each["sha256"] for each in MANIFEST} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name != "manifest.json" and path.suffix != ".LICENSE"
    }


def test_each_has_its_licence_and_its_version() -> None:
    licences = {"MIT": "MIT License", "Apache-2.0": "Apache License"}
    for each in MANIFEST:
        text = (VENDOR / each["license_file"]).read_text(encoding="utf-8")
        assert licences[each["license"]] in text, each["file"]
        assert all(each[name] for name in ("package", "version", "source")), each["file"]
    assert {each["license_file"] for each in MANIFEST} == {path.name for path in VENDOR.glob("*.LICENSE")}
