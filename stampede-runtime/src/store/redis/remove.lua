-- KEYS: value, lease, outcome. ARGV: sender. Who is making the value loses the right to: what it makes is older than this.
local was = redis.call('EXISTS', KEYS[1])
redis.call('DEL', KEYS[1], KEYS[3])
void(KEYS[2])
tell(ARGV[1], KEYS[1])
return was
