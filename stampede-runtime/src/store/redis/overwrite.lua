-- KEYS: value, lease, outcome. ARGV: milliseconds, entry, sender.
local was = redis.call('EXISTS', KEYS[1])
local done = put(KEYS[1], ARGV[2], ARGV[1])
if type(done) == 'table' and done.err then
  return done
end
redis.call('DEL', KEYS[3])
void(KEYS[2])
if was == 1 then
  tell(ARGV[3], KEYS[1])
end
return 1
