"""Whether a profiler server listens at a port, found out within seconds: TensorFlow's client would wait for minutes."""

from __future__ import annotations

import socket
import time

LIMIT_S = 5.0
# How HTTP/2, and so gRPC, begins on either side; a frame's type is its fourth byte. Source: RFC 9113, 3.4, 4.1, 6.5.
SETTINGS, HEAD_BYTES = 4, 9
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])


def refusal(host: str, port: int) -> str:
    """Say what answers there where it is no server that speaks as gRPC does; empty where it is one.

    Raises OSError or UnicodeError where nobody can be reached.
    """
    with socket.create_connection((host, port), LIMIT_S) as connection:
        try:
            connection.sendall(HELLO)
            said = _said(connection, time.monotonic() + LIMIT_S)
        except TimeoutError:
            return f"took the connection and said nothing for {LIMIT_S:.0f} s"
        except ConnectionError:
            said = b""
    if len(said) < HEAD_BYTES:
        return "closed the connection"
    return "" if said[3] == SETTINGS else "answered as no profiler server does"


def _said(connection: socket.socket, deadline: float) -> bytes:
    """Return the head of the first frame, or less where the connection is closed before."""
    said = b""
    while len(said) < HEAD_BYTES:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        more = connection.recv(HEAD_BYTES - len(said))
        if not more:
            break
        said += more
    return said
