"""The demo's MQTT broker: Mosquitto where it is installed, else the embedded one (rumqttd, in the wheel `iotcore`).

`python -m demo.broker PORT DIRECTORY` runs it until SIGTERM.
"""

import os
import shutil
import sys
from pathlib import Path

_MOSQUITTO_PLACES = ("/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")

_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 100000
"""

# iotcore's plain options give MQTT 3.1.1 only; the listener for MQTT 5 is a table of rumqttd's own configuration.
_RUMQTTD = """\
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 16777216
max_segment_count = 8
[v5.1]
name = "tidegate"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 10000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""


def mosquitto() -> str | None:
    """Where Mosquitto is installed; None where it is not."""
    return shutil.which("mosquitto") or next((place for place in _MOSQUITTO_PLACES if Path(place).exists()), None)


def run(port: int, directory: Path) -> None:
    """Becomes the broker; does not return."""
    program = mosquitto()
    if program:
        config = directory / "mosquitto.conf"
        config.write_text(_MOSQUITTO.format(port=port))
        os.execv(program, [program, "-c", str(config)])
    run_embedded(port, directory)


def run_embedded(port: int, directory: Path) -> None:
    """Runs the embedded broker in this process; does not return."""
    from iotcore import Broker

    config = directory / "rumqttd.toml"
    config.write_text(_RUMQTTD.format(port=port))
    Broker(config_path=str(config)).run_forever()


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    (run_embedded if "--embedded" in sys.argv else run)(int(sys.argv[1]), folder)
