"""asyncpg and, over psycopg, SQLAlchemy at work, by libpq's environment variables. Exits 0 only if every answer is right."""

import asyncio
import io
import os
import sys

sys.path.insert(0, os.environ["CLIENT_PACKAGES"])
import asyncpg
import sqlalchemy as sa


async def with_asyncpg():
    pool = await asyncpg.create_pool(min_size=1, max_size=3)
    answers = await asyncio.gather(*(pool.fetchval("select $1::int + 1", n) for n in range(50)))
    assert answers == [n + 1 for n in range(50)]
    async with pool.acquire() as conn:
        row = await conn.fetchrow(
            "select $1::app.mood as mood, $2::int[] as list, $3::jsonb as data, '(1,2)'::point as point, int4range(1, 5) as range",
            "happy", [1, None, 3], '{"a": 1}',
        )
        assert row["mood"] == "happy" and row["list"] == [1, None, 3] and row["range"].upper == 5, row
        async with conn.transaction():
            assert [r["id"] async for r in conn.cursor("select id from app.orders order by id", prefetch=30)] == list(range(1, 101))
        await conn.copy_records_to_table("notes", schema_name="app", columns=["body"], records=[(f"n{n}",) for n in range(300)])
        out = io.BytesIO()
        await conn.copy_from_query("select count(*) from app.notes where body like 'n%'", output=out)
        assert out.getvalue() == b"300\n"
        await conn.executemany("update app.notes set tags = $2 where body = $1", [("n1", ["x"]), ("n2", ["y"])])
        heard = asyncio.Queue()
        hear = lambda *event: heard.put_nowait(event[2:])
        await conn.add_listener("news", hear)
        await pool.execute("select pg_notify('news', 'payload')")
        assert await asyncio.wait_for(heard.get(), 10) == ("news", "payload")
        await conn.remove_listener("news", hear)
        try:
            await conn.fetchval("select 1 / $1::int", 0)
            raise AssertionError("the error was lost")
        except asyncpg.DivisionByZeroError:
            pass
        try:
            await conn.fetchval("select pg_sleep(60)", timeout=0.2)
            raise AssertionError("it slept on")
        except asyncio.TimeoutError:
            pass
        assert await conn.fetchval("select 1") == 1
    await pool.close()


def with_sqlalchemy():
    engine = sa.create_engine("postgresql+psycopg://")
    metadata = sa.MetaData(schema="app")
    orders = sa.Table("orders", metadata, autoload_with=engine)
    assert [column.name for column in orders.columns] == ["id", "region", "amount", "placed"]
    made = sa.Table("made", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.Text, nullable=False))
    metadata.create_all(engine, [made])
    with engine.begin() as conn:
        assert conn.execute(sa.insert(made).returning(made.c.id), [{"body": "a"}, {"body": "b"}]).scalars().all() == [1, 2]
        assert conn.execute(sa.select(sa.func.count()).select_from(orders).where(orders.c.region == "EU")).scalar() == 50
    with engine.connect().execution_options(stream_results=True, yield_per=30) as conn:
        assert len(conn.execute(sa.select(orders.c.id)).all()) == 100
    assert "orders" in sa.inspect(engine).get_table_names(schema="app")
    metadata.drop_all(engine, [made])
    engine.dispose()


asyncio.run(with_asyncpg())
print("asyncpg")
with_sqlalchemy()
print("sqlalchemy")
