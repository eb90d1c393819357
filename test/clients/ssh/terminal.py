"""Runs a program in a terminal of a size: terminal.py [--resize | --interrupt] ROWS COLUMNS PROGRAM…; prints what it shows."""

import fcntl
import os
import pty
import struct
import sys
import termios

arguments = sys.argv[1:]
mode = arguments.pop(0) if arguments[0].startswith("--") else ""
rows, columns = int(arguments[0]), int(arguments[1])


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


child, terminal = pty.fork()
if child == 0:
    resize(0, rows, columns)
    os.execvp(arguments[2], arguments[2:])
shown = b""
told = False
while True:
    try:
        chunk = os.read(terminal, 65536)
    except OSError:
        break
    if not chunk:
        break
    shown += chunk
    if b"ready" in shown and not told:
        told = True
        if mode == "--resize":
            resize(terminal, 50, 120)
        if mode == "--interrupt":
            os.write(terminal, b"typed\r")
    if mode == "--interrupt" and b"got typed" in shown:
        mode = ""
        os.write(terminal, b"\x03")
_, status = os.waitpid(child, 0)
sys.stdout.write(shown.decode().replace("\r\n", "\n"))
print("exit", os.waitstatus_to_exitcode(status))
