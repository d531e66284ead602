#!/usr/bin/env python3
"""The suite finds what is wrong with a broker: each fault makes the case that is there for it fail, and none does not."""
import os
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


def choices(binary):
    """What is wrong with how the suite takes a filter: one that chooses nothing must not pass."""
    def start(arguments, variables):
        return subprocess.run([binary, "--fault=none", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=100,
                              check=False, env={k: v for k, v in os.environ.items() if "TEST_" not in k} | variables)
    for arguments, variables in ((["--gtest_filter="], {}), (["--gtest_filter=Nothing*"], {}), (["--gtest_filter=*-*"], {}),
                                 (["--gtest_filter=Conformance.PublishSubscribe-*Subscribe"], {}), ([], {"TESTBRIDGE_TEST_ONLY": ""}),
                                 ([], {"TESTBRIDGE_TEST_ONLY": "Nothing"})):
        done = start(arguments, variables)
        if done.returncode != 1 or "cases: nothing was tested\n" not in done.stderr or len(done.stderr.splitlines()) != 1:
            yield f"{arguments} {variables}: exit code {done.returncode}: {done.stderr}"
    for arguments in (["--gtest_filter=*PublishSubscribe"], ["--gtest_filter=Conformance.PublishSubscrib?:Nothing"],
                      ["--gtest_filter=Nothing:Conformance.Publish*-*Nothing"],
                      ["--gtest_filter=-Conformance.*", "--gtest_list_tests"]):
        for shard in range(2):  # One of them has nothing to do.
            done = start(arguments, {"GTEST_TOTAL_SHARDS": "2", "GTEST_SHARD_INDEX": str(shard)})
            if done.returncode != 0:
                yield f"{arguments}, shard {shard}: exit code {done.returncode}: {done.stderr}"


def main(binary):
    wrong = list(choices(binary))
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
