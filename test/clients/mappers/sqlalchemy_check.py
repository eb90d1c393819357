from steps import place, run

import datetime
from decimal import Decimal

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql as pg

url = sa.URL.create("postgresql+psycopg", place["user"], place["password"], place["host"], int(place["port"]), place["database"])
engine = sa.create_engine(url, pool_size=2)


class Base(orm.DeclarativeBase):
    pass


customer_tags = sa.Table(
    "customer_tags",
    Base.metadata,
    sa.Column("customer_id", sa.ForeignKey("customers.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tags.id"), primary_key=True),
)


class Customer(Base):
    __tablename__ = "customers"
    id: orm.Mapped[int] = orm.mapped_column(sa.Identity(), primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.Text)
    email: orm.Mapped[str | None] = orm.mapped_column(sa.String(120), unique=True)
    ssn: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    born: orm.Mapped[datetime.date | None]
    balance: orm.Mapped[Decimal] = orm.mapped_column(sa.Numeric(12, 2), server_default="0")
    region: orm.Mapped[str] = orm.mapped_column(sa.Text, server_default="EU")
    preferences: orm.Mapped[dict] = orm.mapped_column(pg.JSONB, server_default="{}")
    labels: orm.Mapped[list] = orm.mapped_column(pg.ARRAY(sa.Text), server_default="{}")
    orders: orm.Mapped[list["Order"]] = orm.relationship(back_populates="customer", order_by="Order.id")
    tags: orm.Mapped[list["Tag"]] = orm.relationship(secondary=customer_tags, order_by="Tag.id")


class Order(Base):
    __tablename__ = "orders"
    id: orm.Mapped[int] = orm.mapped_column(sa.Identity(), primary_key=True)
    customer_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("customers.id"))
    placed: orm.Mapped[datetime.date]
    status: orm.Mapped[str] = orm.mapped_column(pg.ENUM("open", "paid", "shipped", name="status", create_type=False), server_default="open")
    total: orm.Mapped[Decimal] = orm.mapped_column(sa.Numeric(12, 2), server_default="0")
    customer: orm.Mapped[Customer] = orm.relationship(back_populates="orders")
    lines: orm.Mapped[list["Line"]] = orm.relationship(order_by="Line.line_no")


class Line(Base):
    __tablename__ = "order_lines"
    order_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("orders.id"), primary_key=True)
    line_no: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    product: orm.Mapped[str] = orm.mapped_column(sa.Text)
    quantity: orm.Mapped[int]


class Tag(Base):
    __tablename__ = "tags"
    id: orm.Mapped[int] = orm.mapped_column(sa.Identity(), primary_key=True)
    label: orm.Mapped[str] = orm.mapped_column(sa.Text, unique=True)
    uses: orm.Mapped[int] = orm.mapped_column(server_default="0")


def columns(each):
    """An object as its columns; relations that were loaded with it as lists of them."""
    if each is None:
        return None
    state = sa.inspect(each)
    found = {attribute.key: getattr(each, attribute.key) for attribute in state.mapper.column_attrs}
    for relation in state.mapper.relationships:
        if relation.key not in state.unloaded and relation.key != "customer":
            found[relation.key] = [columns(one) for one in getattr(each, relation.key)]
        elif relation.key == "customer" and relation.key not in state.unloaded:
            customer = getattr(each, relation.key)
            found[relation.key] = {"id": customer.id, "email": customer.email}
    return found


def objects(statement):
    with orm.Session(engine) as session:
        return [columns(each) for each in session.scalars(statement).unique()]


def rows(statement, *parameters):
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(statement, *parameters).mappings()]


def written(statement, *parameters):
    with engine.begin() as connection:
        return [dict(row) for row in connection.execute(statement, *parameters).mappings()]


customers, orders, tags = Customer.__table__, Order.__table__, Tag.__table__


def windows():
    place_in = sa.func.row_number().over(partition_by=orders.c.customer_id, order_by=orders.c.total).label("place")
    return rows(sa.select(orders.c.id, place_in).where(orders.c.customer_id < 4).order_by(orders.c.id))


def with_cte():
    totals = sa.select(orders.c.customer_id, sa.func.sum(orders.c.total).label("total")).group_by(orders.c.customer_id).cte("totals")
    return rows(sa.select(customers.c.email, totals.c.total).join(totals, totals.c.customer_id == customers.c.id).order_by(customers.c.id))


def lateral():
    last = sa.select(orders.c.total).where(orders.c.customer_id == customers.c.id).order_by(orders.c.id.desc()).limit(1).lateral()
    return rows(sa.select(customers.c.name, customers.c.ssn, last.c.total).join(last, sa.true(), isouter=True).order_by(customers.c.id).limit(5))


def unit_of_work():
    with orm.Session(engine) as session:
        customer = Customer(name="Alchemy", email="alchemy@example.com", born=datetime.date(1999, 9, 9), balance=Decimal("5432.10"))
        customer.orders.append(Order(placed=datetime.date(2026, 12, 1), lines=[Line(line_no=n, product="p", quantity=n) for n in (1, 2)]))
        customer.tags.append(session.scalars(sa.select(Tag).where(Tag.label == "loyal")).one())
        session.add(customer)
        session.commit()
        key = customer.id
    with orm.Session(engine) as session:
        customer = session.get(Customer, key)
        customer.region = "AP"
        customer.orders[0].total += 1
        session.commit()
        session.refresh(customer)
        return columns(customer)


def many_at_once():
    with orm.Session(engine) as session:
        session.add_all([Tag(label=f"alchemy {n}") for n in range(30)])
        session.commit()
        session.execute(sa.update(Tag), [{"id": tag.id, "uses": 5} for tag in session.scalars(sa.select(Tag).where(Tag.label.like("alchemy 1%")))])
        session.commit()
        return session.execute(sa.select(sa.func.count(), sa.func.sum(Tag.uses)).where(Tag.label.like("alchemy %"))).one()._tuple()


def upsert():
    insert = pg.insert(tags).values([{"label": "loyal"}, {"label": "alchemy x"}])
    return written(insert.on_conflict_do_update(index_elements=["label"], set_={"uses": tags.c.uses + 1}).returning(tags.c.label, tags.c.uses))


def upsert_of_a_masked_row():
    insert = pg.insert(customers).values(id=1, name="One", email="one@example.com")
    return written(insert.on_conflict_do_update(index_elements=["id"], set_={"name": insert.excluded.name}).returning(customers))


def savepoints():
    with orm.Session(engine) as session:
        order = session.get(Order, 8, with_for_update=True)
        order.total = 1
        try:
            with session.begin_nested():
                session.execute(sa.delete(Line).where(Line.order_id == 8))
                session.execute(sa.text("select 1 / 0"))
        except sa.exc.DataError:
            pass
        session.flush()
        lines = session.scalar(sa.select(sa.func.count()).where(Line.order_id == 8))
        session.rollback()
        return [lines, session.get(Order, 8).total]


def server_side_cursor():
    with engine.connect().execution_options(stream_results=True, max_row_buffer=5) as connection:
        return [[dict(row) for row in part] for part in connection.execute(sa.select(customers.c.id, customers.c.email).order_by(customers.c.id)).mappings().partitions(10)]


def isolation():
    with engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
        return [dict(row) for row in connection.execute(sa.select(customers).where(customers.c.id == 3)).mappings()]


def reflection():
    found = sa.MetaData()
    found.reflect(engine, views=True)
    return {
        table.name: [[column.name, str(column.type), column.nullable, column.primary_key] for column in table.columns]
        for table in found.sorted_tables
    }


def inspector():
    inspect = sa.inspect(engine)
    return [
        inspect.get_schema_names(),
        sorted(inspect.get_table_names()),
        inspect.get_view_names(),
        inspect.get_pk_constraint("order_lines"),
        inspect.get_foreign_keys("orders"),
        inspect.get_indexes("orders"),
        inspect.get_unique_constraints("customers"),
        inspect.get_check_constraints("order_lines"),
        inspect.get_table_comment("customers"),
        inspect.get_enums(),
        inspect.get_view_definition("big_orders"),
        [column["name"] for column in inspect.get_columns("customers")],
    ]


def migration():
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "alchemy_versions"})
        context._ensure_version_table()
        operations = Operations(context)
        operations.create_table(
            "alchemied",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("customer_id", sa.Integer, sa.ForeignKey("customers.id")),
            sa.Column("note", sa.String(20), nullable=False, server_default="x"),
        )
        operations.create_index("alchemied_notes", "alchemied", ["note"])
        operations.add_column("alchemied", sa.Column("more", sa.Integer))
        operations.alter_column("alchemied", "note", type_=sa.Text, nullable=True)
        operations.create_unique_constraint("alchemied_once", "alchemied", ["customer_id"])
        operations.alter_column("alchemied", "more", new_column_name="less")
        operations.bulk_insert(sa.table("alchemied", sa.column("customer_id")), [{"customer_id": 1}, {"customer_id": 2}])
        operations.drop_column("alchemied", "less")
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(sa.text("select * from alchemied order by id")).mappings()]
        context = MigrationContext.configure(connection, opts={"include_object": lambda o, name, kind, *_: kind != "table" or name == "alchemied"})
        return [found, [change[0] for change in compare_metadata(context, Base.metadata) if isinstance(change, tuple)]]


run(
    {
        "core": lambda: rows(sa.select(customers).order_by(customers.c.id)),
        "objects": lambda: objects(sa.select(Customer).where(Customer.region.in_(["EU", "US"]), Customer.name.ilike("customer 1%")).order_by(Customer.id)),
        "a page": lambda: objects(sa.select(Customer).order_by(Customer.id.desc()).limit(4).offset(4)),
        "joined": lambda: objects(sa.select(Customer).options(orm.joinedload(Customer.orders).joinedload(Order.lines), orm.joinedload(Customer.tags)).order_by(Customer.id).limit(3)),
        "in selects of their own": lambda: objects(sa.select(Customer).options(orm.selectinload(Customer.orders).selectinload(Order.lines), orm.selectinload(Customer.tags)).order_by(Customer.id).limit(3)),
        "by sub-queries": lambda: objects(sa.select(Customer).options(orm.subqueryload(Customer.orders)).order_by(Customer.id).limit(3)),
        "through a relation": lambda: objects(sa.select(Order).join(Order.customer).options(orm.contains_eager(Order.customer)).where(Customer.region == "EU", Order.total > 300).order_by(Order.id)),
        "exists": lambda: objects(sa.select(Customer).where(Customer.orders.any(Order.total > 500), ~Customer.tags.any(Tag.label == "late")).order_by(Customer.id)),
        "aggregates": lambda: rows(sa.select(customers.c.region, sa.func.count(orders.c.id.distinct()), sa.func.sum(orders.c.total)).outerjoin(orders).group_by(customers.c.region).having(sa.func.count() > 1).order_by(customers.c.region)),
        "windows": windows,
        "common table expressions": with_cte,
        "lateral": lateral,
        "union": lambda: rows(sa.union_all(sa.select(customers.c.id, customers.c.email).where(customers.c.id == 1), sa.select(customers.c.id, customers.c.email).where(customers.c.id == 2)).order_by("id")),
        "json and arrays": lambda: rows(sa.select(customers.c.id, customers.c.preferences["size"].astext, customers.c.labels[1]).where(customers.c.labels.contains(["all"]), customers.c.preferences["news"].as_boolean()).order_by(customers.c.id)),
        "unit of work": unit_of_work,
        "many at once": many_at_once,
        "core insert, returning": lambda: written(sa.insert(customers).returning(customers), [{"name": "Core 1", "email": "core1@example.com"}, {"name": "Core 2", "email": "core2@example.com"}]),
        "core update, returning": lambda: written(sa.update(customers).where(customers.c.name.like("Core%")).values(region="US").returning(customers.c.id, customers.c.email)),
        "update from": lambda: written(sa.update(orders).where(orders.c.customer_id == customers.c.id, customers.c.name == "Core 1").values(total=0).returning(orders.c.id)),
        "upsert": upsert,
        "upsert of a masked row": upsert_of_a_masked_row,
        "savepoints": savepoints,
        "a server-side cursor": server_side_cursor,
        "isolation": isolation,
        "text": lambda: rows(sa.text("select email, cast(:n as int) as n from customers where id = :id"), {"n": 4, "id": 6}),
        "core delete, returning": lambda: written(sa.delete(customers).where(customers.c.name.like("Core%")).returning(customers.c.email)),
        "reflection": reflection,
        "inspector": inspector,
        "migration": migration,
    }
)
engine.dispose()
