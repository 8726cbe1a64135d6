package web

import (
	"context"
	"net/http"
	"slices"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/sessioncache"
)

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
