# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the server for corrections: none gets an answer, and none changes a file."""

import json
import re
import socket
import time
from pathlib import Path

import pytest
from helpers.correcting import client_of, make_run, serving
from helpers.simulated import modified

from scipion_pupick.engine.reporting.correcting import server as server_module
from scipion_pupick.engine.reporting.correcting.access import LIFE_HEADER, TOKEN_HEADER, Gate
from scipion_pupick.engine.reporting.correcting.edits import MOST_EDITS
from scipion_pupick.engine.reporting.correcting.server import MOST_BODY_BYTES

SCRIPT = "x</script><script>alert(1)</script>.mrc"
ROUTES = (
    ("GET", "/run"),
    ("GET", "/tables"),
    ("GET", "/suggestions"),
    ("GET", "/changes?since=0"),
    ("GET", "/micrographs/0"),
    ("GET", "/micrographs/0/picture?smoothing=0"),
    ("POST", "/micrographs/0"),
    ("GET", "/training"),
    ("POST", "/training"),
)
EDIT = json.dumps(
    {"micrograph": SCRIPT, "edits": [["n-1", 1000, 1000, "", "added"]], "done": True}
).encode()
OTHER_HOSTS = (
    "evil.example",
    "evil.example:8417",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.localhost",
    "127.0.0.1@evil.example",
    "0.0.0.0",
    "192.168.0.1:8417",
    "localhost:8417/evil.example",
    "localhost:123456",
    "",
    None,
    ["127.0.0.1", "evil.example"],
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server; whatever has been tried on it, nothing may have been written."""
    folder = tmp_path_factory.mktemp("attacked")
    run = make_run(folder, (SCRIPT, "b.mrc"))
    (folder / "secret.txt").write_text("secret")
    before = modified(folder)
    with serving(run) as server:
        assert client_of(server).get("/run")[0] == 200
        yield server
        assert client_of(server).get("/run")[0] == 200
    assert modified(folder) == before


@pytest.fixture
def client(served):
    return client_of(served)


def body_of(method):
    return EDIT if method == "POST" else None


@pytest.mark.parametrize("token", [None, "", "guess", ["guess", "guess"], "ü".encode("latin-1")])
def test_without_the_token_nothing_of_the_run_is_told_or_changed(client, token):
    for method, path in ROUTES:
        status, _, content = client.ask(method, path, body_of(method), {TOKEN_HEADER: token})
        assert status == 401
        assert set(json.loads(content)) == {"error"}
        assert SCRIPT.encode() not in content


def test_the_token_is_good_nowhere_but_in_its_header(client):
    elsewhere = [
        ("/run?token=" + client.token, {}),
        ("/run", {"Cookie": f"token={client.token}"}),
        ("/run", {"Authorization": f"Bearer {client.token}"}),
    ]
    for path, headers in elsewhere:
        assert client.ask("GET", path, None, {TOKEN_HEADER: None, **headers})[0] == 401


def test_a_token_cannot_be_guessed():
    tokens = {Gate().token for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43
    assert not any(token in repr(Gate(token)) for token in tokens)


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_a_name_that_was_made_to_lead_here_is_refused(client, host):
    """DNS rebinding: the browser believes to speak with the attacker's site, and says so."""
    for method, path in (("GET", "/"), *ROUTES):
        status, _, content = client.ask(method, path, body_of(method), {"Host": host})
        assert status == 403
        assert b"script" not in content


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:65535", "LOCALHOST:9000"])
def test_a_tunnel_may_end_at_any_port(client, host):
    assert client.ask("GET", "/", None, {"Host": host})[0] == 200
    origin = f"http://{host.lower()}"
    assert client.ask("GET", "/run", None, {"Host": host, "Origin": origin})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}.evil.example"},
        {"Origin": ["http://127.0.0.1:{port}", "http://evil.example"]},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ["same-origin", "cross-site"]},
    ],
)
def test_other_pages_are_refused_even_if_they_knew_the_token(client, headers):
    """CSRF: also from another port of this computer, where others may serve pages."""
    values = {name: [v] if isinstance(v, str) else v for name, v in headers.items()}
    port = str(client.port)
    filled = {
        name: [v.replace("{port}", port) for v in several] for name, several in values.items()
    }
    for method, path in ROUTES:
        assert client.ask(method, path, body_of(method), filled)[0] == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None, ""]
)
def test_what_a_form_of_another_site_can_send_is_not_read(client, kind):
    for path in ("/micrographs/0", "/training"):
        assert client.ask("POST", path, EDIT, {"Content-Type": kind})[0] == 415


def test_no_other_page_is_allowed_to_read(client):
    for method in ("OPTIONS", "GET"):
        headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        _, found, _ = client.ask(method, "/run", None, headers)
        assert not [name for name in found if name.lower().startswith("access-control")]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "HEAD", "X"])
def test_other_methods_are_not_known(client, method):
    status, found, _ = client.ask(method, "/run")
    assert status == 501
    assert found["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/micrographs/../../secret.txt",
        "/micrographs/..%2f..%2fsecret.txt/picture?smoothing=0",
        "/micrographs/0/../../secret.txt",
        "/micrographs/0/picture?smoothing=/etc/passwd",
        "/micrographs//etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/corrections.json",
        "/pick.json",
        "/corrected/open.html",
        "http://127.0.0.1/run",
        "file:///etc/passwd",
        "/micrographs/-1",
        "/micrographs/+0",
        "/micrographs/0x0",
        "/micrographs/1e0",
        "/micrographs/0%00",
        "/micrographs/0/",
        "/run/",
        "/RUN",
        "/micrographs/12345678",
        "/changes?since=-1",
        "/changes?since=0&since=1",
        "/micrographs/0/picture?smoothing=0&path=/etc/passwd",
    ],
)
def test_no_path_leads_to_a_file(client, path):
    status, _, content = client.ask("GET", path)
    assert status == 404
    assert b"secret" not in content
    assert b"root:" not in content
    assert client.ask("POST", path, EDIT)[0] == 404


def test_numbers_of_no_micrograph_are_refused(client):
    for path in ("/micrographs/2", "/micrographs/9999999", "/micrographs/2/picture?smoothing=0"):
        assert client.ask("GET", path)[0] == 422
    assert client.ask("POST", "/micrographs/2", EDIT)[0] == 422
    assert client.ask("GET", "/micrographs/0/picture?smoothing=9")[0] == 422


BAD_EDITS = (
    {},
    {"edits": None, "done": None},
    {"edits": {"0": ["n", 1, 1, "", "added"]}},
    {"edits": [["n", 1, 1, "", "added"]] * (MOST_EDITS + 1)},
    {"edits": [], "done": 1},
    {"edits": [], "done": "yes"},
    {"edits": [], "done": True, "shown": 1},
    {"edits": [], "done": True, "shown": ["x"]},
    {"edits": [], "done": True, "shown": "x" * 65},
    *(
        {"edits": [row], "done": None}
        for row in (
            "n",
            {},
            [],
            ["n", 1, 1, ""],
            ["n", 1, 1, "", "added", 1],
            ["", 1, 1, "", "added"],
            ["a b", 1, 1, "", "added"],
            ["n" * 65, 1, 1, "", "added"],
            [1, 1, 1, "", "added"],
            ["n", 1.5, 1, "", "added"],
            ["n", True, 1, "", "added"],
            ["n", "1", 1, "", "added"],
            ["n", 10**30, 1, "", "added"],
            ["n", None, 1, "", "added"],
            ["n", float("nan"), 1, "", "added"],
            ["n", float("inf"), 1, "", "added"],
            ["n", 1, 1, "", "<script>"],
            ["n", 1, 1, "done", ""],
            ["n", 1, 1, None, "added"],
            ["n", 1, 1, "", ["added"]],
            ["n", 1, 1, "", {}],
        )
    ),
)


@pytest.mark.parametrize("value", BAD_EDITS, ids=range(len(BAD_EDITS)))
def test_edits_that_are_none_are_refused(client, value):
    status, answer = client.post("/micrographs/0", {"micrograph": SCRIPT, **value})
    assert status == 422
    assert len(answer["error"]) < 200


def test_edits_of_another_micrograph_are_refused(client):
    for name in ("b.mrc", "../b.mrc", "", None, 0, ["b.mrc"], {}):
        status, _ = client.post("/micrographs/0", {"micrograph": name, "edits": [], "done": True})
        assert status == 409


@pytest.mark.parametrize("life", [None, "", "0" * 32, "own, own", ["own", "own"]])
def test_a_page_of_another_run_changes_nothing(client, life):
    own = client.get("/run")[1]["life"]
    given = [each.replace("own", own) for each in life] if isinstance(life, list) else life
    for method, path in ROUTES:
        status, _, content = client.ask(method, path, body_of(method), {LIFE_HEADER: given})
        may = method == "GET" and (life is None or path.startswith(("/run", "/changes")))
        assert status == (200 if may else 409)
        assert may or set(json.loads(content)) == {"error"}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000],
    ids=range(8),
)
def test_a_body_that_is_no_object_is_refused(client, body):
    for path in ("/micrographs/0", "/training"):
        assert client.ask("POST", path, body)[0] == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": None}, 411),
        ({"Content-Length": ["3", "3"]}, 411),
        ({"Content-Length": "4", "Transfer-Encoding": "chunked"}, 411),
        ({"Content-Length": "-1"}, 400),
        ({"Content-Length": "0x10"}, 400),
        ({"Content-Length": "٣"}, 400),
        ({"Content-Length": str(MOST_BODY_BYTES + 1)}, 413),
        ({"Content-Length": "9" * 15}, 413),
        ({"Content-Length": "9" * 5000}, 400),
    ],
    ids=range(9),
)
def test_a_body_of_no_proper_length_is_not_read(client, headers, status):
    encoded = {k: v.encode("utf-8") if isinstance(v, str) else v for k, v in headers.items()}
    assert client.ask("POST", "/micrographs/0", b"", encoded)[0] == status


def raw(port, content, patience=10.0):
    """What a server answers to bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), patience) as connection:
        connection.sendall(content)
        pieces = []
        try:
            while piece := connection.recv(65536):
                pieces.append(piece)
        except ConnectionResetError:
            pass
        return b"".join(pieces)


def test_what_is_no_http_is_answered_with_an_error_or_not_at_all(client):
    handshake = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"
    for content in (handshake, b"GET\r\n\r\n", b"\r\n" * 50):
        answer = raw(client.port, content + b"\r\n", 20)
        assert SCRIPT.encode() not in answer
        assert b" 200 " not in answer[:20]


def test_headers_without_end_are_refused(client):
    many = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: 1\r\n" * 200 + b"\r\n"
    assert b" 431 " in raw(client.port, many)[:20]
    long = b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    assert b" 414 " in raw(client.port, long)[:20]


def test_an_answer_tells_the_browser_to_run_the_page_alone(client):
    status, headers, content = client.ask("GET", "/")
    policy, html = headers["Content-Security-Policy"], content.decode()
    assert status == 200
    nonce = re.search(r"script-src 'nonce-([\w-]{24})'", policy)[1]
    assert "unsafe" not in policy
    assert "*" not in policy
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert rule in policy
    assert html.count(f'nonce="{nonce}"') == len(re.findall(r"<style|<script(?! type)", html)) == 2
    assert not re.search(r"\son\w+=|\sstyle=|javascript:|https?://(?!www\.w3\.org)", html)
    again = client.ask("GET", "/")[1]["Content-Security-Policy"]
    assert nonce not in again
    for path in ("/run", "/nothing", "/"):
        found = client.ask("GET", path)[1]
        assert found["X-Content-Type-Options"] == "nosniff"
        assert found["X-Frame-Options"] == "DENY"
        assert found["Cache-Control"] == "no-store"
        assert found["Referrer-Policy"] == "no-referrer"
        assert found["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Python" not in found["Server"]


def test_the_page_itself_knows_neither_token_nor_run(client):
    page = client.ask("GET", "/", None, {TOKEN_HEADER: None})[2].decode()
    assert client.token not in page
    assert "alert(1)" not in page
    assert ".mrc" not in page


def test_scripts_in_names_are_text_of_json(client):
    status, headers, content = client.ask("GET", "/run")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert json.loads(content)["names"] == [SCRIPT, "b.mrc"]


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.4)
    monkeypatch.setattr(server_module._Handler, "timeout", 0.4)


@pytest.mark.usefixtures("hasty")
def test_requests_that_never_end_are_cut_off(client):
    """Slow ones too, that send a little now and then."""
    start = b"POST /micrographs/0 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    lengthy = start + f"{TOKEN_HEADER}: {client.token}\r\n".encode()
    lengthy += b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    for content in (b"", b"GET", start, lengthy):
        assert b" 200 " not in raw(client.port, content, 20)[:20]
    with socket.create_connection(("127.0.0.1", client.port), 20) as slow:
        assert is_cut_off(slow, start + b"X: " + b"x" * 1000)


def is_cut_off(connection, content):
    """Whether a server breaks a connection that sends a byte now and then."""
    try:
        for i in range(len(content)):
            connection.sendall(content[i : i + 1])
            time.sleep(0.05)
    except OSError:
        return True
    return False


@pytest.mark.usefixtures("hasty")
def test_too_many_connections_are_refused_and_do_not_stay(client):
    many = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(80)]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            assert client.get("/run")[0] == 200
            break
        except OSError:
            time.sleep(0.1)
    else:
        pytest.fail("the server does not answer any more")
    for connection in many:
        connection.close()


def test_the_address_is_of_this_computer_alone(served):
    assert served.server_address[0] == "127.0.0.1"
    assert served.address.startswith(f"http://127.0.0.1:{served.server_port}/#token=")


def test_two_servers_do_not_share_a_port(served, tmp_path):
    with pytest.raises(OSError, match="in use"), serving(make_run(tmp_path), served.server_port):
        pass


def test_everything_written_lies_in_the_run(tmp_path):
    run = make_run(tmp_path, ("../../outside.mrc", "/tmp/absolute.mrc"))
    before = set(modified(tmp_path))
    with serving(run) as server:
        client = client_of(server)
        for number in (0, 1):
            assert client.edit(number, (500, 500, "", "added"), done=True)[0] == 200
        assert client.post("/training", {"action": "start"})[0] == 200
        assert client.post("/training", {"action": "stop"})[0] == 200
    new = set(modified(tmp_path)) - before
    assert new == {"run/corrections.json", "run/corrected/training-1/output.log"}
    assert not Path("/tmp/absolute.mrc").exists()
