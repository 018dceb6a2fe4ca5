"""What uploads are measured against: one thread that receives, hashes, writes and flushes, and does nothing else.

Run as a program in a folder, it prints its port and takes one upload after the other. `read_and_hash` is what a
download is measured against.
"""

import hashlib
import os
import socket
import time
from pathlib import Path

BLOCK_BYTES = 2**20


def receive(connection: socket.socket) -> None:
    """Take the body of one PUT."""
    with connection, connection.makefile("rb", buffering=0) as stream:
        length = 0
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        part, digest, block = Path("part"), hashlib.sha256(), bytearray(BLOCK_BYTES)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        view = memoryview(block)
        while length:
            size = stream.readinto(view[: min(length, BLOCK_BYTES)])
            if not size:
                raise ConnectionResetError
            digest.update(view[:size])
            os.write(descriptor, view[:size])
            length -= size
        os.fsync(descriptor)
        os.close(descriptor)
        part.rename(digest.hexdigest())
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")


def read_and_hash(file: Path) -> float:
    """Read a file as a download does, and hash it; how long that took."""
    digest, began = hashlib.sha256(), time.perf_counter()
    with file.open("rb", buffering=0) as opened:
        while block := opened.read(BLOCK_BYTES):
            digest.update(block)
    return time.perf_counter() - began


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            receive(server.accept()[0])


if __name__ == "__main__":
    main()
