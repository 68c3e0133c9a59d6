"""Checks within seconds whether a gRPC server listens at a port: TensorFlow's client would wait for minutes."""

from __future__ import annotations

import socket
import time

LIMIT_S = 5.0
# The opening of HTTP/2, and so of gRPC: the client's preface, its settings, and a ping, which the server has to answer.
# A frame's header is the length of its body (3 bytes), its type, its flags, and its stream (4 bytes). Source: RFC 9113,
# 3.4, 4.1, 6.5, 6.7.
SETTINGS, PING, ACK, HEAD_BYTES = 4, 6, 1, 9
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])
ASKED = bytes([0, 0, 8, PING, 0, 0, 0, 0, 0]) + b"gpuprobe"
# The longest body allowed before both sides agree on larger ones (RFC 9113, 4.2).
LONGEST_BODY = 2**14


def refusal(host: str, port: int) -> str:
    """Say why the port is no gRPC server; empty where it is one.

    Raises OSError or UnicodeError where no connection can be made.
    """
    deadline = time.monotonic() + LIMIT_S
    with socket.create_connection((host, port), LIMIT_S) as connection:
        try:
            connection.sendall(HELLO + ASKED)
            return _refusal(connection, deadline)
        except TimeoutError:
            return f"accepted the connection but did not answer within {LIMIT_S:.0f} s"
        except ConnectionError:
            return "closed the connection"


def _refusal(connection: socket.socket, deadline: float) -> str:
    """Read frames, the settings first, until the ping's answer. Raises TimeoutError or ConnectionError."""
    first = True
    while True:
        head = _said(connection, HEAD_BYTES, deadline)
        length, kind = int.from_bytes(head[:3], "big"), head[3]
        if (first and kind != SETTINGS) or length > LONGEST_BODY:
            return "answered, but is not a profiler server"
        if kind == PING and head[4] & ACK:
            return ""
        _said(connection, length, deadline)
        first = False


def _said(connection: socket.socket, count: int, deadline: float) -> bytes:
    """Receive so many bytes. Raises TimeoutError after the deadline, ConnectionError where the peer closes before."""
    received = b""
    while len(received) < count:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        more = connection.recv(count - len(received))
        if not more:
            raise ConnectionResetError
        if time.monotonic() > deadline:
            raise TimeoutError
        received += more
    return received
