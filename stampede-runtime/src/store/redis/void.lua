-- Ends a lease, whoever has it, and wakes those who wait for it. A message that cannot be sent undoes nothing: they look
-- by themselves, too.
local function void(lease)
  local fields = redis.pcall('HKEYS', lease)
  redis.call('DEL', lease)
  local entry = string.sub(lease, 1, -#':lease' - 1)
  for _, field in ipairs(fields) do
    local channel = string.match(field, '^w:(%x+)$')
    if channel then
      redis.pcall('PUBLISH', 'stampede:wake:' .. channel, entry)
    end
  end
end

-- Tells all processes but the sender's that what they have of an entry is not the newest. Their memory makes up for what gets
-- lost when they notice that something may have.
local function tell(sender, entry)
  redis.pcall('PUBLISH', 'stampede:news', sender .. ' k ' .. entry)
end

-- Whether this is the newest lease. Who was never told its fence knows it by its owner alone, and says 0.
local function holds(lease, owner, fence)
  local held = redis.call('HMGET', lease, 'o', 'f')
  return held[1] == owner and (held[2] == fence or fence == '0')
end

-- Puts a value in place of an earlier one. A full store refuses only what comes first in a script, so this has to.
local function put(key, entry, millis)
  if millis == '0' then
    return redis.call('DEL', key)
  end
  return redis.pcall('SET', key, entry, 'PX', millis)
end

