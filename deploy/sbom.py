"""`make sbom`: writes bills of materials (CycloneDX 1.6, JSON) into target/sbom, and checks them against the schema.

One is of the functions, which are one package, and one of the command line. They list the crates that cargo compiles for these
programs, build scripts' included and tests' left out. The same commit has the same bills.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parents[1]
SBOM = ROOT / "target" / "sbom"
# Our packages, and what each is compiled for: Lambda's default architecture, and every system.
PACKAGES = {"intake-functions": "aarch64-unknown-linux-gnu", "intake-cli": "all"}
# A line of `cargo tree --prefix depth`, such as `2http v1.5.0`.
LINE = re.compile(r"(?P<depth>\d+)(?P<name>\S+) v(?P<version>\S+)")

# Name and version, which are unique among the crates that cargo compiles.
Crate = tuple[str, str]


def main() -> int:
    SBOM.mkdir(parents=True, exist_ok=True)
    known = _known()
    valid = [_written(package, _tree(package, target), known) for package, target in PACKAGES.items()]
    return 0 if all(valid) else 1


def _run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def _known() -> dict[Crate, dict[str, Any]]:
    """What the manifests say of each crate, with the checksum of its package."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(each["name"], each["version"]): each.get("checksum") for each in lock}
    packages = json.loads(_run("cargo", "metadata", "--format-version", "1", "--locked"))["packages"]
    crates = {(each["name"], each["version"]): each for each in packages}
    return {crate: each | {"checksum": checksums.get(crate)} for crate, each in crates.items()}


def _tree(package: str, target: str) -> dict[Crate, set[Crate]]:
    """What each crate depends on directly, beginning with the package itself."""
    tree: dict[Crate, set[Crate]] = {}
    above: list[Crate] = []
    command = ["cargo", "tree", "--package", package, "--target", target, "--edges", "normal,build"]
    for line in _run(*command, "--prefix", "depth", "--locked").splitlines():
        found = LINE.match(line)
        assert found, line
        crate = found["name"], found["version"]
        above[int(found["depth"]) :] = [crate]
        tree.setdefault(crate, set())
        if len(above) > 1:
            tree[above[-2]].add(crate)
    return tree


def _written(package: str, tree: dict[Crate, set[Crate]], known: dict[Crate, dict[str, Any]]) -> bool:
    """Writes the bill of a package; whether it is what it says, which is printed."""
    first, *_ = tree
    components = {crate: _component(known[crate], ComponentType.LIBRARY) for crate in tree if crate != first}
    components[first] = _component(known[first], ComponentType.APPLICATION)
    commit, committed = _run("git", "log", "-1", "--format=%H %ct").split()
    bom = Bom(components=[components[crate] for crate in tree if crate != first])
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{package}@{commit}")
    bom.metadata.timestamp = datetime.fromtimestamp(int(committed), UTC)
    bom.metadata.component = components[first]
    for crate, needed in tree.items():
        bom.register_dependency(components[crate], [components[each] for each in sorted(needed)])

    file, text = SBOM / f"{package}.cdx.json", JsonV1Dot6(bom).output_as_string(indent=1)
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        print(f"The bill of {package} is not valid CycloneDX 1.6: {problem.data.message}", file=sys.stderr)
        return False
    file.write_text(text + "\n")
    print(f"{file.relative_to(ROOT)}: {len(components) - 1} crates, valid CycloneDX 1.6")
    return True


def _component(crate: dict[str, Any], kind: ComponentType) -> Component:
    name, version = crate["name"], crate["version"]
    # The way in which crates wrote alternatives before licences were SPDX expressions.
    licence = (crate["license"] or "").replace("/", " OR ")
    is_ours = crate["source"] is None
    identifier = PackageURL("generic" if is_ours else "cargo", None, name, version)
    repository = crate["repository"]
    return Component(
        type=kind,
        name=name,
        version=version,
        bom_ref=identifier.to_string(),
        purl=identifier,
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=crate["checksum"])] if crate["checksum"] else [],
        external_references=[ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(repository))] if repository else [],
    )


if __name__ == "__main__":
    sys.exit(main())
