#!/usr/bin/env python3
"""one_broker_test.py BINARY BROKER SIZES: a binary linked with BROKER alone holds that broker's client and no other's, and needs the
shared libraries that SIZES, docs/sizes.md, names.

Prints the stripped size and how long the program takes to start; with --config=opt those of a program that ships.
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

# Functions of each broker's C library, all of whose names start so.
CLIENTS = {"kafka": "rd_kafka_", "rabbitmq": "amqp_", "redis": "redisReader", "sqlite": "sqlite3_"}
# And our own code for it.
DRIVERS = {"kafka": "MakeKafkaBroker", "rabbitmq": "MakeRabbitmqBroker", "redis": "MakeRedisBroker", "sqlite": "MakeSqliteBroker"}


ALWAYS = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"}  # Of every C++ program.


def libraries(binary):
    needed = subprocess.run(["readelf", "-d", binary], check=True, capture_output=True, text=True).stdout
    return sorted(set(re.findall(r"\(NEEDED\).*\[(.*)\]", needed)) - ALWAYS)


def main(binary, broker, sizes):
    names = subprocess.run(["nm", binary], check=True, capture_output=True, text=True).stdout
    symbols = [line.rsplit(" ", 1)[-1] for line in names.splitlines()]
    wrong = []
    for other, prefix in CLIENTS.items():
        client = sum(symbol.startswith(prefix) for symbol in symbols)
        driver = sum(DRIVERS[other].lower() in symbol.lower() for symbol in symbols)
        print(f"{other}: {client} functions of its client, {driver} of our driver's factory")
        if other == broker and not (client and driver):
            wrong.append(f"{binary} has no {broker} in it: this test would notice nothing")
        if other != broker and (client or driver):
            wrong.append(f"{binary} is linked with {broker} and holds {other}")

    with open(sizes, encoding="utf-8") as page:
        told = re.search(rf"\| `{broker}` \|.*\| (.*) \|", page.read())
    needs = ", ".join(libraries(binary)) or "none"
    if not told or told[1] != needs:
        wrong.append(f"{broker} needs these libraries: {needs}; {sizes} says {told and told[1]}")

    with tempfile.TemporaryDirectory() as folder:
        stripped = os.path.join(folder, "stripped")
        subprocess.run(["strip", "-o", stripped, binary], check=True)
        size = os.path.getsize(stripped)
        times = []
        for _ in range(20):
            began = time.monotonic()
            subprocess.run([stripped, "--help"], check=True, stdout=subprocess.DEVNULL)
            times.append(time.monotonic() - began)
    print(f"{broker}: {size / 1e6:.2f} MB stripped, starts in {1000 * statistics.median(times):.1f} ms "
          f"({1000 * min(times):.1f} to {1000 * max(times):.1f})")
    for line in wrong:
        print("WRONG:", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
