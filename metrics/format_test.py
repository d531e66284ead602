#!/usr/bin/env python3
"""format_test.py SAMPLE: Prometheus' own parser reads what the observer writes, and docs/metrics.md lists each metric.

Started by any Python, it goes on in the one of tools/setup --test, which has prometheus_client.
"""
import os
import re
import subprocess
import sys

python = os.path.join(os.environ.get("CORE_MESSAGING_PYTHON", ""), "bin/python")
if not os.path.exists(python):
    sys.exit("no prometheus_client: run tools/setup --test")
if "--again" not in sys.argv:
    os.execv(python, [python, __file__, *sys.argv[1:], "--again"])

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

text = subprocess.run([sys.argv[1]], check=True, stdout=subprocess.PIPE).stdout.decode("utf-8")
families = {f.name: f for f in text_string_to_metric_families(text)}
samples = {}
for family in families.values():
    for s in family.samples:
        key = (s.name, tuple(sorted(s.labels.items())))
        assert key not in samples, f"twice: {key}"
        samples[key] = s.value


def value(name, **labels):
    return samples[name, tuple(sorted(labels.items()))]


assert value("messaging_sent_messages_total", topic="orders") == 1
assert value("messaging_sent_messages_total", topic="other") == 2, "the fifth and the sixth name share a series"
assert value("messaging_sent_bytes_total", topic="orders") == 10
for result in "accepted", "refused", "unknown":
    assert value("messaging_send_results_total", topic="orders", result=result) == 1
assert value("messaging_handled_messages_total", handler="Charge", topic="orders", code="UNAVAILABLE") == 1
assert value("messaging_dead_letters_total", handler="Charge", topic="orders", code="DATA_LOSS") == 1
assert abs(value("messaging_handler_duration_seconds_sum", handler="Charge", topic="orders") - 0.04) < 1e-9
assert value("messaging_handler_duration_seconds_count", handler="Charge", topic="orders") == 2
assert value("messaging_in_flight_messages") == 7
assert value("messaging_handler_paused", handler="Charge", reason="breaker") == 1
assert value("messaging_handler_paused", handler="Charge", reason="request") == 0
assert value("messaging_breaker_opened_total", handler="Charge") == 1, "a probe that fails does not open it anew"
assert value("messaging_connected", broker="redis") == 0
assert value("messaging_connections_lost_total", broker="redis") == 1

for name, family in families.items():
    assert family.samples, f"{name}: the sample shows none"
    assert family.documentation.endswith("."), name
    full = name + "_total" if family.type == "counter" else name
    assert re.fullmatch(r"messaging_[a-z_]+", full), full
    if family.type == "histogram":
        assert name.endswith("_seconds"), name

with open("docs/metrics.md", encoding="utf-8") as f:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| (.*?) \|$", f.read(), re.M)
documented = {r[0]: (r[1], r[2].strip(), r[3]) for r in rows}
coded = {}
for name, family in families.items():
    labels = sorted({k for s in family.samples for k in s.labels if k != "le"})
    full = name + "_total" if family.type == "counter" else name
    coded[full] = (family.type, ", ".join(labels) or "-", family.documentation)
if documented != coded:
    print("docs/metrics.md does not say what the code does; its table should be:")
    for name, (kind, labels, help_text) in sorted(coded.items()):
        print(f"| `{name}` | {kind} | {labels} | {help_text} |")
    sys.exit(1)
print(f"{len(coded)} metrics read by Prometheus' parser, all documented")
