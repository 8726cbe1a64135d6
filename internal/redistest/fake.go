package redistest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
)

// Fake is a fake server, for replies that no real server at hand gives. It returns its address.
// answer receives the words of each command and returns the reply in RESP. Several connections may
// call it concurrently. It ends with the test.
func Fake(t testing.TB, answer func(args []string) string) (addr string) {
	t.Helper()
	return FakeEach(t, func() func([]string) string { return answer })
}

// FakeEach is Fake with an answer of its own for each connection.
func FakeEach(t testing.TB, accepted func() (answer func(args []string) string)) (addr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", localAddr(0))
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	var group sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		_ = listener.Close() // nobody else closes it
		group.Wait()
	})
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			group.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // it is closed below as well
				defer func() { _ = conn.Close() }()
				converse(conn, accepted())
			})
		}
	})
	return listener.Addr().String()
}

// converse returns when the client disconnects.
func converse(conn net.Conn, answer func(args []string) string) {
	reader := frameReader{Reader: bufio.NewReader(conn)}
	for {
		value, err := reader.value()
		if err != nil {
			return
		}
		var args []string
		words, _ := value.([]any)
		for _, word := range words {
			args = append(args, fmt.Sprint(word))
		}
		if _, err := conn.Write([]byte(answer(args))); err != nil {
			return
		}
	}
}
