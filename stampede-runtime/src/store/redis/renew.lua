-- KEYS: lease. ARGV: owner, fence, milliseconds.
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
