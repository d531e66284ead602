#include "redis/scripts.h"

namespace messaging::redis {

// A group that is gone (FLUSHALL) owned the entry until then: what is in hand is all that is left of it, and is kept.
const char kSettle[] = R"lua(
local group, me, id = ARGV[1], ARGV[2], ARGV[3]
local source = ARGV[4] == '1' and KEYS[2] or KEYS[1]
local owned = redis.pcall('XPENDING', source, group, id, id, 1, me)
if not owned.err and not owned[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = 5
while at <= #ARGV do
  local kind, delay, name, n = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local parts = {}
  for i = 1, n do parts[i] = ARGV[at + 3 + i] end
  if kind == 'dead' then
    redis.call('XADD', KEYS[5], '*', unpack(parts))
  elseif delay == 0 then
    redis.call('XADD', KEYS[2], '*', unpack(parts))
  else
    redis.call('HSET', KEYS[4], name, cmsgpack.pack(parts))
    redis.call('ZADD', KEYS[3], now + delay, name)
  end
  at = at + 4 + n
end
if owned.err then return 1 end
redis.call('XACK', source, group, id)
if ARGV[4] == '1' then redis.call('XDEL', source, id) end
redis.call('HDEL', KEYS[6], ARGV[4] == '1' and id .. 'r' or id)
return 1
)lua";

const char kRelease[] = R"lua(
local group, me, released = ARGV[1], ARGV[2], 0
for i = 3, #ARGV do
  if redis.call('XPENDING', KEYS[1], group, ARGV[i], ARGV[i], 1, me)[1] then
    redis.call('XCLAIM', KEYS[1], group, '__messaging.released', 0, ARGV[i], 'JUSTID')
    released = released + 1
  end
end
if released > 0 then redis.call('XADD', KEYS[2], '*', 'wake', '') end
return released
)lua";

const char kBegin[] = R"lua(
if not redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[3] .. ARGV[5], ARGV[4])
return 1
)lua";

const char kTake[] = R"lua(
local stream, group, me, idle, limit = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local from, renewed = '-', {}
while true do
  local own = redis.call('XPENDING', stream, group, 'IDLE', math.floor(idle / 3), from, '+', 500, me)
  if #own > 0 then
    local ids = {}
    for i, p in ipairs(own) do
      ids[i] = p[1]
      renewed[#renewed + 1] = p[1]
    end
    ids[#ids + 1] = 'JUSTID'
    redis.call('XCLAIM', stream, group, me, 0, unpack(ids))
    from = '(' .. own[#own][1]
  end
  if #own < 500 then break end
end
local taken = {renewed}
local function take(pending, gone)
  for _, p in ipairs(pending) do
    local entry = redis.call('XCLAIM', stream, group, me, 0, p[1])[1]
    if entry and entry[2] then
      taken[#taken + 1] = {entry, redis.call('HGET', KEYS[2], p[1] .. ARGV[6]) or '', gone}
    end
  end
end
if limit > 0 then
  take(redis.call('XPENDING', stream, group, '-', '+', limit, '__messaging.released'), '0')
end
limit = limit + 1 - #taken
if limit > 0 and ARGV[5] == '1' then
  local others = {}
  for _, p in ipairs(redis.call('XPENDING', stream, group, 'IDLE', idle, '-', '+', limit)) do
    if p[2] ~= me and p[2] ~= '__messaging.released' then others[#others + 1] = p end
  end
  take(others, '1')
end
return taken
)lua";

const char kMoveDue[] = R"lua(
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local names = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, name in ipairs(names) do
  local parts = redis.call('HGET', KEYS[2], name)
  if parts then redis.call('XADD', KEYS[3], '*', unpack(cmsgpack.unpack(parts))) end
  redis.call('HDEL', KEYS[2], name)
  redis.call('ZREM', KEYS[1], name)
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if not first[2] then return {#names, -1} end
return {#names, math.max(0, tonumber(first[2]) - now)}
)lua";

const char kLeave[] = R"lua(
local stream, group, me, given = KEYS[1], ARGV[1], ARGV[2], 0
while true do
  local own = redis.call('XPENDING', stream, group, '-', '+', 500, me)
  if #own == 0 then break end
  local ids = {}
  for i, p in ipairs(own) do ids[i] = p[1] end
  ids[#ids + 1] = 'JUSTID'
  redis.call('XCLAIM', stream, group, '__messaging.released', 0, unpack(ids))
  given = given + #own
end
redis.call('XGROUP', 'DELCONSUMER', stream, group, me)
if given > 0 then redis.call('XADD', KEYS[2], '*', 'wake', '') end
return given
)lua";

const char kReplay[] = R"lua(
if not redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1] then return 0 end
local parts = {}
for i = 3, #ARGV do parts[i - 2] = ARGV[i] end
redis.call('XADD', KEYS[2], '*', unpack(parts))
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
)lua";

// A group's oldest entry that is not done: its first pending one, or the one after the last that it was given.
const char kTrim[] = R"lua(
local stream, keep, length = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local function parse(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function less(a, b)
  local am, as = parse(a)
  local bm, bs = parse(b)
  return am < bm or (am == bm and as < bs)
end
local needed
for _, info in ipairs(ARGV[3] == '1' and {} or redis.call('XINFO', 'GROUPS', stream)) do
  local group = {}
  for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
  local first = group['last-delivered-id']
  if group['pending'] > 0 then
    local pending = redis.call('XPENDING', stream, group['name'])[2]
    if pending and less(pending, first) then first = pending end
  end
  if not needed or less(first, needed) then needed = first end
end
local function trim(id)
  if needed and less(needed, id) then id = needed end
  return redis.call('XTRIM', stream, 'MINID', '~', id)
end
local trimmed = 0
if keep > 0 then
  local time = redis.call('TIME')
  trimmed = trimmed + trim(string.format('%.0f-0', math.max(0, time[1] * 1000 - keep)))
end
if length > 0 then
  local excess = redis.call('XLEN', stream) - length
  if excess > 0 then
    local last = redis.call('XRANGE', stream, '-', '+', 'COUNT', math.min(excess, 1000))
    if #last > 0 then trimmed = trimmed + trim(last[#last][1]) end
  end
end
return trimmed
)lua";

const char kLease[] = R"lua(
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
)lua";

const char kDeclare[] = R"lua(
local group = ARGV[1]
if group == '' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
  redis.call('XGROUP', 'CREATE', KEYS[1], '__messaging.declared', '0', 'MKSTREAM')
  return redis.call('XGROUP', 'DESTROY', KEYS[1], '__messaging.declared')
end
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], group, '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
return 1
)lua";

const char kUnlease[] = R"lua(
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
)lua";

const char kAssign[] = R"lua(
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
if ARGV[3] == '1' then
  redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local names = redis.call('ZRANGE', KEYS[2], 0, -1)
table.sort(names)
for i, name in ipairs(names) do
  if name == ARGV[1] then return {i - 1, #names} end
end
return {-1, #names}
)lua";

const char kAdopt[] = R"lua(
local stream, group, me, limit = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local taken, from = {0}, '-'
while true do
  local page = redis.call('XPENDING', stream, group, from, '+', 500)
  for _, p in ipairs(page) do
    local gone = p[2] ~= '__messaging.released'
    if p[2] ~= me and not (gone and redis.call('ZSCORE', KEYS[3], p[2])) then
      if #taken > limit then
        taken[1] = 1
        return taken
      end
      local entry = redis.call('XCLAIM', stream, group, me, 0, p[1])[1]
      if entry and entry[2] then
        taken[#taken + 1] = {entry, redis.call('HGET', KEYS[2], p[1] .. ARGV[4]) or '', gone and '1' or '0'}
      end
    end
  end
  if #page < 500 then return taken end
  from = '(' .. page[#page][1]
end
)lua";

}  // namespace messaging::redis
