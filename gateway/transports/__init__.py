"""The gateway's way to its instruments: serial lines, TCP, UDP and Modbus, all with the same three outcomes.

`open_transport(port)` gives the `Transport` for a port of the configuration. It opens nothing yet; the first `read`
does, and from then on the transport reconnects for ever.
"""

from gateway.config import ModbusRtuPort, ModbusTcpPort, Port, SerialPort, TcpPort
from gateway.transports.modbus import ModbusLine
from gateway.transports.network import TcpLine, UdpLine
from gateway.transports.serialport import SerialLine
from gateway.transports.transport import Data, Gone, Heard, Nothing, Transport

__all__ = ["Data", "Gone", "Heard", "Nothing", "Transport", "open_transport"]


def open_transport(port: Port) -> Transport:
    """The transport for `port`."""
    match port:
        case SerialPort():
            return SerialLine(port)
        case TcpPort():
            return TcpLine(port)
        case ModbusTcpPort() | ModbusRtuPort():
            return ModbusLine(port)
        case _:
            return UdpLine(port)
