-- Writes something that is replicated, for WAIT. Since Redis 7.2, WAIT waits for the last write of
-- its own connection. A revocation that found nothing has written nothing. But what it repeats, or
-- what another client deleted before it, may not have reached a replica yet.
-- writes: KEYS[1] the mark of the lane, for 1 ms
return redis.call('SET', KEYS[1], '', 'PX', 1)
