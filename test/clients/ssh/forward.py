"""Starts an ssh that forwards (forward.py [--socks] PLACE DESTINATION PROGRAM…), sends words through, prints what comes back.

PLACE is a port or a socket's path. Without a program it only sends.
"""

import socket
import struct
import subprocess
import sys
import time

arguments = sys.argv[1:]
socks = arguments[0] == "--socks"
if socks:
    arguments.pop(0)
place, destination, *program = arguments
child = subprocess.Popen(program, stdin=subprocess.DEVNULL) if program else None


def connect():
    if place.isdigit():
        return socket.create_connection(("127.0.0.1", int(place)), timeout=60)
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(60)
    one.connect(place)
    return one


deadline = time.monotonic() + 60
while True:
    try:
        connection = connect()
        break
    except OSError as error:
        if time.monotonic() > deadline or (child is not None and child.poll() is not None):
            print("no listener:", error)
            sys.exit(1)
        time.sleep(0.05)
if socks:
    connection.sendall(b"\x05\x01\x00")
    assert connection.recv(2) == b"\x05\x00"
    connection.sendall(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + struct.pack(">H", int(destination)))
    assert connection.recv(10)[:2] == b"\x05\x00"
words = b"there and back" * 10000
connection.sendall(words)
connection.shutdown(socket.SHUT_WR)
got = b""
while chunk := connection.recv(65536):
    got += chunk
print("same" if got == words else f"{len(got)} bytes")
if child is not None:
    child.terminate()
    child.wait()
