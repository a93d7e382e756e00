-- KEYS: value, lease, outcome. ARGV: milliseconds, entry.
local done = put(KEYS[1], ARGV[2], ARGV[1])
if type(done) == 'table' and done.err then
  return done
end
redis.call('DEL', KEYS[3])
void(KEYS[2])
return 1
