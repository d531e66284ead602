// What the server does in one step, in Lua. They are sent whole with EVAL: the server knows a script by its hash after
// the first time, and a restart or SCRIPT FLUSH makes no difference.
#ifndef REDIS_SCRIPTS_H_
#define REDIS_SCRIPTS_H_

namespace messaging::redis {

// KEYS: stream, retry, due, held, dead, begun. ARGV: group, member, id, "1" when the entry is of the retry stream,
// then for each copy: "retry" or "dead", delay in milliseconds, a name for it, number of field parts, the parts.
// Stores the copies, then acknowledges: 1. Not the member's any more: 0, and nothing was done.
extern const char kSettle[];

// KEYS: the entries' stream, retry. ARGV: group, member, ids. Gives back what is still the member's, and wakes another.
extern const char kRelease[];

// Notes of begun are by the entry's id, with "r" behind it where it is of the retry stream: that is "suffix" below.

// KEYS: the entry's stream, begun. ARGV: group, member, id, note, suffix. 1, or 0: not the member's any more.
extern const char kBegin[];

// KEYS: stream, begun. ARGV: group, member, idle time in milliseconds after which a member counts as gone, how many at
// most, "1" when what belongs to members that are gone is asked for, suffix. Renews the member's own claims; gives it
// what was given back and what belonged to members that are gone: {ids of what was renewed}, then a list of {entry,
// note of begun or "", "1" when its member is gone}.
extern const char kTake[];

// KEYS: due, held, retry. ARGV: how many at most. Moves what is due to the retry stream: {moved, milliseconds until the
// next or -1}.
extern const char kMoveDue[];

// KEYS: stream, retry. ARGV: group, member. Gives back all that the member has of the stream, then forgets it.
extern const char kLeave[];

// KEYS: dead, retry. ARGV: id, number of field parts, the parts. Moves a dead letter to the retry stream: 1, or 0:
// it is not there.
extern const char kReplay[];

// KEYS: stream. ARGV: milliseconds that messages are kept (0: any), length to keep (0: any), "1" when groups do not
// matter. Trims what is older, or too much, and what every group has done with.
extern const char kTrim[];

// KEYS: owner. ARGV: member, lease in milliseconds. Takes the lease or renews it: 1; another's: 0.
extern const char kLease[];

// KEYS: stream. ARGV: group. Makes the stream, and the group in it from the beginning unless that is empty.
extern const char kDeclare[];

// KEYS: owner. ARGV: member. Gives the lease back.
extern const char kUnlease[];

// KEYS: alive, active. ARGV: member, milliseconds for which that is true, "1" when it wants partitions. {its number
// among the active ones or -1, how many they are}.
extern const char kAssign[];

// KEYS: stream, begun, alive. ARGV: group, member, how many at most, suffix. What was given back, and what belongs to
// members that are not alive, in its order: {1 when there may be more, then as kTake's list}.
extern const char kAdopt[];

}  // namespace messaging::redis

#endif  // REDIS_SCRIPTS_H_
