"""Trims a stream without losing work: never at or above the lowest entry that any group has pending or unread."""

from __future__ import annotations

from redis.asyncio import Redis

from shared.redis.connections import run

PAGE = 1000

# KEYS: stream. ARGV: finished entries to keep, most to drop at once. Atomic, so nothing becomes pending in between.
_SCRIPT = """
local excess = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1])
if excess <= 0 then return 0 end
local function parse(id)
  local ms, seq = string.match(id, '(%d+)-(%d+)')
  return tonumber(ms), tonumber(seq)
end
local floor_ms, floor_seq
local function lower(ms, seq)
  if not floor_ms or ms < floor_ms or (ms == floor_ms and seq < floor_seq) then
    floor_ms, floor_seq = ms, seq
  end
end
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
  local ms, seq = parse(group['last-delivered-id'])
  lower(ms, seq + 1)
  if group['pending'] > 0 then
    local summary = redis.call('XPENDING', KEYS[1], group['name'])
    if summary[2] then lower(parse(summary[2])) end
  end
end
local bound = '+'
if floor_ms then bound = '(' .. string.format('%.0f-%.0f', floor_ms, floor_seq) end
local old = redis.call('XRANGE', KEYS[1], '-', bound, 'COUNT', math.min(excess, tonumber(ARGV[2])))
if #old == 0 then return 0 end
local ms, seq = parse(old[#old][1])
return redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-%.0f', ms, seq + 1))
"""


async def trim(redis: Redis, stream: str, retention: int) -> int:
    """Drop finished entries beyond `retention`, page by page; return how many went."""
    dropped = 0
    while True:
        number = int(await run(redis, "EVAL", _SCRIPT, 1, stream, retention, PAGE))
        dropped += number
        if number < PAGE:
            return dropped
