"""Memory and processor time of one gateway with ten instruments at 1 Hz, in the steady state, with a hub that
acknowledges.

Ten simulated instruments on real pseudo-terminals and Modbus TCP: four SBE 37, a Workhorse ADCP with 20 cells, two
SBE 26plus, two radar gauges, and a ship's GNSS with its gyro at 5 Hz besides. They run in one process of their own,
the broker and the hub in others; only the gateway's process is measured: resident memory at the end, and user and
system time over the measured stretch. There is no peer with the same instruments; the bar is the limit, and the
peer's figure is a user's report of the ThingsBoard gateway's memory.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.result import Result
from demo.run import free_port

_WARM_UP_S = 15.0
_MEASURED_S = 40.0
_THINGSBOARD_MB = 117.0
"""A user's statistics line: thingsboard-gateway issue 1945."""

_KINDS = (
    *(("sbe37", "sbe37"),) * 4,
    ("workhorse", "trdi_pd0"),
    *(("sbe26plus", "sbe26plus"),) * 2,
    *(("radar", "modbus"),) * 2,
    ("ship", "nmea0183"),
)


def configuration(run: Path, broker: int, modbus: dict[int, int]) -> str:
    """The gateway's TOML."""
    text = (
        '[platform]\nname = "bench"\nlatitude = 1.2\nlongitude = 103.8\n'
        f'[broker]\nhost = "127.0.0.1"\nport = {broker}\n[storage]\ndirectory = "{run}/gateway"\n'
    )
    for k, (_, driver) in enumerate(_KINDS):
        text += f'[instruments.i{k}]\ndriver = "{driver}"\ninterval_s = 1.0\n'
        if k in modbus:
            text += f'port = {{ modbus_tcp = "127.0.0.1:{modbus[k]}" }}\n'
            text += 'settings = { map = "vegapuls-61", device = 1 }\n'
        else:
            text += f'port = {{ serial = "{run}/ports/i{k}" }}\n'
    return text


async def _host_all(run: Path, modbus: dict[int, int]) -> None:
    from gateway.simulate import build, host

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    hosts = []
    for k, (kind, _) in enumerate(_KINDS):
        simulator = build(kind, 1.0, [f"seed={k}"])
        ledger = run / "ledgers" / f"{k}.jsonl"
        if k in modbus:
            hosts.append(host(simulator, ledger=ledger, stop=stop, modbus_tcp=f"127.0.0.1:{modbus[k]}"))
        else:
            hosts.append(host(simulator, ledger=ledger, stop=stop, serial_link=run / "ports" / f"i{k}"))
    await asyncio.gather(*hosts)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("no VmRSS")


def run() -> Result:
    """Starts everything, lets it settle, and measures."""
    with tempfile.TemporaryDirectory(prefix="tidegate-footprint-") as temporary:
        folder = Path(temporary)
        for name in ("ports", "ledgers", "broker"):
            (folder / name).mkdir()
        broker, modbus = free_port(), {k: free_port() for k, (kind, _) in enumerate(_KINDS) if kind == "radar"}
        (folder / "gateway.toml").write_text(configuration(folder, broker, modbus))
        (folder / "hub.toml").write_text(
            f'[hub]\nname = "bench"\ndirectory = "{folder}/hub"\n[broker]\nhost = "127.0.0.1"\nport = {broker}\n'
            "[http]\nport = 0\n"
        )
        commands = {
            "broker": ["-m", "demo.broker", str(broker), str(folder / "broker")],
            "simulators": ["-m", "benchmarks.gateway_footprint", str(folder), json.dumps(modbus)],
            "hub": ["-m", "tidegate", "hub", "run", str(folder / "hub.toml")],
            "gateway": ["-m", "tidegate", "gateway", "run", str(folder / "gateway.toml")],
        }
        processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name, command in commands.items():
                with (folder / f"{name}.log").open("wb") as log:
                    processes[name] = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)
                time.sleep(1.0)
            pid = processes["gateway"].pid
            time.sleep(_WARM_UP_S)
            cpu_s, at_s = _cpu_s(pid), time.monotonic()
            time.sleep(_MEASURED_S)
            cpu_share = 100 * (_cpu_s(pid) - cpu_s) / (time.monotonic() - at_s)
            rss_mb = _rss_mb(pid)
            said = sum(len(path.read_text().splitlines()) for path in (folder / "ledgers").iterdir())
            ended = [name for name, process in processes.items() if process.poll() is not None]
            if ended:
                log_text = (folder / f"{ended[0]}.log").read_text()[-2000:]
                raise RuntimeError(f"{ended} ended before the measurement did:\n{log_text}")
        finally:
            for process in processes.values():
                process.terminate()
            for process in processes.values():
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
    return Result(
        "gateway_footprint",
        rss_mb,
        "MB resident",
        "ThingsBoard gateway, RSS reported by a user (recorded, not run here)",
        _THINGSBOARD_MB,
        rss_mb / _THINGSBOARD_MB,
        "value <= 100 and cpu_percent <= 5",
        "value <= 100 and cpu_percent <= 5",
        {"cpu_percent": cpu_share, "samples_said": said, "instruments": len(_KINDS)},
    )


if __name__ == "__main__":
    asyncio.run(_host_all(Path(sys.argv[1]), {int(k): port for k, port in json.loads(sys.argv[2]).items()}))
