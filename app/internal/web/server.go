package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server serves a handler over HTTP between Start and Stop.
type Server struct {
	address  string
	http     *http.Server
	listener net.Listener
	failed   func(error)
}

// NewServer returns a Server for an address such as "127.0.0.1:8080". It calls failed if the server
// ends for another reason than Stop.
func NewServer(address string, handler http.Handler, logger *slog.Logger, failed func(error)) *Server {
	return &Server{address: address, failed: failed, http: &http.Server{
		Handler: handler,
		// A slow client must not hold a connection for long.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}}
}

// Start listens on the address and serves in the background.
func (s *Server) Start(ctx context.Context) (err error) {
	if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.address); err != nil {
		return err
	}
	go func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed(err)
		}
	}()
	return nil
}

// Stop waits until running requests have finished, or ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// URL returns the address that the server listens on. Call it after Start.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }
