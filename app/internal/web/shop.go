package web

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/sessioncache"
)

const maxNameLength = 200

// getProduct answers GET /products/{id}. It needs no session.
func (a *API) getProduct(w http.ResponseWriter, r *http.Request) error {
	id, err := productID(r)
	if err != nil {
		return err
	}
	product, err := a.catalog.Get(r.Context(), id)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, product)
	return nil
}

// putProduct answers PUT /products/{id}.
func (a *API) putProduct(w http.ResponseWriter, r *http.Request, _ *sessioncache.CachedSession) error {
	id, err := productID(r)
	if err != nil {
		return err
	}
	body, err := decode[struct {
		Name       string `json:"name"`
		PriceCents *int64 `json:"price_cents"` // a pointer: a missing price must not mean 0
	}](w, r)
	if err != nil {
		return err
	}
	if body.Name == "" || len(body.Name) > maxNameLength || body.PriceCents == nil || *body.PriceCents < 0 {
		return failure{http.StatusBadRequest, "a product needs a name of up to 200 bytes, and price_cents that are not negative"}
	}
	product, err := a.catalog.Update(context.WithoutCancel(r.Context()), shop.Product{ID: id, Name: body.Name, PriceCents: *body.PriceCents})
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, product)
	return nil
}

func productID(r *http.Request) (shop.ProductID, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, failure{http.StatusNotFound, "there is no such product"}
	}
	return shop.ProductID(id), nil
}

// Limits of one role.
const (
	maxPermissions      = 100
	maxPermissionLength = 64
)

// putRole answers PUT /roles/{code}: it changes the permissions of a role.
func (a *API) putRole(w http.ResponseWriter, r *http.Request, session *sessioncache.CachedSession) error {
	body, err := decode[struct {
		Permissions []string `json:"permissions"`
	}](w, r)
	if err != nil {
		return err
	}
	slices.Sort(body.Permissions)
	role, permissions := r.PathValue("code"), slices.Compact(body.Permissions)
	switch {
	case permissions == nil:
		return failure{http.StatusBadRequest, "permissions must be a list; it may be empty"}
	case len(permissions) > maxPermissions || slices.ContainsFunc(permissions, func(p string) bool { return p == "" || len(p) > maxPermissionLength }):
		return failure{http.StatusBadRequest, "a role has up to 100 permissions of 1 to 64 bytes"}
	case role == shop.AdminRole && !slices.Contains(permissions, shop.ChangeRoles):
		return failure{http.StatusConflict, "the role admin must keep the permission " + shop.ChangeRoles}
	}
	ctx := context.WithoutCancel(r.Context())
	if err := a.store.SetPermissions(ctx, role, permissions); err != nil {
		return err
	}
	// The database has committed. Only now may the cached sessions of this role's users be
	// invalidated: a session loaded from now on has the new permissions, and a session whose load
	// is running is not stored. All other sessions stay cached. After an error the old permissions
	// may be served until stale_after.
	if err := a.sessions.InvalidateTags(ctx, shop.RoleTag(role)); err != nil {
		return err
	}
	a.logger.InfoContext(ctx, "role changed", "role", role, "by", session)
	reply(w, http.StatusOK, map[string]any{"code": role, "permissions": permissions})
	return nil
}

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
