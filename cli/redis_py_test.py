#!/usr/bin/env python3
"""redis_py_test.py CORE SERVE: redis-py, Python's Redis client, writes for us and reads what we write, as docs/redis.md says."""
import json
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from client_process import ClientTest  # noqa: E402

import redis  # noqa: E402

ANY_BYTES = bytes(range(256))
HEX = ("--exec", "sh", "-c", "od -An -v -tx1 | tr -d ' \\n'")


class RedisPy(ClientTest):
    broker = "redis"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = redis.Redis.from_url(cls.server_url)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        super().tearDownClass()

    def check_line(self, line, **expected):
        line = json.loads(line)
        self.assertEqual({name: line.get(name) for name in expected}, expected, line)
        return line

    def test_what_redis_py_writes_is_handled(self):
        self.client.xadd(self.topic, {"payload": b'{"n": 1}', "id": "m-1", "key": "k", "type": "application/json", "time": 1_700_000_000_000_000,
                                      "h:source": "shop", "h:other": "d\u00e9j\u00e0"})
        line = self.check_line(self.consume(), payload={"n": 1}, id="m-1", key="k", content_type="application/json",
                               headers=[{"name": "source", "value": "shop"}, {"name": "other", "value": "d\u00e9j\u00e0"}])
        self.assertTrue(line["timestamp"].startswith("2023-11-14T22:13:20"), line)
        self.client.xadd(self.topic, {"payload": ANY_BYTES})
        self.assertEqual(self.consume(*HEX), ANY_BYTES.hex())

    def test_as_the_document_says(self):
        self.ask("topics", "declare", "orders.created", "--group", "billing")
        client = self.client
        # [send]
        client.xadd("orders.created", {"payload": b'{"order_id": 7}', "id": "order-7", "key": "7", "type": "application/json", "h:source": "shop"})
        # [end]
        line = self.ask("consumer", "--topic", "orders.created", "--group", "billing", "--max-messages", "1")
        self.check_line(line, payload={"order_id": 7}, id="order-7", key="7", headers=[{"name": "source", "value": "shop"}])

    def test_an_entry_without_a_payload_is_its_fields_as_json(self):
        self.client.xadd(self.topic, {"order_id": 7, "name": "d\u00e9j\u00e0", "key": "no key of ours"})
        self.check_line(self.consume(), payload={"order_id": "7", "name": "d\u00e9j\u00e0", "key": "no key of ours"}, key=None,
                        content_type="application/json")

    def test_redis_py_reads_what_we_write(self):
        before = time.time()
        self.environment["REDIS_URL"] = self.environment.pop("MESSAGING_URL")
        self.ask("send", self.topic, '{"n": 2}', "--key", "k", "--id", "m-2", "--header", "source=shop", "--header", "other=d\u00e9j\u00e0")
        self.client.xgroup_create(self.topic, "of-python", "0")
        ((stream, ((entry, fields),)),) = self.client.xreadgroup("of-python", "p", {self.topic: ">"})
        self.assertEqual(stream, self.topic.encode())
        sent = int(fields.pop(b"time")) / 1e6
        self.assertTrue(before - 1 <= sent <= time.time() + 1, sent)
        self.assertEqual(fields, {b"payload": b'{"n": 2}', b"id": b"m-2", b"key": b"k", b"type": b"application/json", b"h:source": b"shop",
                                  b"h:other": "d\u00e9j\u00e0".encode()})
        self.assertEqual(self.client.xack(self.topic, "of-python", entry), 1)
        self.check_line(self.consume(), payload={"n": 2}, id="m-2")  # Another group's place is not ours.

    def test_what_redis_py_wrote_it_reads_as_it_was_when_it_is_dead(self):
        wrote = {b"payload": ANY_BYTES, b"id": b"m-3", b"key": b"\xff\x00", b"type": b"text/x-any", b"time": b"1700000000000001",
                 b"h:bytes": b"\x00\xff\x01z"}
        self.client.xadd(self.topic, wrote)
        self.consume("--max-retries", "2", "--retry-delay", "50ms", "--exec", "sh", "-c", "echo no gateway >&2; exit 1")
        ((_, fields),) = self.client.xrange(f"{{{self.topic}}}:__messaging.dead.{len(self.topic)}.{self.topic}.g")
        self.assertEqual({name: fields.get(name, "gone") for name in wrote}, wrote, fields)
        self.assertEqual((fields[b"r:attempts"], fields[b"r:topic"], fields[b"r:group"]), (b"3", self.topic.encode(), b"g"))
        self.assertIn(b"exit code 1: no gateway", fields[b"r:error"])
        (pending,) = [group["pending"] for group in self.client.xinfo_groups(self.topic)]
        self.assertEqual(pending, 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
