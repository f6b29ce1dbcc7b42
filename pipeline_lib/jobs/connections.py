"""Messages between processes through sockets."""

import socket


def exactly(connection: socket.socket, size: int) -> bytes:
    """Receives exactly `size` bytes. Raises EOFError if the connection closes before."""
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise EOFError
        content += part
    return content
