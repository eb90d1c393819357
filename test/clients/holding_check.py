"""psycopg 3 where a statement waits for people, by libpq's environment variables. Exits 0 only if every answer is right."""

import os
import sys

sys.path.insert(0, os.environ["CLIENT_PACKAGES"])
import psycopg

notices = []
with psycopg.connect("", autocommit=True) as conn:
    conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    cur = conn.execute("delete from app.kept where n = %s returning n", (1,))
    assert cur.fetchall() == [(1,)] and cur.rowcount == 1, cur
    assert len(notices) == 1 and notices[0].startswith("waiting for an approval"), notices
    with conn.pipeline():
        first = conn.execute("select 7")
        second = conn.execute("delete from app.kept where n = %s", (2,))
        third = conn.execute("select 8")
    assert first.fetchone() == (7,) and second.rowcount == 1 and third.fetchone() == (8,)
    try:
        with conn.pipeline():
            conn.execute("insert into app.other values (1)")
            conn.execute("delete from app.kept where n = 3")
        raise AssertionError("what was refused went through")
    except psycopg.errors.InsufficientPrivilege as error:
        assert "approval_" in (error.diag.message_detail or ""), error.diag.message_detail
    try:
        conn.execute("delete from app.kept where n = 4")
        raise AssertionError("what was refused went through")
    except psycopg.errors.InsufficientPrivilege as error:
        assert "not today" in str(error), error
    assert conn.execute("select count(*) from app.kept").fetchone() == (3,)
    assert conn.execute("select count(*) from app.other").fetchone() == (0,)
print("done")
