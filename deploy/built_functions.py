"""The functions as `sam build` leaves them, and their digests as Lambda reports them."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from pathlib import Path

from samcli.lib.package.utils import make_zip_with_lambda_permissions
from samcli.yamlhelper import yaml_parse

from problem import Problem


def code_digests(build: Path) -> dict[str, str]:
    """The digest of each function's zip file, by the function's logical id, as Lambda's CodeSha256: in base64.

    The zip file is made as `sam deploy` makes it: from the files in their order, with no time of theirs.
    """
    template = yaml_parse((build / "template.yaml").read_text())
    functions = {
        name: build / resource["Properties"]["CodeUri"]
        for name, resource in template["Resources"].items()
        # One that was not built has none of its own.
        if resource["Type"] == "AWS::Serverless::Function" and "CodeUri" in resource["Properties"]
    }
    return {name: _code_digest(folder) for name, folder in sorted(functions.items()) if (folder / "bootstrap").is_file()}


def _code_digest(folder: Path) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        file = make_zip_with_lambda_permissions(str(Path(temporary) / "code"), str(folder))
        return base64.b64encode(hashlib.sha256(Path(file).read_bytes()).digest()).decode()


def function_of(template: Path, binary: str) -> str:
    """The logical id of the function that runs a binary."""
    functions = {
        resource["Metadata"]["BuildProperties"]["Binary"]: name
        for name, resource in yaml_parse(template.read_text())["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    if binary not in functions:
        raise Problem(f"{binary} is not one of the functions {', '.join(sorted(functions))}.")
    return functions[binary]
