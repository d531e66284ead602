#!/usr/bin/env python3
"""plant.py OUT SOURCE...: copies of the engine's sources into folder OUT, with the bugs of EDITS in them, each behind
Planted(name). An anchor that is not there once is an error: whoever changes that line looks here, and moves it."""
import os
import sys

# bug, file, anchor, replacement ({0}: whether it is planted)
EDITS = [
    ("engine-acks-a-failure", "engine_settle.cc",
     "    case Decision::Verdict::kRetry:\n",
     "    case Decision::Verdict::kRetry:\n      if ({0}) break;\n"),
    ("engine-one-retry-too-few", "engine_deal.cc",
     "record.attempts > states_[targets[0]]->options->max_retries)",
     "record.attempts > states_[targets[0]]->options->max_retries - ({0} ? 1 : 0))"),
    ("engine-suspect-in-company", "engine_deal.cc",
     "  if (running_ > 0) return std::nullopt;  // It must be alone.",
     "  if (running_ > 0 && !{0}) return std::nullopt;"),
    ("engine-suspect-unrecorded", "engine_deal.cc",
     "  if (!task->recorded) {\n",
     "  if (!task->recorded && !{0}) {{\n"),
    ("engine-lane-not-busy", "engine_deal.cc",
     "  lane->busy = lane->ordered;\n",
     "  lane->busy = lane->ordered && !{0};\n"),
    ("engine-strict-overtakes", "engine_deal.cc",
     "  if (state.held.empty()) return false;\n",
     "  if (state.held.empty() || {0}) return false;\n"),
    ("engine-lost-wake-up", "engine_deal.cc",
     "  if (state.waiting.empty() || state.running >= state.concurrency) return;\n",
     "  if (state.waiting.empty() || state.running >= state.concurrency || {0}) return;\n"),
    ("engine-refusal-forgotten", "engine_settle.cc",
     "      resettle_.emplace(now + kSettleAgain, std::move(answer));\n",
     "      if (!{0}) resettle_.emplace(now + kSettleAgain, std::move(answer));\n"),
    ("engine-settles-after-the-first", "engine_settle.cc",
     "  if (--hold->open_tasks > 0) return;\n",
     "  if (--hold->open_tasks > 0 && !({0} && hold->delivery)) return;\n  if (!hold->active) return;\n"),
    ("engine-batch-never-due", "engine_deal.cc",
     "    due = lane->head->arrived + state.options->batch.wait;\n",
     "    due = {0} ? absl::InfiniteFuture() : lane->head->arrived + state.options->batch.wait;\n"),
    ("engine-no-limit", "engine_gate.cc",
     "overfull || messages >= limits_.max_messages ",
     "(overfull && !{0}) || (messages >= limits_.max_messages && !{0}) "),
    ("engine-release-keeps-attempt", "engine_settle.cc",
     "      --task->attempt;  // It does not count.\n",
     "      if (!{0}) --task->attempt;\n"),
    ("engine-suspects-overtake", "engine_gate.cc",
     "    PullKeyAhead(*task);\n",
     "    if (!{0}) PullKeyAhead(*task);\n"),
    ("engine-paused-topic-begins", "engine_gate.cc",
     "  return !paused_topics_.empty() && paused_topics_",
     "  return !paused_topics_.empty() && !{0} && paused_topics_"),
    ("engine-resume-wakes-nobody", "engine_gate.cc",
     "  rooms_changed_ = true;\n  for (size_t i = 0;",
     "  rooms_changed_ = !{0};\n  for (size_t i = 0;"),
    ("engine-no-probe", "engine_gate.cc",
     "  if (draining_ || !state.half_open() || state.probe != nullptr) return;\n",
     "  if (draining_ || !state.half_open() || state.probe != nullptr || {0}) return;\n"),
    ("engine-put-back-behind", "engine_gate.cc",
     "  task->lane->PushFront(task);\n",
     "  {0} ? task->lane->PushBack(task) : task->lane->PushFront(task);\n"),
]


def main():
    out, sources = sys.argv[1], sys.argv[2:]
    for path in sources:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for bug, file, anchor, replacement in EDITS:
            if os.path.basename(path) != file:
                continue
            if text.count(anchor) != 1:
                sys.exit(f"plant.py: {bug}: {file} has {text.count(anchor)} times, not once:\n{anchor}")
            text = text.replace(anchor, replacement.format(f'simulation::Planted("{bug}")'))
        with open(os.path.join(out, os.path.basename(path)), "w", encoding="utf-8") as f:
            f.write('#include "tests/simulation/plant.h"\n' + text)


main()
