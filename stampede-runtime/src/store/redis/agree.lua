-- KEYS: token. ARGV: milliseconds. A token is the time when it was made in microseconds, twice; one more if an invalidation
-- has made it.
local time = redis.call('TIME')
local now = (time[1] * 1000000 + time[2]) * 2
local token = redis.pcall('GET', KEYS[1])
if type(token) ~= 'string' or not tonumber(token) then
  -- Nothing, or nobody's.
  redis.call('DEL', KEYS[1])
  token = string.format('%.0f', now)
  redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return {token, string.format('%.0f', now)}
