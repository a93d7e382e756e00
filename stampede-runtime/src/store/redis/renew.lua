-- KEYS: lease. ARGV: owner, fence, milliseconds.
if holds(KEYS[1], ARGV[1], ARGV[2]) then
  return redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return is_overtaken(KEYS[1], ARGV[1], ARGV[2]) and 1 or 0
