from steps import place, run

import datetime
import sys
import types
from decimal import Decimal

import django
from django.conf import settings

connection_settings = {"ENGINE": "django.db.backends.postgresql", "NAME": place["database"], **{key.upper(): place[key] for key in ("host", "port", "user", "password")}}
# Models of an application that isn't installed do not know what points at them.
sys.modules["shop"] = types.ModuleType("shop")
sys.modules["shop"].__path__ = ["shop"]
settings.configure(DATABASES={"default": connection_settings}, INSTALLED_APPS=["django.contrib.postgres", "shop"], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.AutoField")
django.setup()

from django.contrib.postgres.aggregates import ArrayAgg
from django.contrib.postgres.fields import ArrayField
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Prefetch, Q, Subquery, Sum, Window
from django.db.models.functions import RowNumber, TruncMonth, Upper


class Tag(models.Model):
    label = models.TextField(unique=True)
    uses = models.IntegerField(default=0)

    class Meta:
        app_label, db_table, managed = "shop", "tags", False


class Customer(models.Model):
    name = models.TextField()
    email = models.CharField(max_length=120, null=True, unique=True)
    ssn = models.TextField(null=True)
    born = models.DateField(null=True)
    balance = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    region = models.TextField(default="EU")
    preferences = models.JSONField(default=dict)
    labels = ArrayField(models.TextField(), default=list)

    class Meta:
        app_label, db_table, managed = "shop", "customers", False


class Status(models.TextField):
    def db_type(self, connection):
        return "status"


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    placed = models.DateField()
    status = Status(default="open")
    total = models.DecimalField(max_digits=12, decimal_places=2, default=0)

    class Meta:
        app_label, db_table, managed = "shop", "orders", False


class Note(models.Model):
    customer = models.ForeignKey(Customer, models.DO_NOTHING, null=True)
    body = models.CharField(max_length=20, db_index=True)

    class Meta:
        app_label, db_table = "shop", "djangoed"


def values(query):
    return list(query.values())


def prefetched():
    found = Customer.objects.filter(id__lte=3).prefetch_related(Prefetch("orders", Order.objects.order_by("id"))).order_by("id")
    return [[each.id, each.email, [order.id for order in each.orders.all()]] for each in found]


def created():
    with transaction.atomic():
        customer = Customer.objects.create(name="Django", email="django@example.com", born=datetime.date(1999, 9, 9), balance=Decimal("4321.5"), labels=["x"])
        Order.objects.bulk_create([Order(customer=customer, placed=datetime.date(2026, 12, day)) for day in (1, 2, 3)])
    return [values(Customer.objects.filter(name="Django")), customer.orders.count()]


def changed():
    customer = Customer.objects.get(name="Django")
    customer.region = "US"
    customer.save(update_fields=["region"])
    customer.refresh_from_db()
    Order.objects.filter(customer=customer).update(total=F("total") + 2)
    return [customer.email, customer.region, customer.orders.aggregate(Sum("total"))]


def upserts():
    Tag.objects.bulk_create([Tag(label="loyal", uses=7), Tag(label="django 1")], update_conflicts=True, unique_fields=["label"], update_fields=["uses"])
    Tag.objects.bulk_create([Tag(label="loyal")], ignore_conflicts=True)
    tag, made = Tag.objects.update_or_create(label="django 2", defaults={"uses": 3})
    again, made_again = Tag.objects.get_or_create(label="django 2")
    found = list(Tag.objects.filter(Q(label="loyal") | Q(label__startswith="django")).order_by("label").values_list("label", "uses"))
    return [found, made, made_again, tag.id == again.id]


def bulk_update():
    found = list(Tag.objects.filter(label__startswith="django").order_by("label"))
    for each in found:
        each.uses += 10
    return [Tag.objects.bulk_update(found, ["uses"]), [each.uses for each in found]]


def rolled_back():
    try:
        with transaction.atomic():
            Customer.objects.select_for_update(skip_locked=True).get(id=4)
            try:
                with transaction.atomic():
                    Order.objects.filter(customer_id=4).delete()
                    raise ValueError
            except ValueError:
                pass
            left = Order.objects.filter(customer_id=4).count()
            Order.objects.filter(customer_id=4).update(total=0)
            raise KeyError
    except KeyError:
        return [left, Order.objects.filter(customer_id=4).aggregate(Sum("total"))]


def raw():
    with connection.cursor() as cursor:
        cursor.execute("select email, %s::int from customers where id = %s", [3, 5])
        found = cursor.fetchall()
    return [{"email": found[0][0]}, found[0][1], [{"ssn": each.ssn} for each in Customer.objects.raw("select * from customers where id = %s", [6])]]


def introspection():
    inspect = connection.introspection
    with connection.cursor() as cursor:
        return [
            sorted(each.name for each in inspect.get_table_list(cursor)),
            [[each.name, inspect.get_field_type(each.type_code, each), each.null_ok] for each in inspect.get_table_description(cursor, "customers") if each.name != "labels"],
            inspect.get_relations(cursor, "orders"),
            sorted(inspect.get_constraints(cursor, "order_lines")),
            inspect.get_sequences(cursor, "orders"),
        ]


def inspectdb():
    import io

    out = io.StringIO()
    call_command("inspectdb", stdout=out)
    return out.getvalue()


def schema_editor():
    with connection.schema_editor() as editor:
        editor.create_model(Note)
    more = models.IntegerField(default=3)
    more.set_attributes_from_name("more")
    longer = models.TextField()
    longer.set_attributes_from_name("body")
    with connection.schema_editor() as editor:
        editor.add_field(Note, more)
        editor.alter_field(Note, Note._meta.get_field("body"), longer)
        editor.remove_field(Note, more)
    Note.objects.create(customer_id=1, body="x")
    found = values(Note.objects.all())
    with connection.schema_editor() as editor:
        editor.delete_model(Note)
    return found


run(
    {
        "all": lambda: values(Customer.objects.order_by("id")),
        "conditions": lambda: values(Customer.objects.filter(Q(region="EU") | Q(labels__contains=["l1"]), name__icontains="customer 1").exclude(preferences__size=3).order_by("-id")),
        "a page": lambda: values(Customer.objects.order_by("id")[5:9]),
        "select related": lambda: [{"id": each.id, "email": each.customer.email} for each in Order.objects.select_related("customer").filter(total__gt=500).order_by("id")],
        "prefetch related": lambda: [{"id": a, "email": b, "orders": c} for a, b, c in prefetched()],
        "annotations": lambda: values(Customer.objects.annotate(many=Count("orders"), last=Max("orders__placed"), loud=Upper("name")).filter(many__gt=2).order_by("id")),
        "sub-queries": lambda: values(Customer.objects.annotate(newest=Subquery(Order.objects.filter(customer=OuterRef("pk")).order_by("-id").values("total")[:1])).filter(Exists(Order.objects.filter(customer=OuterRef("pk"), status="paid"))).order_by("id")),
        "windows": lambda: list(Order.objects.annotate(place=Window(RowNumber(), partition_by=F("customer_id"), order_by=F("total").asc())).filter(customer_id__lt=4).order_by("id").values("id", "place")),
        "grouped by month": lambda: list(Order.objects.annotate(month=TruncMonth("placed")).values("month").annotate(sum=Sum("total"), who=ArrayAgg("customer_id", order_by="customer_id")).order_by("month")),
        "distinct on": lambda: values(Customer.objects.order_by("region", "id").distinct("region")),
        "union": lambda: list(Customer.objects.filter(id=1).values("id", "email").union(Customer.objects.filter(id=2).values("id", "email")).order_by("id")),
        "iterator": lambda: [{"id": each.id, "ssn": each.ssn} for each in Customer.objects.order_by("id").iterator(chunk_size=7)],
        "explain": lambda: len(Order.objects.filter(total__gt=5).explain()) > 0,
        "create": created,
        "change": lambda: dict(zip(("email", "region", "sum"), changed())),
        "upserts": upserts,
        "bulk update": bulk_update,
        "roll back": rolled_back,
        "raw": raw,
        "introspection": introspection,
        "inspectdb": inspectdb,
        "schema editor": schema_editor,
        "delete": lambda: Customer.objects.filter(name="Django").delete()[0],
    }
)
