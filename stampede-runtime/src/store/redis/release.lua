-- KEYS: lease.
void(KEYS[1])
return 1
