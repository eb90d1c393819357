"""The same as paramiko_check.py, with asyncssh."""

import asyncio
import hashlib
import json
import os
import stat
import sys

sys.path.insert(0, os.environ["CLIENT_PACKAGES"])
import asyncssh  # noqa: E402

local, remote = os.environ["L"], os.environ["R"]
random = open(f"{local}/random", "rb").read()
words = b"there and back" * 10000


def digest(data):
    return hashlib.sha256(data).hexdigest()


def connect(**options):
    key = os.environ.get("KEY")
    return asyncssh.connect(
        os.environ["HOST"],
        int(os.environ["PORT"]),
        username=os.environ["USERNAME"],
        password=os.environ.get("PASSWORD"),
        client_keys=None if key is None else [key],
        known_hosts=None,
        agent_path=None,
        config=None,
        connect_timeout=120,
        login_timeout=120,
        **options,
    )


async def commands(connection):
    result = await connection.run("echo out; echo err >&2; exit 7")
    yield "a command", [result.stdout, result.stderr, result.exit_status]
    yield "a signal", (await connection.run("kill -KILL $$")).exit_signal[0]
    there = await connection.run("sha256sum", input=random, encoding=None)
    yield "bytes there", there.stdout.decode().split()[0] == digest(random)
    back = await connection.run(f"cat {local}/random", encoding=None)
    yield "bytes back", digest(back.stdout) == digest(random)
    both = await connection.run("cat", input=random, encoding=None)
    yield "bytes both ways", digest(both.stdout) == digest(random)
    many = await asyncio.gather(*(connection.run(f"echo {n}") for n in range(8)))
    yield "many at once", [int(one.stdout) for one in many]


async def terminal(connection):
    result = await connection.run("stty size; echo $TERM", term_type="vt100", term_size=(101, 33))
    yield "a terminal", result.stdout.split()


async def refusal(attempt):
    try:
        await attempt
        return "done"
    except (asyncssh.Error, OSError) as error:
        return type(error).__name__


async def files(connection):
    async with connection.start_sftp_client() as sftp:
        await sftp.put(f"{local}/random", f"{remote}/r")
        await sftp.get(f"{remote}/r", f"{local}/back")
        yield "a file there and back", open(f"{local}/back", "rb").read() == random
        await sftp.rename(f"{remote}/r", f"{remote}/s")
        await sftp.mkdir(f"{remote}/d")
        await sftp.symlink(f"{remote}/s", f"{remote}/l")
        await sftp.chmod(f"{remote}/s", 0o640)
        yield "a list", sorted(name for name in await sftp.listdir(remote) if name not in (".", ".."))
        found = await sftp.stat(f"{remote}/s")
        yield "what a file is", [found.size, oct(stat.S_IMODE(found.permissions))]
        yield "where a link leads", await sftp.readlink(f"{remote}/l") == f"{remote}/s"
        async with sftp.open(f"{remote}/s", "w") as changed:
            await changed.write("short")
        async with sftp.open(f"{remote}/s", "a") as appended:
            await appended.write("er")
        async with sftp.open(f"{remote}/s") as read:
            yield "a file that is changed", await read.read()
        await sftp.truncate(f"{remote}/s", 3)
        yield "one that is cut", (await sftp.stat(f"{remote}/s")).size
        await sftp.posix_rename(f"{remote}/s", f"{remote}/t")
        await sftp.remove(f"{remote}/t")
        await sftp.rmdir(f"{remote}/d")
        yield "what is left", [name for name in await sftp.listdir(remote) if name not in (".", "..")]
        yield "what is not there", await refusal(sftp.stat(f"{remote}/none"))


async def answered(reader, writer):
    writer.write(words)
    writer.write_eof()
    got = await reader.read(-1)
    writer.close()
    return got == words


async def forwardings(connection):
    listener = await connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", int(os.environ["E"]))
    yield "a forwarding", await answered(*await asyncio.open_connection("127.0.0.1", listener.get_port()))
    listener.close()
    await listener.wait_closed()
    yield "a forwarding that is refused", await refusal(connection.open_connection("127.0.0.1", int(os.environ["REFUSED"])))
    yield "a forwarding to nobody", await refusal(connection.open_connection("127.0.0.1", 1))
    yield "a socket", await answered(*await connection.open_unix_connection(f"{local}/echo.sock", encoding=None))
    yield "commands after that", (await connection.run("echo still here")).stdout
    back = await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", int(os.environ["E"]))
    code = (
        f"import socket; s = socket.create_connection(('127.0.0.1', {back.get_port()})); "
        "s.sendall(b'from there'); s.shutdown(1); print(s.recv(100).decode())"
    )
    yield "a forwarding back", (await connection.run(f'python3 -c "{code}"')).stdout.strip()
    back.close()
    await back.wait_closed()


async def connections(connection):
    # The answer is that there is no such request, which shows that somebody is there. The library has no public way to ask.
    kind, _ = await connection._make_global_request(b"keepalive@openssh.com")
    yield "whether somebody is there", [None if kind == 82 else kind, not connection.is_closed()]
    async with connect(rekey_bytes=500_000) as again:
        both = await again.run("cat", input=random, encoding=None)
        yield "new keys", digest(both.stdout) == digest(random)


async def main():
    results = {}
    async with connect() as connection:
        for part in (commands, terminal, files, forwardings, connections):
            async for name, result in part(connection):
                results[name] = result
    print(json.dumps(results))


# What hangs is no outcome.
asyncio.run(asyncio.wait_for(main(), 280))
