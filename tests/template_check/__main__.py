"""Prints every problem of template.yaml, and ends with 1 if there is one."""

from __future__ import annotations

import argparse
import json
import logging
import sys

from stack import template as sam

from . import replacement
from .check import accept, check
from .parameter_sets import EVERYTHING
from .resolve import Resolved


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m template_check", description=__doc__)
    parser.add_argument(
        "--accept",
        action="store_true",
        help=f"take the resources that hold data as they are now into {replacement.SNAPSHOT.name}",
    )
    arguments = parser.parse_args()
    # It would say of each translation that nobody collects its metrics.
    logging.getLogger("samtranslator.metrics.metrics").setLevel(logging.ERROR)
    template = sam.original()
    if arguments.accept:
        accept(template)
    report = check(template)
    for finding in report.findings:
        some = ", ".join(finding.labels[:3]) + (" …" if len(finding.labels) > 3 else "")
        print(finding.problem, f"[{some}]" if finding.labels else "")
    lines = len(sam.TEMPLATE.read_text().splitlines())
    if EVERYTHING in report.sets:
        print(f"template.yaml: {lines:,} lines; {size(report.sets[EVERYTHING])}")
    print(f"{len(report.findings)} problems, by {report.rules} rules under {len(report.sets)} sets of parameters")
    return 1 if report.findings else 0


def size(resolved: Resolved) -> str:
    """What there is at most."""
    alarms = resolved.of_type("AWS::CloudWatch::Alarm").values()
    metrics = sum(sum("MetricStat" in query for query in alarm.get("Metrics", [{"MetricStat": {}}])) for alarm in alarms)
    dashboards = [json.dumps(each) for each in resolved.of_type("AWS::CloudWatch::Dashboard").values()]
    return (
        f"{len(resolved.resources)} resources, {len(resolved.parameters)} parameters, {len(resolved.outputs)} outputs, "
        f"{len(alarms)} alarms on {metrics} metrics, {len(dashboards)} dashboards of {sum(map(len, dashboards)):,} characters"
    )


if __name__ == "__main__":
    sys.exit(main())
