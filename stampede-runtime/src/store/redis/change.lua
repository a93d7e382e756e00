-- KEYS: token. ARGV: least milliseconds, sender, t | e, tag.
local time = redis.call('TIME')
local now = (time[1] * 1000000 + time[2]) * 2 + 1
local before = redis.pcall('GET', KEYS[1])
before = type(before) == 'string' and tonumber(before) or 0
-- Another one in any case, also where the clock was set back.
if now <= before then
  now = before + 2 - (before + 1) % 2
end
local left = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[1]))
redis.call('SET', KEYS[1], string.format('%.0f', now), 'PX', string.format('%.0f', left))
redis.pcall('PUBLISH', 'stampede:news', ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
return 1
