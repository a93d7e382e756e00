-- KEYS: value, lease, outcome. ARGV: owner, milliseconds, any | other | newest, what an entry that will not do begins
-- with, fence of the lease that was waited for or 0, field of a waiter or nothing.
local value, lease, outcome = KEYS[1], KEYS[2], KEYS[3]
local owner, millis, wanted, seen, joined, waiter = unpack(ARGV)
local is_newest = wanted == 'newest'

if not is_newest then
  local entry = redis.call('GET', value)
  if entry and (wanted == 'any' or string.sub(entry, 1, #seen) ~= seen) then
    return {2, entry}
  end
end

if joined ~= '0' then
  local told = redis.call('HMGET', outcome, 'f', 'b')
  if told[1] and tonumber(told[1]) >= tonumber(joined) then
    return {3, told[2]}
  end
end

local held = redis.call('HMGET', lease, 'o', 'f')
if held[1] and not is_newest then
  if held[1] == owner then
    -- The answer that said so was lost.
    redis.call('PEXPIRE', lease, millis)
    return {1, held[2]}
  end
  if waiter ~= '' then
    redis.call('HSET', lease, waiter, '')
  end
  return {0, held[2], redis.call('PTTL', lease)}
end

-- Microseconds grow, across a restart that lost everything too, and stay below 2^53 for two centuries.
local time = redis.call('TIME')
local fence = time[1] * 1000000 + time[2]
-- Unless the clock is set back, of which what is still there must not notice.
local earlier = math.max(tonumber(held[2] or 0), tonumber(redis.call('HGET', outcome, 'f') or 0))
fence = string.format('%.0f', math.max(fence, earlier + 1))
-- Those who wait for a lease that is taken over wait on.
redis.call('HSET', lease, 'o', owner, 'f', fence)
redis.call('PEXPIRE', lease, millis)
return {1, fence}
