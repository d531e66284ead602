#!/usr/bin/env python3
"""asyncapi_test.py PROGRAM CORE: AsyncAPI's own parser takes what `asyncapi` writes, and it says what the handlers say."""
import json
import os
import subprocess
import sys

PROGRAM, CORE = sys.argv[1:3]
MODULES = os.path.join(os.environ.get("CORE_MESSAGING_NODE", ""), "node_modules")
if not os.path.exists(MODULES):
    sys.exit("no AsyncAPI parser: run tools/setup --test")

# Prints what is wrong, by severity; 0 is an error.
PARSE = """
const {Parser} = require('@asyncapi/parser');
let text = '';
process.stdin.on('data', d => text += d).on('end', async () => {
  const {document, diagnostics} = await new Parser().parse(text);
  console.log(JSON.stringify({
    errors: diagnostics.filter(d => d.severity === 0),
    operations: document ? document.operations().all().map(o => [o.id(), o.action(), o.channels().all()[0].address(),
                                                                 o.messages().all()[0].name()]) : null,
    payloads: document ? document.messages().all().map(m => [m.name(), m.contentType(), m.hasPayload()]) : null}));
});
"""


def parse(text):
    done = subprocess.run(["node", "-e", PARSE], input=text, text=True, check=True, stdout=subprocess.PIPE,
                          env={**os.environ, "NODE_PATH": MODULES})
    return json.loads(done.stdout)


text = subprocess.run([PROGRAM, "asyncapi", "--title", "Shop", "--api-version", "1.2.3"], check=True, text=True,
                      stdout=subprocess.PIPE).stdout
parsed = parse(text)
assert parsed["errors"] == [], json.dumps(parsed["errors"], indent=1)
document = json.loads(text)
assert document["asyncapi"] == "3.0.0" and document["info"] == {"title": "Shop", "version": "1.2.3"}
assert sorted(document["channels"]) == ["blobs", "orders.created", "orders.updated", "payments.json", "payments.process",
                                        "refunds"]
operations = {o[0]: o[1:] for o in parsed["operations"]}
assert operations["ChargePayment"] == ["receive", "payments.process", "documented::Payment"], operations
assert operations["Charge_JSON"][1] == "payments.json"
assert operations["Ship-orders.updated"] == ["receive", "orders.updated", "shop::Order"]
assert operations["Index"] == ["receive", "orders.created", "shop::Order"], "a batch's messages are Orders"
assert len(operations) == 8
assert "group shipping" in document["operations"]["Ship-orders.created"]["description"]

payloads = {(name, kind): has for name, kind, has in parsed["payloads"]}
assert payloads["documented::Payment", "application/x-protobuf"] is True
assert payloads["documented::Payment", "application/json"] is True
assert [has for (name, kind), has in payloads.items() if kind == "application/octet-stream"] == [False]

schemas = document["components"]["schemas"]
payment = schemas["documented.Payment"]["properties"]
assert payment["orderId"] == {"type": ["string", "integer"], "format": "int64"}
assert payment["currency"]["enum"] == ["EUR", "USD"]
assert payment["cardToken"] == {"type": "string", "contentEncoding": "base64"}
assert payment["items"]["items"] == {"$ref": "#/components/schemas/documented.Payment.Item"}
assert payment["byName"]["additionalProperties"] == {"$ref": "#/components/schemas/documented.Payment.Item"}
assert payment["partOf"] == {"$ref": "#/components/schemas/documented.Payment"}, "it may refer to itself"
assert schemas["shop__Order"]["required"] == ["order_id"], "the type's own schema"
assert schemas["shop__Refund"] == {}, "free"

# The check can fail, and a program without handlers writes an empty document.
broken = json.loads(text)
broken["operations"]["Ship-orders.updated"]["channel"]["$ref"] = "#/channels/nowhere"
assert parse(json.dumps(broken))["errors"], "a parser that takes anything"
empty = subprocess.run([CORE, "asyncapi"], check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
assert empty.stderr == "core: no handlers are linked into this program\n", empty.stderr
assert parse(empty.stdout)["errors"] == []
print(f"{len(operations)} operations read by AsyncAPI's parser")
