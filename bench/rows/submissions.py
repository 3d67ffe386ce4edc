"""Durable submissions per second: over one connection, and of many clients."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import ostler
from bench.bench import Bench, Contender
from bench.load import frames, pour
from bench.machine import Machine
from bench.record import Sample

RATE = "jobs/s"


def one_connection(bench: Bench) -> None:
    """Submit to a machine whose CPUs are taken: all jobs are planned for, and wait."""
    row, count = "submissions", bench.sizes.submissions
    bench.interleave(
        row,
        [
            Contender("on the wire, pipelined", lambda: _wire(bench, count, count)),
            Contender("on the wire, one by one", lambda: _wire(bench, count // 10, 1)),
            Contender("client, submit_many", lambda: _client(bench, count)),
            Contender("a file, one by one", lambda: _syncs(bench, count // 10)),
        ],
    )
    bench.record.count(row, "on the wire, pipelined", RATE, less=False, aim=5_000)
    bench.record.count(row, "client, submit_many", RATE, less=False, aim=5_000)
    bench.record.count(row, "on the wire, pipelined", "manager µs")
    for other in ("on the wire, one by one", "client, submit_many"):
        bench.record.ratio(row, RATE, (other, "on the wire, pipelined"))
    bench.record.ratio(row, RATE, ("on the wire, one by one", "a file, one by one"))


def many_clients(bench: Bench) -> None:
    """Each client is a process and waits for the answer before it submits again."""
    row, numbers = "clients", bench.sizes.clients
    bench.interleave(row, [Contender(_clients(n), partial(_crowd, bench, n)) for n in numbers])
    for number in numbers[1:]:
        bench.record.ratio(row, RATE, (_clients(number), _clients(numbers[0])))


def _clients(number: int) -> str:
    return "1 client" if number == 1 else f"{number} clients"


def busy(machine: Machine) -> None:
    """Take all CPUs of a machine for as long as it is up."""
    cpus = machine.json("status")["machine"]["cpus"]
    machine.submit("-c", str(cpus), "-o", "/dev/null", "--", "sleep", "infinity")


def _wire(bench: Bench, count: int, at_once: int) -> Sample:
    requests = frames(count)
    with bench.machine() as machine:
        busy(machine)
        before = machine.cpu()
        seconds = pour(machine.state, requests, at_once=at_once)
        return _rates(machine.cpu().since(before).manager, count, seconds)


def _client(bench: Bench, count: int) -> Sample:
    with bench.machine() as machine, ostler.connect(str(machine.state)) as client:
        busy(machine)
        before = machine.cpu()
        began = time.perf_counter()
        used = time.process_time()
        options: ostler.client.JobOptions = {"output": "/dev/null"}
        handles = client.submit_many(
            {"argv": ["/bin/true"], "options": options} for _ in range(count)
        )
        answered = [handle.id for handle in handles]
        seconds = time.perf_counter() - began
        used = time.process_time() - used
        sample = _rates(machine.cpu().since(before).manager, len(answered), seconds)
        return {**sample, "client µs": 1e6 * used / count}


def _syncs(bench: Bench, count: int) -> Sample:
    """Make as many pieces of a bare file durable: what the disk alone allows."""
    with (bench.new_folder("file") / "file").open("wb", buffering=0) as file:
        began = time.perf_counter()
        for _ in range(count):
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
        return {RATE: count / (time.perf_counter() - began)}


def _rates(manager: float, count: int, seconds: float) -> Sample:
    return {RATE: count / seconds, "manager µs": 1e6 * manager / count}


def _crowd(bench: Bench, number: int) -> Sample:
    each = bench.sizes.submissions_clients // number
    with bench.machine() as machine:
        busy(machine)
        clients = [_start_client(machine.state, each) for _ in range(number)]
        for client in clients:
            assert client.stdout is not None
            client.stdout.readline()  # its submissions are packed
        before = machine.cpu()
        began = time.perf_counter()
        for client in clients:
            assert client.stdin is not None
            client.stdin.close()
        if any(client.wait() for client in clients):
            msg = "a client failed"
            raise RuntimeError(msg)
        seconds = time.perf_counter() - began
        return _rates(machine.cpu().since(before).manager, each * number, seconds)


def _start_client(state: Path, count: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "bench.load", str(state), str(count)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
