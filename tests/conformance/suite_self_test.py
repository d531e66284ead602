#!/usr/bin/env python3
"""The suite finds what is wrong with a broker: each fault makes the case that is there for it fail, and none does not."""
import subprocess
import sys

FOUND_BY = {
    "drops-a-send": "PublishSubscribe",
    "duplicates": "PublishSubscribe",
    "forgets-retries": "ResendOnError",
    "doubles-copies": "AttemptsAreExact",
    "retries-early": "DelayIsKept",
    "retries-late": "DelayIsKept",
    "miscounts-attempts": "AttemptsAreExact",
    "forgets-why": "DeadLettersSayWhy",
    "forgets-order": "OrderPerKeyOverMembers",
    "one-group-for-all": "ConsumerGroups",
    "never-from-the-beginning": "NewSubscriberReceivesOldMessages",
}
# Wrong only when two members meet, or when the second copy comes before the case has seen enough, which a busy machine's
# scheduler may not let happen in one run.
TRIES = {"duplicates": 20, "forgets-order": 20}


def run(binary, fault, cases):
    done = subprocess.run([binary, f"--fault={fault}", "--limit=6s", f"--gtest_filter={cases}"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=100, check=False)
    return done.returncode, done.stdout


def main(binary):
    wrong = []
    code, output = run(binary, "none", ":".join("Conformance." + case for case in sorted(set(FOUND_BY.values()))))
    if code != 0:
        wrong.append(f"without a fault there is a failure:\n{output}")
    for fault, case in FOUND_BY.items():
        for _ in range(TRIES.get(fault, 1)):
            code, output = run(binary, fault, "Conformance." + case)
            if code != 0:
                break
        if code != 1 or f"[  FAILED  ] Conformance.{case}" not in output:
            wrong.append(f"{fault}: {case} did not find it (exit code {code}):\n{output}")
    print("\n".join(wrong) or f"{len(FOUND_BY)} faults found")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
