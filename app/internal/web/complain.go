package web

import (
	"net/http"
	"sync"
	"time"
)

// complainEvery is how often the log says the same: a flood of requests must not become one of the log.
const complainEvery = 10 * time.Second

// complaints are what the log has said, by the route and the message, of which there are few.
type complaints struct {
	mu   sync.Mutex
	said map[[2]string]*complaint
}

type complaint struct {
	next       time.Time
	suppressed int // since the log has said so
}

// due reports whether the log may say so now, and how often it has not since it last did.
func (c *complaints) due(route, message string, now time.Time) (suppressed int, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]string{route, message}
	last := c.said[key]
	if last == nil {
		last = &complaint{}
		if c.said == nil {
			c.said = make(map[[2]string]*complaint)
		}
		c.said[key] = last
	}
	if now.Before(last.next) {
		last.suppressed++
		return 0, false
	}
	suppressed = last.suppressed
	*last = complaint{next: now.Add(complainEvery)}
	return suppressed, true
}

// complain writes to the log that a request went wrong. It has the pattern of the route and not the URL,
// which may hold what is nobody's business.
func (a *API) complain(r *http.Request, message string, err error) {
	if suppressed, due := a.complaints.due(r.Pattern, message, time.Now()); due {
		a.logger.ErrorContext(r.Context(), message, "method", r.Method, "path", r.Pattern, "error", err, "suppressed", suppressed)
	}
}
