package web

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// maxBody is larger than any valid request.
const maxBody = 64 << 10

// decode reads the body of r into a new T. The body must be one JSON value without unknown fields.
func decode[T any](w http.ResponseWriter, r *http.Request) (T, error) {
	var value T
	// A form on another site cannot send this content type unless a CORS rule allows it.
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType != "application/json" {
		return value, failure{http.StatusUnsupportedMediaType, "send Content-Type: application/json"}
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&value)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return value, nil
		}
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return value, failure{http.StatusRequestEntityTooLarge, "the body is larger than 64 KiB"}
	}
	// The decoder's message may quote the body, which may contain a password.
	return value, failure{http.StatusBadRequest, "the body is not the JSON object that is expected here"}
}

// deliver replies with status 200. It returns false if the client disconnected before it received
// the answer.
func deliver(w http.ResponseWriter, r *http.Request, value any) bool {
	if r.Context().Err() != nil {
		return false
	}
	reply(w, http.StatusOK, value)
	err := http.NewResponseController(w).Flush()
	return (err == nil || errors.Is(err, http.ErrNotSupported)) && r.Context().Err() == nil
}

func reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // an error means that the client has disconnected
}
