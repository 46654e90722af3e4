"""`quarantine` on a data directory, with what `demo` leaves in it."""

from __future__ import annotations

import json
from pathlib import Path

from terminal import run


def test_a_listing_that_is_cut_off_says_so_and_an_id_given_twice_counts_once(tmp_path: Path) -> None:
    assert run(tmp_path, "demo", "--exit", "--listen", "127.0.0.1:0").returncode == 0
    listed = run(tmp_path, "quarantine", "--json").stdout.splitlines()
    assert len(listed) > 2

    assert "The latest 2; --limit shows more." in run(tmp_path, "quarantine", "--limit", "2").stdout
    assert "--limit shows more" not in run(tmp_path, "quarantine").stdout
    delivery_id = json.loads(listed[0])["delivery_id"]
    release = run(tmp_path, "quarantine", "release", delivery_id, delivery_id, "--anyway", "--dry-run")
    assert release.stdout.endswith("1 would be released.\n"), release
