package web

import "net/http"

// stats answers GET /stats with the cache's counters since the start. Like /metrics it is for the
// operator. A real shop would serve both on a separate port.
func (a *API) stats(w http.ResponseWriter, _ *http.Request) error {
	reply(w, http.StatusOK, a.cache.Stats())
	return nil
}

// healthz answers GET /healthz. It does not check the cache, because the shop works without it.
func (a *API) healthz(w http.ResponseWriter, r *http.Request) error {
	if err := a.store.Ping(r.Context()); err != nil {
		a.logError(r, "the database does not answer", err)
		return failure{http.StatusServiceUnavailable, "the database does not answer"}
	}
	reply(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}
