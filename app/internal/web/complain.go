package web

import (
	"net/http"
	"sync"
	"time"
)

// complainEvery is the minimum time between two log lines with the same message, so that a flood of
// requests does not flood the log.
const complainEvery = 10 * time.Second

// complaints are the messages that were logged, by route and message. There are few of both.
type complaints struct {
	mu   sync.Mutex
	said map[[2]string]*complaint
}

type complaint struct {
	next       time.Time
	suppressed int // since the last log line
}

// due reports whether the message may be logged now, and how often it was suppressed since it was
// last logged.
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

// complain logs that a request failed. It logs the pattern of the route and not the URL, which may
// contain private data.
func (a *API) complain(r *http.Request, message string, err error) {
	if suppressed, due := a.complaints.due(r.Pattern, message, time.Now()); due {
		a.logger.ErrorContext(r.Context(), message, "method", r.Method, "path", r.Pattern, "error", err, "suppressed", suppressed)
	}
}
