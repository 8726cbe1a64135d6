package web

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// maxBody is more than any request needs.
const maxBody = 64 << 10

// decode reads the body of r into a new T: one JSON value, and nothing that T does not know.
func decode[T any](w http.ResponseWriter, r *http.Request) (T, error) {
	var value T
	// Forms of other sites cannot send this type, as long as no CORS rule allows it.
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
	// Without the decoder's words, which may quote the body: it may be a password.
	return value, failure{http.StatusBadRequest, "the body is not the JSON object that is expected here"}
}

// deliver is reply with status 200; it reports false where the client has gone before it had the answer.
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
	_ = json.NewEncoder(w).Encode(value) // who has hung up does not want to know
}
