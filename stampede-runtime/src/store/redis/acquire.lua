-- KEYS: value, lease, outcome. ARGV: owner, milliseconds, any | other | newest, what an entry that will not do begins
-- with (newest: how many bytes tell one from another), fence of the lease that was waited for or 0, field of a process that waits or nothing.
local value, lease, outcome = KEYS[1], KEYS[2], KEYS[3]
local owner, millis, wanted, seen, joined, waiter = unpack(ARGV)
local is_newest = wanted == 'newest'

if not is_newest then
  -- What is no string is nobody's, and will be overwritten.
  local entry = redis.pcall('GET', value)
  if type(entry) == 'string' and (wanted == 'any' or string.sub(entry, 1, #seen) ~= seen) then
    return {2, entry, redis.call('PTTL', value)}
  end
end

-- The fields of a hash. What else stands under such a name is nobody's, and in the way.
local function fields(key, ...)
  local found = redis.pcall('HMGET', key, ...)
  if found.err then
    redis.call('DEL', key)
    return {}
  end
  return found
end

if joined ~= '0' then
  local told = fields(outcome, 'f', 'b')
  if told[1] and tonumber(told[1]) >= tonumber(joined) then
    return {3, told[2]}
  end
end

local held = fields(lease, 'o', 'f', 'n', 't')
-- One that was asked for as the newest will do for the next who asks for that.
if held[1] and (not is_newest or held[3]) then
  if held[1] == owner then
    -- The answer that said so was lost.
    redis.call('PEXPIRE', lease, millis)
    return {1, held[2]}
  end
  if waiter ~= '' then
    redis.call('HSET', lease, waiter, '')
  end
  local left = redis.call('PTTL', lease)
  if held[4] and left > tonumber(held[4]) then
    -- The clock was set back, and the lease would outlive its owner by as much.
    left = tonumber(held[4])
    redis.call('PEXPIRE', lease, left)
  end
  local entry = is_newest and redis.pcall('GETRANGE', value, 0, seen - 1)
  return {0, held[2], left, type(entry) == 'string' and entry or ''}
end

-- Microseconds grow, across a restart that lost everything too, and stay below 2^53 for two centuries.
local time = redis.call('TIME')
local fence = time[1] * 1000000 + time[2]
-- Unless the clock is set back, of which what is still there must not notice.
local earlier = math.max(tonumber(held[2] or 0), tonumber(fields(outcome, 'f', 'b')[1] or 0))
fence = string.format('%.0f', math.max(fence, earlier + 1))
-- Those who wait for a lease that is taken over wait on.
redis.call('HSET', lease, 'o', owner, 'f', fence, 't', millis)
if is_newest then
  redis.call('HSET', lease, 'n', '')
end
redis.call('PEXPIRE', lease, millis)
return {1, fence}
