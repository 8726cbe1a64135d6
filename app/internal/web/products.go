package web

import (
	"context"
	"net/http"
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
