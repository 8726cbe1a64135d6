package web

import (
	"net/http"
	"sync"
	"time"
)

// logInterval is the minimum time between two log lines with the same message, so that a flood of
// requests does not flood the log.
const logInterval = 10 * time.Second

// logThrottle suppresses repeated log lines. It keeps the messages that were logged, by route and
// message. There are few of both.
type logThrottle struct {
	mu       sync.Mutex
	messages map[[2]string]*throttled
}

type throttled struct {
	next       time.Time
	suppressed int // since the last log line
}

// due reports whether the message may be logged now, and how often it was suppressed since it was
// last logged.
func (t *logThrottle) due(route, message string, now time.Time) (suppressed int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]string{route, message}
	last := t.messages[key]
	if last == nil {
		last = &throttled{}
		if t.messages == nil {
			t.messages = make(map[[2]string]*throttled)
		}
		t.messages[key] = last
	}
	if now.Before(last.next) {
		last.suppressed++
		return 0, false
	}
	suppressed = last.suppressed
	*last = throttled{next: now.Add(logInterval)}
	return suppressed, true
}

// logError logs that a request failed. It logs the pattern of the route and not the URL, which may
// contain private data.
func (a *API) logError(r *http.Request, message string, err error) {
	if suppressed, due := a.throttle.due(r.Pattern, message, time.Now()); due {
		a.logger.ErrorContext(r.Context(), message, "method", r.Method, "path", r.Pattern, "error", err, "suppressed", suppressed)
	}
}
