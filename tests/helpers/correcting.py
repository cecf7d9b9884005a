"""A picking run that nobody has picked, a server for its corrections, and requests to that."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from contextlib import contextmanager

import numpy as np

from scipion_pupick.engine import Coordinates, Micrograph, MicrographPeaks, PickRun, write_image
from scipion_pupick.engine.picking.peaks_file import save_peaks
from scipion_pupick.engine.reporting.correcting.access import LIFE_HEADER, TOKEN_HEADER, Gate
from scipion_pupick.engine.reporting.correcting.desk import Desk
from scipion_pupick.engine.reporting.correcting.requests import CorrectionPage
from scipion_pupick.engine.reporting.correcting.server import listen
from scipion_pupick.engine.reporting.correcting.training import Training
from scipion_pupick.engine.runs.lists import write_micrographs

SIDE = 256
PIXEL_SIZE = 2.0
DIAMETER = 40.0
THRESHOLD = 0.5
# prints lines, and then waits to be stopped
LONG_PROGRAM = (
    "import sys, time\n"
    "for i in range(600):\n"
    "    print('epoch', i, '<img src=x>', flush=True)\n"
    "    time.sleep(0.1)\n"
)


def grid_of_peaks(seed=0):
    """49 peaks, 32 px apart, whose scores fall from 4 to -4 but for the noise that names them."""
    x, y = np.meshgrid(np.arange(32, 256, 32), np.arange(32, 256, 32))
    shift = np.random.default_rng(seed).uniform(-1, 1, (2, 49))
    return Coordinates(x.ravel() + shift[0], y.ravel() + shift[1], np.linspace(4, -4, 49))


def make_run(folder, names=("a.mrc", "b.mrc", "c.mrc")):
    """Write a run of picking on micrographs of noise, and return its folder."""
    micrographs = [Micrograph(folder / "mics" / f"{i}.mrc", n) for i, n in enumerate(names)]
    run = PickRun(folder / "run")
    run.folder.mkdir(parents=True)
    (folder / "mics").mkdir()
    for seed, micrograph in enumerate(micrographs):
        image = np.random.default_rng(seed).normal(size=(SIDE, SIDE)).astype(np.float32)
        write_image(micrograph.path, image, PIXEL_SIZE)
        peaks = MicrographPeaks(grid_of_peaks(seed), (SIDE, SIDE), PIXEL_SIZE, "")
        save_peaks(peaks, run.peaks_path(micrograph.name))
    write_micrographs(micrographs, run.folder)
    run.write_record({"threshold": THRESHOLD, "diameter": DIAMETER, "edge": 0, "seconds": 1})
    return run.folder


@contextmanager
def serving(run, port=0, gate=None, train=None):
    """Serve a run within this process; the server knows its `gate` and its `desk`."""
    gate, desk = gate or Gate(), Desk(run)
    command = train or (lambda folder: [sys.executable, "-c", LONG_PROGRAM])
    training = Training(run, command, lambda model: f"pick with {model}")
    with listen((port,), gate, CorrectionPage(gate, desk, training)) as server:
        server.desk = desk
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            training.stop()
            server.shutdown()
            thread.join()


class Client:
    """What a page does, or what somebody does who wants to do harm."""

    def __init__(self, port, token):
        self.port, self.token, self.count, self.names = port, token, 0, []
        self.life = None

    def ask(self, method, path, body=None, headers=None):
        """Status, headers and content of an answer; headers of None are left out."""
        wanted = {"Host": f"127.0.0.1:{self.port}", TOKEN_HEADER: self.token}
        if body is not None:
            wanted.update({"Content-Type": "application/json", "Content-Length": str(len(body))})
        if method == "POST":
            self.life = self.life or self.get("/run")[1]["life"]
            wanted[LIFE_HEADER] = self.life
        wanted.update(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in wanted.items():
            for each in [] if value is None else value if isinstance(value, list) else [value]:
                connection.putheader(name, each)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    def get(self, path, **headers):
        status, _, content = self.ask("GET", path, headers=headers)
        return status, json.loads(content)

    def post(self, path, value, **headers):
        status, _, content = self.ask("POST", path, json.dumps(value).encode(), headers)
        return status, json.loads(content)

    def edit(self, number, *edits, done=None):
        """Edits as (x, y, before, after), each with a name of its own."""
        rows = []
        for edit in edits:
            self.count += 1
            rows.append([f"{id(self):x}-{self.count}", *edit])
        return self.send(number, rows, done)

    def send(self, number, rows, done=None):
        """Edits as a page sends them."""
        if number >= len(self.names):
            self.names = self.get("/run")[1]["names"]
        value = {"micrograph": self.names[number], "edits": rows, "done": done}
        if done:
            value["shown"] = self.get(f"/micrographs/{number}")[1]["shown"]
        return self.post(f"/micrographs/{number}", value)


def client_of(server):
    """A page that was opened with the server's address."""
    return Client(server.server_port, server.gate.token)
