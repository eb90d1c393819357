"""Runs a program on a terminal of its own, and does what is on the command line as JSON, step by step:

    [{"expect": TEXT}, {"size": [ROWS, COLUMNS]}, {"send": TEXT}, {"send": TEXT, "until": TEXT}]

Writes what the program wrote, and ends with its exit code; 99 where a step did not come in time.
"""

import fcntl, json, os, pty, select, struct, subprocess, sys, termios, time

WAIT_S = 60
AGAIN_S = 1

steps, argv = json.loads(sys.argv[1]), sys.argv[2:]
own, other = pty.openpty()
said = b""


def resize(rows, columns):
    fcntl.ioctl(own, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read(seconds):
    """What comes within that time; False once nobody has the terminal open any more."""
    global said
    if not select.select([own], [], [], seconds)[0]:
        return True
    try:
        piece = os.read(own, 65536)
    except OSError:
        return False
    said += piece
    return piece != b""


def end(code):
    sys.stdout.buffer.write(said)
    sys.stdout.flush()
    process.kill()
    sys.exit(code)


resize(24, 80)
process = subprocess.Popen(
    argv, stdin=other, stdout=other, stderr=other, start_new_session=True,
    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
)
os.close(other)
for step in steps:
    if "size" in step:
        resize(*step["size"])
    wanted = step.get("expect", step.get("until"))
    start, again, seen = time.monotonic(), 0.0, len(said)
    while True:
        if "send" in step and time.monotonic() >= again:
            os.write(own, step["send"].encode())
            again = time.monotonic() + AGAIN_S
        if wanted is None or wanted.encode() in (said if "expect" in step else said[seen:]):
            break
        if not read(0.1) or time.monotonic() - start > WAIT_S:
            end(99)
while read(WAIT_S):
    pass
end(process.wait())
