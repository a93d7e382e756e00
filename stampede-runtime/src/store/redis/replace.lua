-- KEYS: value. ARGV: milliseconds, what is there, entry, sender.
if redis.pcall('GET', KEYS[1]) ~= ARGV[2] then
  return 0
end
local done = put(KEYS[1], ARGV[3], ARGV[1])
if type(done) == 'table' and done.err then
  return done
end
tell(ARGV[4], KEYS[1])
return 1
