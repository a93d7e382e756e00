-- KEYS: value, lease, outcome. ARGV: owner, fence, value | told | nothing, the entry's milliseconds, the entry, the outcome's
-- milliseconds or 0, the outcome, 1 to forget the value, sender.
local value, lease, outcome = KEYS[1], KEYS[2], KEYS[3]
local owner, fence, how, entry_millis, entry, told_millis, told, forget, sender = unpack(ARGV)

local function failed(done)
  return type(done) == 'table' and done.err
end

if not holds(lease, owner, fence) then
  return 0
end

local was = (how == 'value' or forget == '1') and redis.call('EXISTS', value)
local done
if how == 'value' then
  done = put(value, entry, entry_millis)
end
if how == 'told' or told ~= '' then
  local noted = redis.pcall('HSET', outcome, 'f', fence, 'b', told)
  if failed(noted) then
    done = done or noted
  else
    redis.call('PEXPIRE', outcome, told_millis)
  end
end
-- What is there is older than what was just made, also where that could not be kept.
if forget == '1' or how == 'value' and failed(done) then
  redis.call('DEL', value)
end

-- A store that takes no value takes the right back all the same.
void(lease)
if was == 1 then
  tell(sender, value)
end
return failed(done) and done or 1
