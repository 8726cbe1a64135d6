package redis

import "time"

// usableLag returns the lag that the fingerprint raw allows, or 0 if it allows none.
func (a *agreement) usableLag(raw string) time.Duration {
	f, ok := parse(raw)
	id := a.id.Load()
	if !ok || !f.Settled || !f.agrees(a.own) || id == nil || *id != f.ID {
		return 0
	}
	return time.Hour
}
