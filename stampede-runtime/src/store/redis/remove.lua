-- KEYS: value, lease, outcome. Who is making the value loses the right to: what it makes is older than this.
local was = redis.call('EXISTS', KEYS[1])
redis.call('DEL', KEYS[1], KEYS[3])
void(KEYS[2])
return was
