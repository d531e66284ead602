"""The orders of the demonstration: what is sent, and what has to be found in the databases afterwards."""
import json
import os
import sqlite3

HANDLERS_OF_CREATED = 3


def gateway_fails_once(order):  # as examples/orders/outside.h says
    return order % 50 == 7


def gateway_fails_always(order):
    return order % 500 == 13


class Orders:
    """Orders 1 to n: all of them created, each tenth updated, all of them paid for; and some lines that are no order."""

    NO_JSON = '{"order_id": 1, "user_'  # cut off: refused by `core send`, with its line number
    NO_ORDER = ('{"order_id": "seven"}', '["not", "an order"]')  # JSON, but no order: dead letters at once

    def __init__(self, n):
        self.numbers = range(1, n + 1)
        self.updated = range(10, n + 1, 10)
        self.never_paid = {i for i in self.numbers if gateway_fails_always(i)}
        self.paid_late = {i for i in self.numbers if gateway_fails_once(i)}
        self.no_json = max(1, n // 2000)  # lines
        self.no_order = max(2, n // 1000)
        self.dead_letters = HANDLERS_OF_CREATED * self.no_order + len(self.never_paid)
        # Rows that tell of a handled message; what the progress counts.
        self.effects = 3 * n + len(self.updated) + n - len(self.never_paid)

    @staticmethod
    def created(i):
        return {"order_id": i, "user_id": i % 997, "user_email": f"user{i % 997}@example.com", "item": f"item-{i % 20}",
                "quantity": i % 5 + 1, "total": Orders.cents(i) / 100}

    @staticmethod
    def cents(i):
        return 100 + i * 37 % 9900

    def write(self, folder):
        """One file a topic; {topic: path}."""
        created = [json.dumps(self.created(i)) for i in self.numbers]
        extra = [self.NO_JSON] * self.no_json + [self.NO_ORDER[k % 2] for k in range(self.no_order)]
        for k, line in enumerate(extra):  # spread over the file
            created.insert((k + 1) * len(created) // (len(extra) + 1), line)
        lines = {
            "orders.created": created,
            "orders.updated": [json.dumps({"order_id": i, "item": f"item-{i % 20}", "quantity": 1}) for i in self.updated],
            "payments.process": [json.dumps({"order_id": i, "amount_cents": self.cents(i), "card_token": f"card-{i}"})
                                 for i in self.numbers],
        }
        paths = {topic: os.path.join(folder, topic + ".ndjson") for topic in lines}
        for topic, path in paths.items():
            with open(path, "w", encoding="utf-8") as f:
                f.write("\n".join(lines[topic]) + "\n")
        return paths


class Databases:
    """What the consumer left: the shop's own database, and that of the services outside it."""

    def __init__(self, shop, outside):
        self.paths = {"shop": shop, "outside": outside}

    def rows(self, database, sql):
        if not os.path.exists(self.paths[database]):
            return []
        connection = sqlite3.connect(self.paths[database], timeout=10)
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.OperationalError as error:  # just being made
            if "no such table" in str(error):
                return []
            raise
        finally:
            connection.close()

    def number(self, database, sql):
        rows = self.rows(database, sql)
        return rows[0][0] or 0 if rows else 0

    def effects(self):
        return (self.number("shop", "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM movements)") +
                self.number("outside", "SELECT (SELECT count(*) FROM mails) + (SELECT count(*) FROM charges)"))

    def retried_payments(self):
        return self.number("outside", "SELECT count(*) FROM requests WHERE count > 1")


def compare(orders, databases, paid_after_all):
    """Every order with what is stored of it: ({figure: (expected, found)}, [what is wrong])."""
    wrong = []

    def same(what, expected, found):
        for key in sorted(expected.keys() | found.keys(), key=str):
            if expected.get(key) != found.get(key):
                wrong.append(f"{what} of {key}: expected {expected.get(key, 'none')}, found {found.get(key, 'none')}")
        return len(expected), sum(found.get(key) == value for key, value in expected.items())

    moved, stock = {}, {}
    for i in orders.numbers:
        order = orders.created(i)
        moved[i] = (2, order["quantity"] + 1) if i % 10 == 0 else (1, order["quantity"])
        stock[order["item"]] = stock.get(order["item"], 0) + moved[i][1]
    paid = {i: orders.cents(i) for i in orders.numbers if i not in orders.never_paid or i in paid_after_all}
    figures = {
        "confirmations mailed": same("mail", {i: orders.created(i)["user_email"] for i in orders.numbers}, dict(
            databases.rows("outside", "SELECT order_id, address FROM mails"))),
        "orders indexed": same("row", {i: (i % 997, orders.created(i)["total"]) for i in orders.numbers}, {
            i: (user, total) for i, user, total in databases.rows("shop", "SELECT order_id, user_id, total FROM orders")}),
        "orders with stock moved": same("stock movements", moved, {
            i: (count, quantity) for i, count, quantity in databases.rows(
                "shop", "SELECT order_id, count(*), sum(quantity) FROM movements GROUP BY order_id")}),
        "items with the right stock": same("stock", stock, dict(databases.rows("shop", "SELECT item, reserved FROM stock"))),
        "payments charged": same("charge", paid, dict(
            databases.rows("outside", "SELECT order_id, amount_cents FROM charges"))),
    }
    return figures, wrong
