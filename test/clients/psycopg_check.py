"""psycopg 3 at work, by libpq's environment variables. Exits 0 only if every answer is right."""

import asyncio
import os
import sys
import threading

sys.path.insert(0, os.environ["CLIENT_PACKAGES"])
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb


def types(conn):
    for binary in (False, True):
        cur = conn.cursor(binary=binary)
        cur.execute(
            "select %s::int, %s::numeric, %s::text, %s::bytea, %s::jsonb, %s::int[], %s::timestamptz, %s::uuid, %s::bool, %s::float8",
            (1, "1.50", "é", b"\x00\xff", Jsonb({"a": [1]}), [1, 2, None], "2026-01-01 00:00:00Z",
             "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", True, 0.1),
            binary=binary,
        )
        row = cur.fetchone()
        assert row[0] == 1 and str(row[1]) == "1.50" and row[2] == "é" and row[3] == b"\x00\xff", row
        assert row[4] == {"a": [1]} and row[5] == [1, 2, None] and row[6].timestamp() == 1767225600 and row[9] == 0.1, row


def binary_parameters(conn):
    row = conn.execute("select %b, %b + 1, %b", ("text", 41, b"\x01")).fetchone()
    assert row == ("text", 42, b"\x01"), row


def prepared(conn):
    for n in range(12):
        assert conn.execute("select id from app.orders where id = %s", (n + 1,), prepare=True).fetchone() == (n + 1,)
    assert conn.execute("select count(*) from pg_prepared_statements").fetchone()[0] >= 1


def pipeline(conn):
    with conn.pipeline() as pipe:
        cursors = [conn.execute("select %s::int * 2", (n,)) for n in range(50)]
        pipe.sync()
        assert [c.fetchone()[0] for c in cursors] == [n * 2 for n in range(50)]
    try:
        with conn.pipeline() as pipe:
            conn.execute("insert into app.notes (body) values ('undone')")
            conn.execute("select 1 / 0")
            conn.execute("select 'never'")
        raise AssertionError("the error was lost")
    except psycopg.errors.DivisionByZero:
        conn.rollback()
    assert conn.execute("select count(*) from app.notes where body = 'undone'").fetchone() == (0,)
    conn.rollback()
    with conn.pipeline():
        with conn.transaction():
            cur = conn.cursor()
            cur.executemany("insert into app.notes (body) values (%s) returning body", [("p1",), ("p2",)], returning=True)
            assert cur.fetchone() == ("p1",)


def server_side_cursor(conn):
    for binary in (False, True):
        with conn.transaction(), conn.cursor(name="big", scrollable=True, binary=binary) as cur:
            cur.itersize = 30
            cur.execute("select id from app.orders where id > %s order by id", (0,))
            assert sum(1 for _ in cur) == 100
            cur.scroll(0, mode="absolute")
            assert cur.fetchmany(3) == [(1,), (2,), (3,)]


def stream(conn):
    assert [n for (n,) in conn.cursor().stream("select generate_series(1, 200)")] == list(range(1, 201))


def copy(conn):
    with conn.transaction(force_rollback=True):
        with conn.cursor().copy("copy app.notes (body, tags) from stdin") as out:
            for n in range(500):
                out.write_row((f"row\t{n}", ["a", "b c"]))
        with conn.cursor().copy("copy app.notes (body) from stdin (format binary)") as out:
            out.set_types(["text"])
            out.write_row(("binary",))
        with conn.cursor().copy("copy (select body, tags from app.notes order by id) to stdout (format binary)") as rows:
            rows.set_types(["text", "text[]"])
            got = list(rows.rows())
        # Two rows were there before.
    assert got[2] == ("row\t0", ["a", "b c"]) and got[-1] == ("binary", None) and len(got) == 2 + 501, got[:4]
    try:
        with conn.cursor().copy("copy app.orders from stdin") as out:
            out.write("1\tEU\t1\t2026-01-01\n")
        raise AssertionError("the error was lost")
    except psycopg.errors.UniqueViolation as error:
        assert error.diag.constraint_name == "orders_pkey"
    try:
        with conn.cursor().copy("copy app.notes (body) from stdin") as out:
            out.write("half\n")
            raise KeyError("given up")
    except KeyError:
        pass
    assert conn.execute("select 1").fetchone() == (1,)


def transactions(conn):
    with conn.transaction():
        conn.execute("insert into app.notes (body) values ('outer')")
        try:
            with conn.transaction():
                conn.execute("insert into app.notes (body) values ('inner')")
                conn.execute("select no_such_column")
        except psycopg.errors.UndefinedColumn:
            pass
    assert conn.execute("select body from app.notes where body in ('outer', 'inner')").fetchall() == [("outer",)]


def notifications(conn):
    conn.execute("listen news")
    with psycopg.connect(autocommit=True) as other:
        other.execute(sql.SQL("notify news, {}").format("payload"))
    assert [(n.channel, n.payload) for n in conn.notifies(timeout=10, stop_after=1)] == [("news", "payload")]


def notices(conn):
    heard = []
    conn.add_notice_handler(lambda diag: heard.append(diag.message_primary))
    conn.execute("do $$ begin raise notice 'heard'; end $$")
    assert heard == ["heard"]


def cancelled(conn):
    def stop():
        with psycopg.connect(autocommit=True) as other:
            while not other.execute(
                "select 1 from pg_stat_activity where pid <> pg_backend_pid() and wait_event = 'PgSleep' and datname = current_database()"
            ).fetchall():
                pass
        conn.cancel_safe()

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        conn.execute("select pg_sleep(60)")
        raise AssertionError("it slept on")
    except psycopg.errors.QueryCanceled:
        pass
    thread.join()


def rows_as_dictionaries(conn):
    assert conn.cursor(row_factory=dict_row).execute("select 1 as a, 2 as b").fetchone() == {"a": 1, "b": 2}
    cur = conn.execute("select 1; select 2")
    assert cur.fetchone() == (1,) and cur.nextset() and cur.fetchone() == (2,)


async def asynchronous():
    async with await psycopg.AsyncConnection.connect(autocommit=True) as conn:
        async with conn.pipeline():
            cursors = [await conn.execute("select %s::int", (n,)) for n in range(20)]
            assert [(await c.fetchone())[0] for c in cursors] == list(range(20))


for check in (types, binary_parameters, prepared, pipeline, server_side_cursor, stream, copy, transactions, notifications,
              notices, cancelled, rows_as_dictionaries):
    with psycopg.connect(autocommit=check is not pipeline) as connection:
        check(connection)
    print(check.__name__)
asyncio.run(asynchronous())
print("asynchronous")
