#!/usr/bin/env python3
"""pika_test.py CORE SERVE: pika, Python's RabbitMQ client, writes for us and reads what we write, as docs/rabbitmq.md says."""
import base64
import datetime
import decimal
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from client_process import ClientTest  # noqa: E402

import pika  # noqa: E402

# Of every type that pika writes.
HEADERS = {
    "text": "d\u00e9j\u00e0", "bytes": b"\x00\xff\x01z", "yes": True, "small": -7, "large": -(1 << 60),
    "decimal": decimal.Decimal("314.15"), "time": datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc), "none": None,
    "list": ["a", 1, None, {"inner": "b"}], "table": {"n": 1, "list": ["c"]},
}
ANY_BYTES = bytes(range(256))


class Pika(ClientTest):
    broker = "rabbitmq"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.connection = pika.BlockingConnection(pika.URLParameters(cls.server_url.split("?")[0] + "%2F"))
        cls.channel = cls.connection.channel()
        cls.channel.confirm_delivery()  # A publish fails unless the message is in a queue.

    @classmethod
    def tearDownClass(cls):
        cls.connection.close()
        super().tearDownClass()

    def publish(self, body, **properties):
        self.channel.basic_publish("messaging", self.topic, body, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True)

    def get(self, queue):
        method, properties, body = self.channel.basic_get(queue)
        self.assertIsNotNone(method, f"nothing in {queue}")
        self.channel.basic_ack(method.delivery_tag)
        return properties, body

    def test_what_pika_writes_is_handled(self):
        self.publish(b'{"n": 1}', message_id="m-1", content_type="application/json", timestamp=1_700_000_000,
                     headers={"source": "shop", "messaging-key": "k"})
        line = json.loads(self.consume())
        self.assertEqual({name: line.get(name) for name in ("payload", "id", "key", "content_type", "headers")},
                         {"payload": {"n": 1}, "id": "m-1", "key": "k", "content_type": "application/json", "headers": [{"name": "source", "value": "shop"}]},
                         line)
        self.assertTrue(line["timestamp"].startswith("2023-11-14T22:13:20"), line)
        self.publish(ANY_BYTES)  # Without any properties.
        self.assertEqual(self.consume("--exec", "sh", "-c", "od -An -v -tx1 | tr -d ' \\n'"), ANY_BYTES.hex())

    def test_as_the_document_says(self):
        self.ask("topics", "declare", "orders.created", "--group", "billing")
        channel = self.connection.channel()
        # [send]
        channel.confirm_delivery()
        properties = pika.BasicProperties(message_id="order-7", content_type="application/json", delivery_mode=2,
                                          headers={"messaging-key": "7", "source": "shop"})
        channel.basic_publish("messaging", "orders.created", b'{"order_id": 7}', properties, mandatory=True)
        # [end]
        line = json.loads(self.ask("consumer", "--topic", "orders.created", "--group", "billing", "--max-messages", "1"))
        self.assertEqual((line["payload"], line["id"], line["key"], line["headers"]),
                         ({"order_id": 7}, "order-7", "7", [{"name": "source", "value": "shop"}]))
        channel.close()

    def test_handlers_see_headers_of_every_type(self):
        self.publish(b"m", headers=HEADERS)
        seen = {header.pop("name"): header for header in json.loads(self.consume("--exec", "sh", "-c", 'printf %s "$MESSAGE_HEADERS"'))}
        self.assertEqual(base64.b64decode(seen.pop("bytes")["value_base64"]), HEADERS["bytes"])
        self.assertEqual({name: header["value"] for name, header in seen.items()}, {
            "text": "d\u00e9j\u00e0", "yes": "true", "small": "-7", "large": str(-(1 << 60)), "decimal": "31415e-2", "time": "1709208000",
            "none": "", "list": '["a",1,null,{"inner":"b"}]', "table": '{"list":["c"],"n":1}'})

    def test_pika_reads_what_we_write(self):
        self.ask("send", self.topic, '{"n": 2}', "--key", "k", "--id", "m-2", "--header", "source=shop", "--header", "other=d\u00e9j\u00e0")
        properties, body = self.get("g/" + self.topic)
        self.assertEqual(body, b'{"n": 2}')
        self.assertEqual((properties.message_id, properties.content_type, properties.delivery_mode), ("m-2", "application/json", 2))
        self.assertAlmostEqual(properties.timestamp, datetime.datetime.now().timestamp(), delta=600)
        headers = properties.headers
        self.assertEqual({name: headers.get(name) for name in ("messaging-key", "source", "other")},
                         {"messaging-key": "k", "source": "shop", "other": "d\u00e9j\u00e0"}, headers)
        self.assertEqual(headers["messaging-time"] // 1_000_000, properties.timestamp)

    def test_what_pika_wrote_it_reads_as_it_was_when_it_is_dead(self):
        self.publish(ANY_BYTES, message_id="m-3", headers=HEADERS)
        self.consume("--max-retries", "2", "--retry-delay", "50ms", "--exec", "sh", "-c", "echo no gateway >&2; exit 1")
        properties, body = self.get(f"__messaging.dead.{len(self.topic)}.{self.topic}.g")
        self.assertEqual((body, properties.message_id), (ANY_BYTES, "m-3"))
        headers = properties.headers
        self.assertEqual({name: headers.get(name, "gone") for name in HEADERS}, HEADERS, headers)
        self.assertEqual((headers["messaging-attempts"], headers["messaging-topic"], headers["messaging-group"]), (3, self.topic, "g"))
        self.assertIn("exit code 1: no gateway", headers["messaging-error"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
