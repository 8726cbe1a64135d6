-- Writes something that is replicated, for WAIT: since Redis 7.2 it waits for the last write of its own
-- connection. A revocation that found nothing wrote nothing, and what it repeats, or what another
-- client deleted before it, may not have reached a replica.
-- writes: KEYS[1] the mark of the lane, for 1 ms
return redis.call('SET', KEYS[1], '', 'PX', 1)
