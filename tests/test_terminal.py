"""What the development server shows on a terminal, and what it writes elsewhere."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import subprocess
from pathlib import Path

import pytest
from senders import new_id
from signers import MachnetSigner, machnet_event
from stack.stack import BINARIES
from terminal import OnTerminal, environment, plain, run

TIME = r"\d\d:\d\d:\d\d\.\d{3}"
ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
GREEN, YELLOW, RED, FAINT, END = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with test keys."""
    data = tmp_path_factory.mktemp("data")
    assert run(data, "demo", "--exit", "--listen", "127.0.0.1:0").returncode == 0
    return data


def url(server: OnTerminal) -> str:
    return plain(server.line("Serving on http://")).split()[2].rstrip(",")


def send(data: Path, server: OnTerminal, *arguments: str) -> None:
    run(data, "send", *arguments, "--url", url(server))


def post(server: OnTerminal, path: str, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(url(server).removeprefix("http://"))
    connection.request("POST", path, body, headers)
    return connection.getresponse().status


def test_each_delivery_and_each_refused_request_has_one_coloured_line(keys: Path) -> None:
    with OnTerminal(keys, "serve", "--listen", "127.0.0.1:0") as server:
        for provider in ["accredit", "machnet", "nurturecloud", "sterling"]:
            send(keys, server, provider)
            line = server.line(provider, "stored")
            assert re.match(rf"{re.escape(FAINT)}{TIME}{re.escape(END)}  {provider} ", line), line
            assert line.endswith(f"{GREEN}stored{END}"), line
            assert re.search(r" (<1|\d+) ms ", line), line
        send(keys, server, "machnet", "--tamper")
        refused = server.line("machnet", "409 signature-mismatch")
        assert f"{RED}409 signature-mismatch{END}" in refused, refused
        refused_id = re.search(rf"POST /webhooks/machnet .*explain ({ID})$", plain(refused))
        assert refused_id, refused
        assert run(keys, "explain", refused_id[1]).returncode == 0
        assert post(server, "/webhooks/elsewhere", b"", {}) == 404
        assert re.search(rf"- .* POST /webhooks/elsewhere +404 not-found  explain {ID}$", plain(server.line("404")))
        assert post(server, "/oauth/token", b"", {}) == 400
        assert re.search(rf"sterling .* POST /oauth/token +400 .*explain {ID}$", plain(server.line("400 ")))
        assert server.interrupt() == 0
        lines = [line for line in server.shown.splitlines() if re.match(TIME, plain(line))]
    # A delivery each, a token for Sterling's, and three refused requests.
    assert len(lines) == 4 + 1 + 3, "\n".join(lines)


def test_a_quarantined_delivery_is_shown_with_its_reason_and_everything_as_text(tmp_path: Path) -> None:
    signer = MachnetSigner(secrets.token_hex(32))
    assert run(tmp_path, "demo", "--exit", "--listen", "127.0.0.1:0").returncode == 0
    (tmp_path / "keys/machnet.json").write_text(json.dumps({"keys": [signer.key()]}))
    hostile = machnet_event(new_id(), new_id(), event_name="\x1b]0;owned\x07\u202e")
    with OnTerminal(tmp_path, "serve", "--listen", "127.0.0.1:0") as server:
        for body in [b"{}", hostile]:
            assert post(server, "/webhooks/machnet", body, signer.headers(body)) == 200
        quarantined, stored = server.line("machnet", "quarantined: "), server.line("machnet", "stored")
        assert server.interrupt() == 0
        shown = server.shown
    assert f'{YELLOW}quarantined{END}: the member "id" is missing' in quarantined
    assert re.search(rf"  deliveries show {ID}$", plain(quarantined)), quarantined
    assert r"\u{1b}]0;owned\u{7}\u{202e}" in stored
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", plain(shown)), repr(plain(shown))


def test_a_conflict_is_shown_with_the_delivery_that_came_first(keys: Path) -> None:
    signer = MachnetSigner(json.loads((keys / "keys/machnet.json").read_text())["keys"][0]["secret"])
    event_id, resource = new_id(), new_id()
    with OnTerminal(keys, "serve", "--listen", "127.0.0.1:0") as server:
        for name in ["transaction_completed", "transaction_failed"]:
            body = machnet_event(event_id, resource, event_name=name)
            assert post(server, "/webhooks/machnet", body, signer.headers(body)) == 200
        conflict = server.line("machnet", "conflict")
        assert server.interrupt() == 0
    assert re.search(rf"conflict: other content than in {ID}  deliveries show {ID}$", plain(conflict)), conflict


@pytest.mark.parametrize("settings", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colours_the_lines_are_the_same(keys: Path, settings: dict[str, str]) -> None:
    with OnTerminal(keys, "serve", "--listen", "127.0.0.1:0", **settings) as server:
        send(keys, server, "machnet")
        assert server.line("machnet", "stored")
        assert server.interrupt() == 0
        assert "\x1b" not in server.shown


def test_a_terminal_can_have_json_lines_too(keys: Path) -> None:
    with OnTerminal(keys, "serve", "--json", "--listen", "127.0.0.1:0") as server:
        send(keys, server, "machnet")
        assert json.loads(server.line("record processed"))["outcomes"] == "0=stored"


def test_a_pipe_gets_json_lines(keys: Path) -> None:
    command = [BINARIES / "webhook-intake", "serve", "--listen", "127.0.0.1:0", "--data-directory", keys]
    # Not even a wish for colours changes that.
    server = subprocess.Popen(
        command, env=environment({"CLICOLOR_FORCE": "1"}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout and server.stderr
        address = plain(server.stdout.readline()).split()[2]
        run(keys, "send", "machnet", "--tamper", "--url", address)
        # What an earlier server has left on the queue may be processed meanwhile.
        read = iter(lambda: json.loads(server.stderr.readline()), None)
        delivery = next(line for line in read if line["message"] == "delivery")
        refused = next(line for line in read if line["message"] == "request refused")
    finally:
        server.kill()
        server.communicate()
    assert delivery["reason"] == "signature-mismatch"
    assert refused["delivery_id"] == delivery["delivery_id"]


def test_the_demo_goes_on_with_lines_below_its_table(tmp_path: Path) -> None:
    with OnTerminal(tmp_path, "demo", "--listen", "127.0.0.1:0") as demo:
        demo.line("sterling", "POST", "/oauth/token", "ready, for one client")
        send(tmp_path, demo, "accredit")
        demo.line("accredit", "ms", "stored")
        demo.line("accredit", "ms", "forwarded")
        assert demo.interrupt() == 0
        lines = [line for line in demo.shown.splitlines() if re.match(TIME, plain(line))]
    assert len(lines) == 2, "\n".join(lines)


def test_each_problem_with_a_key_is_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/machnet.json").write_text(
        json.dumps({"keys": [MachnetSigner(secrets.token_hex(32)).key(), {"account": "b", "secret": "hunter2"}]})
    )
    (tmp_path / "keys/accredit.json").write_text("{")
    with OnTerminal(tmp_path, "serve", "--listen", "127.0.0.1:0", columns=200) as server:
        server.line("sterling", "/oauth/token", "no client yet, so no token is issued")
        shown = server.shown
    for expected in [
        f"{YELLOW}ready{END}",
        f"{YELLOW}key 2 of the secret is not used: ",
        "accredit.json cannot be used, so nothing verifies",
        "the secret is not JSON of the form",
        "keys add nowcerts` adds one",
    ]:
        assert expected in shown, shown
    assert "hunter2" not in shown


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_tables_and_help_fit_the_terminal_and_no_id_is_cut(keys: Path, columns: int) -> None:
    ids = [json.loads(line)["delivery_id"] for line in run(keys, "deliveries", "--json", "--limit", "3").stdout.splitlines()]
    for arguments in [["deliveries", "--limit", "3"], ["refused"], ["send", "--help"]]:
        with OnTerminal(keys, *arguments, columns=columns) as command:
            assert command.ended() == 0
            # The hint below a table repeats the call, which is as long as it is.
            lines = [line for line in command.shown.splitlines() if "explain <ID>" not in line]
            assert max(map(len, lines)) <= columns, command.shown
            if arguments[0] == "deliveries":
                assert all(delivery_id in command.shown for delivery_id in ids), command.shown


def test_a_pipe_gets_tables_as_wide_as_columns_says(keys: Path) -> None:
    wide, narrow = (run(keys, "deliveries", COLUMNS=columns).stdout for columns in ["200", "80"])
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, wide.splitlines()))


def test_bash_completes_commands_options_and_their_values(keys: Path, tmp_path: Path) -> None:
    script = tmp_path / "completions"
    script.write_text(run(keys, "completions", "bash").stdout)
    [function] = set(re.findall(r"complete -F (\w+)", script.read_text()))
    for line, expected in {
        "webhook-intake deliv": ["deliveries"],
        "webhook-intake deliveries --provider mach": ["machnet"],
        "webhook-intake send --wa": ["--wait"],
    }.items():
        words = line.split()
        ask = f"""source {script}
            COMP_WORDS=({line}) COMP_CWORD={len(words) - 1}
            {function} webhook-intake {words[-1]} {words[-2]}
            printf '%s\\n' "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "--norc", "-c", ask], capture_output=True, text=True, timeout=60)
        assert done.stdout.split() == expected, done
