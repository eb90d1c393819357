"""What the checks in Python share: each step's result as one JSON document, a failure as {"failed": message}."""

import datetime
import decimal
import json
import os
import sys

sys.path.insert(0, os.environ["CLIENT_PACKAGES"])

place = {name: os.environ[f"PG{name.upper()}"] for name in ("host", "port", "user", "password", "database")}


def plain(value):
    """Dates and numbers as text, rows as lists."""
    if isinstance(value, (datetime.date, datetime.datetime, decimal.Decimal)):
        return str(value)
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    return value


def run(steps):
    results = {}
    for name, step in steps.items():
        try:
            results[name] = plain(step())
        except Exception as error:
            results[name] = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(results, default=str))
