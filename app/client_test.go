package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
)

// client is a user's browser. It keeps cookies, and sends them to every instance of the shop. With
// a bearer token it is a program instead.
type client struct {
	http   *http.Client
	bearer string
	// tokens are all tokens that it has received.
	tokens []string
}

func newClient(t *testing.T) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{http: &http.Client{Jar: jar, Transport: transport, Timeout: patience}}
}

// program returns a client that presents token.
func program(t *testing.T, token string) *client {
	t.Helper()
	c := newClient(t)
	c.bearer = token
	return c
}

// visitor returns a client who has logged in at the shop with that URL.
func visitor(t *testing.T, url, name string) *client {
	t.Helper()
	c := newClient(t)
	c.login(t, url, name+"@example.com", name)
	return c
}

func (c *client) login(t *testing.T, url, identifier, password string) answer {
	t.Helper()
	a := c.post(t, url+"/login", map[string]any{"identifier": identifier, "password": password})
	a.is(t, http.StatusOK)
	token, _ := a.json["token"].(string)
	c.tokens = append(c.tokens, token)
	return a
}

// token is the newest token that the client has received.
func (c *client) token() string { return c.tokens[len(c.tokens)-1] }

func (c *client) get(t *testing.T, url string) answer { return c.do(t, http.MethodGet, url, nil) }

func (c *client) post(t *testing.T, url string, body any) answer {
	return c.do(t, http.MethodPost, url, body)
}

func (c *client) put(t *testing.T, url string, body any) answer {
	return c.do(t, http.MethodPut, url, body)
}

func (c *client) do(t *testing.T, method, url string, body any) answer {
	t.Helper()
	var encoded bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&encoded).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	return c.send(t, method, url, &encoded, http.Header{"Content-Type": {"application/json"}})
}

func (c *client) send(t *testing.T, method, url string, body io.Reader, header http.Header) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	if c.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	response, err := c.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{request: method + " " + request.URL.Path, Response: response, text: string(text)}
	if method == http.MethodHead {
		return a
	}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(text, &a.json); err != nil {
			t.Errorf("%s: %v: %s", a.request, err, text)
		}
	} else if response.StatusCode >= http.StatusBadRequest {
		t.Errorf("%s: the error is not JSON: %s", a.request, text)
	}
	return a
}

// answer is the response to a request.
type answer struct {
	*http.Response
	request string
	text    string
	json    map[string]any
}

func (a answer) is(t *testing.T, status int) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s: status %d, want %d: %s", a.request, a.StatusCode, status, a.text)
	}
	return a
}

// from checks where the session came from.
func (a answer) from(t *testing.T, source string) answer {
	t.Helper()
	a.is(t, http.StatusOK)
	if got := a.Header.Get("X-Session-Source"); got != source {
		t.Errorf("%s: the session came from %q, want %q", a.request, got, source)
	}
	return a
}

// has checks one field of the JSON, in its JSON form.
func (a answer) has(t *testing.T, field, want string) answer {
	t.Helper()
	got, err := json.Marshal(a.json[field])
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s: %s is %s, want %s", a.request, field, got, want)
	}
	return a
}
