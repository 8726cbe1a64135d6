package redis

import (
	"sync"
	"time"
)

// reportEvery is how often the log says that an outage goes on.
const reportEvery = 10 * time.Minute

// reports decides which failures are logged: each cause at once, and then every reportEvery while
// it lasts. A cause that somebody has to fix is a cause of its own. All others count as one.
type reports struct {
	mu   sync.Mutex
	last map[string]time.Time // by cause
}

// due reports whether err is to be logged now. began says that an outage begins with it.
func (r *reports) due(err error, began bool) bool {
	cause := ""
	if isLasting(err) {
		cause = err.Error()
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if began || r.last == nil {
		r.last = make(map[string]time.Time)
	}
	if last, ok := r.last[cause]; ok && now.Sub(last) < reportEvery {
		return false
	}
	for other, last := range r.last { // addresses come and go
		if now.Sub(last) >= reportEvery {
			delete(r.last, other)
		}
	}
	r.last[cause] = now
	return true
}
