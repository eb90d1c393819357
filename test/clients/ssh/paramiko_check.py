"""What programs do with paramiko, at the host that the environment names; prints what came of each as JSON.

HOST, PORT, USERNAME, and PASSWORD or KEY say how to get there; L and R are folders of the client's and the host's, E is the
port of a server that sends back what it gets, REFUSED one that nobody may be led to.
"""

import hashlib
import io
import json
import logging
import os
import stat
import sys

sys.path.insert(0, os.environ["CLIENT_PACKAGES"])
import paramiko  # noqa: E402

# It says of each refusal on standard error that there was one.
logging.disable(logging.ERROR)
local, remote = os.environ["L"], os.environ["R"]
patience_s = 120
random = open(f"{local}/random", "rb").read()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def connect():
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(
        os.environ["HOST"],
        int(os.environ["PORT"]),
        os.environ["USERNAME"],
        password=os.environ.get("PASSWORD"),
        key_filename=os.environ.get("KEY"),
        allow_agent=False,
        look_for_keys=False,
        **{name: patience_s for name in ("timeout", "banner_timeout", "auth_timeout", "channel_timeout")},
    )
    return client


def run(client, command, given=b""):
    stdin, stdout, stderr = client.exec_command(command, timeout=patience_s)
    stdin.write(given)
    stdin.channel.shutdown_write()
    return stdout.read(), stderr.read().decode(), stdout.channel.recv_exit_status()


def commands(client):
    out, err, code = run(client, "echo out; echo err >&2; exit 7")
    yield "a command", [out.decode(), err, code]
    yield "a signal", run(client, "kill -KILL $$")[2]
    yield "bytes there", run(client, "sha256sum", random)[0].decode().split()[0] == digest(random)
    yield "bytes back", digest(run(client, f"cat {local}/random")[0]) == digest(random)
    yield "bytes both ways", digest(run(client, "cat", random)[0]) == digest(random)


def terminal(client):
    channel = client.get_transport().open_session(timeout=patience_s)
    channel.settimeout(patience_s)
    channel.get_pty("vt100", 101, 33)
    channel.exec_command("stty size; echo $TERM")
    yield "a terminal", channel.makefile().read().decode().split()


def refusal(attempt):
    try:
        attempt()
        return "done"
    except Exception as error:  # noqa: BLE001
        return type(error).__name__


def files(client):
    with client.open_sftp() as sftp:
        sftp.get_channel().settimeout(patience_s)
        sftp.put(f"{local}/random", f"{remote}/r")
        sftp.get(f"{remote}/r", f"{local}/back")
        yield "a file there and back", open(f"{local}/back", "rb").read() == random
        sftp.rename(f"{remote}/r", f"{remote}/s")
        sftp.mkdir(f"{remote}/d")
        sftp.symlink(f"{remote}/s", f"{remote}/l")
        sftp.chmod(f"{remote}/s", 0o640)
        yield "a list", sorted(sftp.listdir(remote))
        found = sftp.stat(f"{remote}/s")
        yield "what a file is", [found.st_size, oct(stat.S_IMODE(found.st_mode))]
        yield "where a link leads", sftp.readlink(f"{remote}/l") == f"{remote}/s"
        sftp.putfo(io.BytesIO(b"short"), f"{remote}/s")
        with sftp.open(f"{remote}/s", "a") as appended:
            appended.write("er")
        yield "a file that is changed", sftp.open(f"{remote}/s").read().decode()
        sftp.truncate(f"{remote}/s", 3)
        yield "one that is cut", sftp.stat(f"{remote}/s").st_size
        sftp.posix_rename(f"{remote}/s", f"{remote}/t")
        sftp.remove(f"{remote}/t")
        sftp.rmdir(f"{remote}/d")
        yield "what is left", sftp.listdir(remote)
        yield "what is not there", refusal(lambda: sftp.stat(f"{remote}/none"))


def answered(channel):
    words = b"there and back" * 10000
    channel.settimeout(patience_s)
    channel.sendall(words[:70000])
    got = channel.recv(1)
    channel.sendall(words[70000:])
    channel.shutdown_write()
    while chunk := channel.recv(65536):
        got += chunk
    return got == words


def forwardings(client):
    transport = client.get_transport()

    def lead(port):
        return transport.open_channel("direct-tcpip", ("127.0.0.1", int(port)), ("127.0.0.1", 1), timeout=patience_s)

    yield "a forwarding", answered(lead(os.environ["E"]))
    yield "a forwarding that is refused", refusal(lambda: lead(os.environ["REFUSED"]))
    yield "a forwarding to nobody", refusal(lambda: lead(1))
    yield "commands after that", run(client, "echo still here")[0].decode()
    port = transport.request_port_forward("127.0.0.1", 0)
    code = f"import socket; socket.create_connection(('127.0.0.1', {port})).sendall(b'from there')"
    stdin, stdout, _ = client.exec_command(f'python3 -c "{code}"', timeout=patience_s)
    back = transport.accept(patience_s)
    back.settimeout(patience_s)
    yield "a forwarding back", back.makefile().read().decode()
    stdout.channel.recv_exit_status()
    transport.cancel_port_forward("127.0.0.1", port)


def connection(client):
    transport = client.get_transport()
    # The answer is that there is no such request, which shows that somebody is there.
    yield "whether somebody is there", [transport.global_request("keepalive@openssh.com", wait=True), transport.is_active()]
    transport.renegotiate_keys()
    yield "new keys", digest(run(client, "cat", random)[0]) == digest(random)


results = {}
with connect() as client:
    for part in (commands, terminal, files, forwardings, connection):
        for name, result in part(client):
            results[name] = result
print(json.dumps(results))
