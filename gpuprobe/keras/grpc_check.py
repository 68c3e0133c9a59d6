"""Checks within seconds whether a gRPC server listens at a port, since TensorFlow's client would wait for minutes."""

from __future__ import annotations

import socket
import time

ANSWER_LIMIT_S = 5.0
# What a client of HTTP/2, and so of gRPC, sends first: preface and settings; then a ping, which the server must answer.
# A frame's header is the length of its body (3 bytes), its type, its flags, and its stream (4 bytes). Source: RFC 9113,
# 3.4, 4.1, 6.5, 6.7.
SETTINGS, PING, ACK, HEAD_BYTES = 4, 6, 1, 9
HTTP2_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])
PING_FRAME = bytes([0, 0, 8, PING, 0, 0, 0, 0, 0]) + b"gpuprobe"
# The longest body allowed before both sides agree on larger ones (RFC 9113, 4.2).
LONGEST_BODY = 2**14


def refusal(host: str, port: int) -> str:
    """Return why the port is no gRPC server; empty where it is one.

    Raises OSError or UnicodeError where no connection can be made.
    """
    deadline = time.monotonic() + ANSWER_LIMIT_S
    with socket.create_connection((host, port), ANSWER_LIMIT_S) as connection:
        try:
            connection.sendall(HTTP2_OPENING + PING_FRAME)
            return _read_until_ping_answer(connection, deadline)
        except TimeoutError:
            return f"accepted the connection but did not answer within {ANSWER_LIMIT_S:.0f} s"
        except ConnectionError:
            return "closed the connection"


def _read_until_ping_answer(connection: socket.socket, deadline: float) -> str:
    """Read frames until the ping's answer; return why this is no gRPC server, empty where the answer came.

    Raises TimeoutError or ConnectionError.
    """
    is_first_frame = True
    while True:
        frame_head = _receive(connection, HEAD_BYTES, deadline)
        body_bytes, frame_type = int.from_bytes(frame_head[:3], "big"), frame_head[3]
        if (is_first_frame and frame_type != SETTINGS) or body_bytes > LONGEST_BODY:
            return "answered, but is not a profiler server"
        if frame_type == PING and frame_head[4] & ACK:
            return ""
        _receive(connection, body_bytes, deadline)
        is_first_frame = False


def _receive(connection: socket.socket, count: int, deadline: float) -> bytes:
    """Receive so many bytes. Raises TimeoutError after the deadline, ConnectionError where the peer closes before."""
    received = b""
    while len(received) < count:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        chunk = connection.recv(count - len(received))
        if not chunk:
            raise ConnectionResetError
        if time.monotonic() > deadline:
            raise TimeoutError
        received += chunk
    return received
