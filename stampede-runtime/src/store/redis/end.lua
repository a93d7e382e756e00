-- KEYS: value, lease, outcome. ARGV: owner, fence, value | told | forget | nothing, milliseconds, bytes.
local value, lease, outcome = KEYS[1], KEYS[2], KEYS[3]
local owner, fence, how, millis, bytes = unpack(ARGV)

if not holds(lease, owner, fence) then
  return 0
end

local done
if how == 'value' then
  done = put(value, bytes, millis)
elseif how ~= 'nothing' then
  done = redis.pcall('HSET', outcome, 'f', fence, 'b', bytes)
  if type(done) == 'number' then
    redis.call('PEXPIRE', outcome, millis)
  end
  if how == 'forget' then
    redis.call('DEL', value)
  end
end

-- A store that takes no value takes the right back all the same.
void(lease)
if type(done) == 'table' and done.err then
  return done
end
return 1
